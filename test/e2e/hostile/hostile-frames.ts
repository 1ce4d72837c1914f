import { nodeCrypto } from "@mesh/core/node-crypto";
import type { SeededRandom } from "@mesh/core/testing";
import { encodeRecords, encodeSummary } from "../../../packages/agent/src/control/record-sync.ts";
import { networkId } from "../../../packages/core/src/ids/network-id.ts";
import { nodeId } from "../../../packages/core/src/ids/node-id.ts";
import { signCertificate, signConsent } from "../../../packages/core/src/records/certificate.ts";
import { NOWHERE, signEndpointRecord } from "../../../packages/core/src/records/endpoint-record.ts";
import { signRemoval } from "../../../packages/core/src/records/removal.ts";
import { mutateBytes } from "../../fuzz/mutate-bytes.ts";
import type { MemberIdentity } from "./member-identity.ts";

const crypto = nodeCrypto();
const MAX_RECORD_BYTES = 8_192;

/** Frames with their length before them, as each protocol of the control plane has it; half of them right as far as that. */
export const hostileFrames = {
  sync: (random: SeededRandom, _topic: string, { records }: MemberIdentity): Uint8Array => {
    const known = records.map((record) => Buffer.from(record, "base64"));
    const honest = [
      random.bytes(32),
      new Uint8Array(256 * 16),
      encodeSummary([random.below(256)], random.bytes(56)),
      encodeRecords(known, random.below(2) === 0),
      new Uint8Array(),
    ];
    return framed(random, random.below(2) === 0 ? (random.pick(honest) ?? new Uint8Array()) : mutateBytes(random, honest));
  },
  gossip: (random: SeededRandom, topic: string, identity: MemberIdentity): Uint8Array =>
    framed(random, mutateBytes(random, [rpc([hostileRecords(random, identity)], topic), subscription(topic)])),
  carry: (random: SeededRandom): Uint8Array => framed(random, random.bytes(random.below(1_100))),
  identify: (random: SeededRandom): Uint8Array => framed(random, random.bytes(random.below(300))),

  /** One RPC of gossipsub for ten records each. */
  publish: (records: readonly Uint8Array[], topic: string): Uint8Array => {
    const rpcs = Array.from({ length: Math.ceil(records.length / 10) }, (_, n) => rpc(records.slice(n * 10, n * 10 + 10), topic));
    return Buffer.concat([withLength(subscription(topic)), ...rpcs.map(withLength)]);
  },
  /** A sync in which everything differs, up to the records. */
  handOver: (records: readonly Uint8Array[]): Uint8Array => {
    const allBuckets = Array.from({ length: 256 }, (_, bucket) => bucket);
    const fitting = records.filter(({ length }) => length > 0 && length <= MAX_RECORD_BYTES);
    const frames = [
      new Uint8Array(32),
      new Uint8Array(256 * 16),
      encodeSummary(allBuckets, new Uint8Array()),
      encodeRecords(fitting, false),
    ];
    return Buffer.concat(frames.map(withLength));
  },
} as const;

/** A record that nobody may believe: forged, replayed, altered, or longer than any. None of them is new and true. */
export function hostileRecords(random: SeededRandom, identity: MemberIdentity): Uint8Array {
  const known = identity.records.map((record) => Buffer.from(record, "base64"));
  switch (random.below(5)) {
    case 0:
      return Uint8Array.from(random.pick(known) ?? []);
    case 1:
      return mutateBytes(random, known);
    case 2:
      return new Uint8Array(MAX_RECORD_BYTES + 1 + random.below(2_000)).fill(random.below(256));
    case 3: {
      const flipped = Uint8Array.from(random.pick(known) ?? []);
      const at = random.below(flipped.length);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
      return flipped;
    }
    default:
      if (forgeries.length < FORGERIES) forgeries.push(forged(random, identity));
      return random.pick(forgeries) ?? new Uint8Array();
  }
}

/** Signing is most of the work: forgeries are made once and thrown again and again. */
const FORGERIES = 2_000;
const forgeries: Uint8Array[] = [];

/** Signed as it should be, by somebody who may not say it. */
function forged(random: SeededRandom, identity: MemberIdentity): Uint8Array {
  const network = networkId(Buffer.from(identity.network, "hex"));
  const ours = crypto.signingKey(Buffer.from(identity.seed, "base64"));
  const stranger = crypto.signingKey(crypto.sha256(Uint8Array.of(random.below(200))));
  const certificate = Buffer.from(identity.certificate, "base64");
  switch (random.below(4)) {
    case 0:
      return signEndpointRecord(crypto, stranger, { network, ...NOWHERE, isStopped: false, sequence: random.below(1e9) });
    case 1:
      return signRemoval(crypto, ours, {
        network,
        target: nodeId(stranger.publicKey),
        isOut: true,
        wallAt: 1,
        signerCertificate: certificate,
        sequence: random.below(1e9),
      });
    default:
      return signCertificate(crypto, random.below(2) === 0 ? ours : stranger, {
        network,
        subject: nodeId(stranger.publicKey),
        serial: random.below(1e9),
        role: "member",
        name: "guest",
        number: 1 + random.below(200),
        generation: 9,
        assignedWallAt: 1,
        grant: [],
        consent: signConsent(crypto, stranger, network),
        issuerCertificate: certificate,
      });
  }
}

/** gossipsub's protobuf: RPC { publish (2): Message { data (2), topic (4) } }. */
function rpc(records: readonly Uint8Array[], topic: string): Uint8Array {
  return Buffer.concat(records.map((record) => field(2, Buffer.concat([field(2, record), field(4, Buffer.from(topic))]))));
}

/** RPC { subscriptions (1): { subscribe (1): true, topic (2) } }. */
function subscription(topic: string): Uint8Array {
  return field(1, Buffer.concat([Uint8Array.of(0x08, 1), field(2, Buffer.from(topic))]));
}

/** A field of bytes: tag with wire type 2, length, bytes. */
function field(number: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of((number << 3) | 2), varint(bytes.length), bytes]);
}

function framed(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  return random.below(8) === 0 ? Buffer.concat([varint(random.below(2 ** 31)), bytes]) : withLength(bytes);
}

function withLength(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([varint(bytes.length), bytes]);
}

/** Unsigned LEB128. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80);
  return Uint8Array.of(...bytes, rest);
}
