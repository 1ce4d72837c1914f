import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import { formatBase64url, parseBase64url } from "../bytes/base64url.ts";
import { concatBytes } from "../bytes/bytes.ts";
import { randomInput } from "../bytes/check-codec-fixture.ts";
import { signNetworkStatement } from "../records/network-statement.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { formatInvite, INVITE_SCHEME, type Invite, MAX_INVITE_MEMBERS, parseInvite } from "./invite.ts";
import { crypto, idOf, quickCrypto, SampleNetwork } from "./sample-network-fixture.ts";

const network = new SampleNetwork();
const endpoint = { ip: "192.0.2.1" as Ip, port: 443 };
const invite: Invite = {
  statement: network.statementBytes,
  issuer: idOf("admin"),
  seed: new Uint8Array(32).fill(5),
  expiresWallAt: 1_790_000_000_000,
  uses: 1,
  members: [
    { node: idOf("admin"), endpoints: [endpoint, { ip: "2001:db8::1" as Ip, port: 65_535 }] },
    { node: idOf("relay"), endpoints: [] },
  ],
};
const line = formatInvite(crypto, invite);

/** An invite line of any payload, its checksum right. */
function lineOf(payload: Uint8Array): string {
  return INVITE_SCHEME + formatBase64url(concatBytes(payload, crypto.sha256(payload).subarray(0, 4)));
}

function payloadOf(text: string): Uint8Array {
  return (parseBase64url(text.slice(INVITE_SCHEME.length)) ?? assert.fail()).slice(0, -4);
}

test("an invite comes back from its line, with its network, also wrapped and indented by a chat", () => {
  const wanted = { invite, network: network.id, statement: network.trust.statement };
  assert.deepEqual(parseInvite(crypto, line), wanted);
  assert.deepEqual(parseInvite(crypto, `  ${line.replace(/.{40}/g, "$&\r\n\t")}\n`), wanted);
  for (const members of [[], [{ node: idOf("a"), endpoints: Array.from({ length: 8 }, () => endpoint) }]]) {
    const opened = parseInvite(crypto, formatInvite(crypto, { ...invite, members, uses: 65_535, expiresWallAt: Number.MAX_SAFE_INTEGER }));
    assert.ok(typeof opened !== "string");
    assert.deepEqual(opened.invite.members, members);
  }
});

test("more members and endpoints than an invite holds are left out", () => {
  const members = Array.from({ length: 5 }, (_, i) => ({ node: idOf(`m ${i}`), endpoints: Array.from({ length: 9 }, () => endpoint) }));
  const opened = parseInvite(crypto, formatInvite(crypto, { ...invite, members }));
  assert.ok(typeof opened !== "string");
  assert.deepEqual(
    opened.invite.members.map(({ endpoints }) => endpoints.length),
    new Array(MAX_INVITE_MEMBERS).fill(8),
  );
});

test("every truncation and every changed character is noticed", () => {
  for (let length = 0; length < line.length; length++)
    assert.equal(typeof parseInvite(crypto, line.slice(0, length)), "string", `length ${length}`);
  for (let at = 0; at < line.length; at++) {
    const changed = `${line.slice(0, at)}${line[at] === "A" ? "B" : "A"}${line.slice(at + 1)}`;
    assert.equal(parseInvite(crypto, changed), at < INVITE_SCHEME.length ? "not-an-invite" : "altered", `character ${at}`);
  }
  assert.equal(parseInvite(crypto, `${line}A`), "altered");
});

test("what is wrong is told apart", () => {
  assert.equal(parseInvite(crypto, ""), "not-an-invite");
  assert.equal(parseInvite(crypto, "mesh2abc"), "not-an-invite");
  assert.equal(parseInvite(crypto, "mesh1"), "altered");
  assert.equal(parseInvite(crypto, "mesh1ä"), "altered");
  assert.equal(parseInvite(crypto, lineOf(new Uint8Array())), "altered");
  assert.equal(parseInvite(crypto, lineOf(Uint8Array.of(2, ...payloadOf(line).subarray(1)))), "newer-version");
});

test("a right checksum does not help: the statement must be one, signed by its root", () => {
  const payload = payloadOf(line);
  for (const at of [10, 60, 2 + network.statementBytes.length]) {
    const altered = payload.slice();
    altered[at] = (altered[at] ?? 0) ^ 1;
    assert.equal(parseInvite(crypto, lineOf(altered)), "altered", `byte ${at}`);
  }
  for (const statement of [network.admin("admin", 1), new Uint8Array()])
    assert.equal(parseInvite(crypto, formatInvite(crypto, { ...invite, statement })), "altered");
});

test("port 0, an expiry beyond 2^53 and counts beyond the bounds are refused", () => {
  assert.equal(
    parseInvite(crypto, formatInvite(crypto, { ...invite, members: [{ node: idOf("a"), endpoints: [{ ...endpoint, port: 0 }] }] })),
    "altered",
  );
  const payload = payloadOf(formatInvite(crypto, { ...invite, members: [] }));
  const memberCountAt = payload.length - 1;
  const late = payload.slice();
  late[memberCountAt - 10] = 0xff; // the highest byte of the expiry
  assert.equal(parseInvite(crypto, lineOf(late)), "altered");
  const member = (count: number, endpoints: number): Uint8Array =>
    concatBytes(
      payload.subarray(0, memberCountAt),
      Uint8Array.of(count),
      ...Array.from({ length: count }, () =>
        concatBytes(new Uint8Array(32), Uint8Array.of(endpoints), new Uint8Array(18 * endpoints).fill(1)),
      ),
    );
  assert.equal(typeof parseInvite(crypto, lineOf(member(3, 8))), "object");
  assert.equal(parseInvite(crypto, lineOf(member(4, 0))), "altered");
  assert.equal(parseInvite(crypto, lineOf(member(1, 9))), "altered");
  assert.equal(parseInvite(crypto, lineOf(concatBytes(member(1, 8).with(memberCountAt + 33, 255)))), "altered");
});

test("seed 1: 20,000 random payloads with right checksums either fail or are written back the same", () => {
  const random = new SeededRandom(1);
  const statement = signNetworkStatement(quickCrypto, network.root, network.trust.statement);
  const payload = payloadOf(formatInvite(quickCrypto, { ...invite, statement }));
  const [signed, rest] = [payload.subarray(0, 3 + statement.length), payload.subarray(3 + statement.length)];
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const text = lineOf(concatBytes(signed, randomInput(random, [rest]))); // the signature guards the statement: behind it anything may change
    const opened = parseInvite(quickCrypto, text);
    if (typeof opened === "string") continue;
    taken++;
    assert.equal(formatInvite(quickCrypto, opened.invite), text, `run ${run}`);
  }
  assert.ok(taken > 2_000, `${taken} taken`);
});
