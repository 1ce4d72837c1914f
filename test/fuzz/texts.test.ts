/** Texts that people type or paste, and that records hold: read, or refused with undefined or an error for people. */
import assert from "node:assert/strict";
import { isIP } from "node:net";
import { MeshError } from "@mesh/core/errors";
import { parseArguments } from "../../packages/cli/src/arguments.ts";
import { parseDuration } from "../../packages/cli/src/duration.ts";
import { parseEndpoint } from "../../packages/core/src/address/endpoint.ts";
import { parseIp } from "../../packages/core/src/address/ip.ts";
import { formatPrefix, parsePrefix } from "../../packages/core/src/address/prefix.ts";
import { formatBase64url, parseBase64url } from "../../packages/core/src/bytes/base64url.ts";
import { formatHex, parseHex } from "../../packages/core/src/bytes/hex.ts";
import { isName } from "../../packages/core/src/bytes/name.ts";
import { parseNodeId } from "../../packages/core/src/ids/node-id.ts";
import { INVITE_SCHEME } from "../../packages/core/src/membership/invite.ts";
import { crypto, idOf, SampleNetwork } from "../../packages/core/src/membership/sample-network-fixture.ts";
import { readInvite } from "../../packages/core/src/node/join-network.ts";
import { type FuzzTarget, fuzz } from "./fuzz-target.ts";
import { mutateBytes } from "./mutate-bytes.ts";
import { mutateText, textKind } from "./mutate-text.ts";
import { inviteLine } from "./sample-invite.ts";

/** What is read of an address is its one spelling: reading that again changes nothing. */
function stable<T extends string>(parse: (text: string) => T | undefined): (text: string) => T | undefined {
  return (text) => {
    const value = parse(text);
    if (value !== undefined) assert.equal(parse(value), value);
    return value;
  };
}

const line = inviteLine(new SampleNetwork());
const payload = (parseBase64url(line.slice(INVITE_SCHEME.length)) ?? assert.fail()).slice(0, -4);

const addresses: readonly FuzzTarget<string>[] = [
  {
    name: "IP address",
    samples: ["192.0.2.1", "2001:db8::1", "::", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8"],
    read: stable((text) => {
      const ip = parseIp(text);
      // Another reader's opinion: Node's, which takes zones too.
      if (!text.includes("%")) assert.equal(ip !== undefined, isIP(text) !== 0);
      return ip;
    }),
  },
  {
    name: "prefix",
    samples: ["10.77.0.0/16", "fd00::/48", "0.0.0.0/0", "2001:db8::1/128"],
    read: stable((text) => {
      const prefix = parsePrefix(text);
      return prefix === undefined ? undefined : formatPrefix(prefix);
    }),
  },
  { name: "endpoint", samples: ["192.0.2.1:443", "[2001:db8::1]:65535", "0.0.0.0:4100"], read: parseEndpoint },
  {
    name: "name",
    samples: ["home", "laptop-b", "x".repeat(63)],
    read: (text) => (isName(text) ? text : undefined),
    again: (name: string) => name,
  },
  { name: "hex", samples: ["", "00ff", "a".repeat(64)], read: parseHex, again: (bytes: Uint8Array) => formatHex(bytes) },
  { name: "node id", samples: [idOf("a"), idOf("b")], read: parseNodeId },
  {
    name: "base64url",
    samples: ["", "AQ", "AQID", line.slice(5)],
    read: parseBase64url,
    again: (bytes: Uint8Array) => formatBase64url(bytes),
  },
];

const forPeople: readonly FuzzTarget<string>[] = [
  {
    name: "invite line",
    samples: [line, ` ${line.replace(/.{40}/g, "$&\r\n\t")}\n`],
    read: (text) => readInvite(crypto, text),
    refuses: saysWhatToDo,
    /** Another payload with the right checksum. */
    make: (random) => {
      const content = mutateBytes(random, [payload]);
      return INVITE_SCHEME + formatBase64url(Buffer.concat([content, crypto.sha256(content).subarray(0, 4)]));
    },
  },
  { name: "duration", samples: ["90s", "1h30m", "0.2s", "200ms", "7d"], read: parseDuration },
  {
    name: "command line",
    samples: [
      "init home --cidr 10.77.0.0/16",
      "join - --name b --network home",
      "up",
      "status --json",
      "ping b --count 3 --interval 1s",
      "invite --uses 3 --ttl 1h",
      "help up",
    ],
    read: (text) => parseArguments(text.split(" "), { env: { MESH_STATE: "/nowhere" }, directory: "/" }),
    refuses: saysWhatToDo,
    make: (random) => Array.from({ length: 1 + random.below(6) }, () => mutateText(random, WORDS)).join(" "),
  },
];

const WORDS = [
  "init",
  "join",
  "up",
  "down",
  "status",
  "ping",
  "invite",
  "--state",
  "--name",
  "--json",
  "--cidr",
  "--listen",
  "--ttl",
  "--",
  "-",
  "home",
  "10.77.0.0/16",
  "1h",
];

fuzz(textKind, [...addresses, ...forPeople]);

/** One sentence of what is wrong and one of what to do, of a length that a person reads. */
function saysWhatToDo(error: unknown): boolean {
  if (!(error instanceof MeshError)) return false;
  assert.match(error.message, /^\S[^\n]{1,600}[.?!]$/u);
  assert.ok(error.hint !== undefined && error.hint.length > 5, `no hint: ${error.message}`);
  return true;
}
