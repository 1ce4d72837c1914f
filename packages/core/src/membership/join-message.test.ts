import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes } from "../bytes/bytes.ts";
import { checkLengths, checkRandomInputs, checkRoundTrip, randomInput } from "../bytes/check-codec-fixture.ts";
import { type Field, packFields, unpackFields } from "../bytes/fields.ts";
import { nodeId } from "../ids/node-id.ts";
import { isConsent } from "../records/certificate.ts";
import { MAX_JOIN_REQUEST_BYTES } from "../records/join-bounds.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { formatInvite, type OpenedInvite, parseInvite } from "./invite.ts";
import {
  decodeJoinResponse,
  encodeJoinResponse,
  JOIN_REFUSALS,
  type JoinResponse,
  makeJoinRequest,
  openJoinRequest,
} from "./join-message.ts";
import { crypto, idOf, keyOf, quickCrypto, SampleNetwork } from "./sample-network-fixture.ts";

const network = new SampleNetwork();
const seed = new Uint8Array(32).fill(8);
const request = makeJoinRequest(crypto, { invite: inviteOf(), key: keyOf("joiner"), name: "laptop-b" });

function inviteOf(): OpenedInvite {
  const text = formatInvite(crypto, {
    statement: network.statementBytes,
    issuer: idOf("admin"),
    seed,
    expiresWallAt: 9,
    uses: 1,
    members: [],
  });
  const opened = parseInvite(crypto, text);
  return typeof opened === "string" ? assert.fail(opened) : opened;
}

test("a request says who asks whom, by which invite, and consents", () => {
  const opened = openJoinRequest(crypto, request);
  assert.ok(opened.ok);
  const { consent, ...said } = opened.value;
  const invite = nodeId(crypto.signingKey(seed).publicKey);
  assert.deepEqual(said, { network: network.id, issuer: idOf("admin"), invite, node: idOf("joiner"), name: "laptop-b" });
  assert.ok(isConsent(crypto, idOf("joiner"), network.id, consent));
  assert.ok(request.length <= MAX_JOIN_REQUEST_BYTES);
});

test("every truncation of a request is refused, one byte more, and one too long", () => {
  for (let length = 0; length < request.length; length++)
    assert.equal(openJoinRequest(crypto, request.subarray(0, length)).ok, false, `length ${length}`);
  for (let more = 0; more < 256; more++) assert.equal(openJoinRequest(crypto, Uint8Array.of(...request, more)).ok, false);
  assert.deepEqual(openJoinRequest(crypto, new Uint8Array(MAX_JOIN_REQUEST_BYTES + 1)), { ok: false, fault: "too-long" });
});

test("no byte of a request can be changed", () => {
  for (let at = 0; at < request.length; at++)
    assert.equal(openJoinRequest(crypto, request.with(at, (request[at] ?? 0) ^ (1 << (at & 7)))).ok, false, `byte ${at}`);
});

test("both keys must have signed: neither the invite's holder nor the node can be another", () => {
  const body = request.subarray(0, -128);
  const signed = concatBytes(new TextEncoder().encode("mesh-join-1"), body);
  const [invite, joiner, thief] = [crypto.signingKey(seed), keyOf("joiner"), keyOf("thief")].map((key) => crypto.sign(key, signed));
  assert.ok(invite !== undefined && joiner !== undefined && thief !== undefined);
  assert.ok(openJoinRequest(crypto, concatBytes(body, invite, joiner)).ok);
  for (const pair of [
    [invite, thief],
    [thief, joiner],
    [joiner, invite],
  ])
    assert.equal(openJoinRequest(crypto, concatBytes(body, ...pair)).ok, false);
});

test("seed 1: 20,000 random requests: none that differs is taken", () => {
  const random = new SeededRandom(1);
  const quick = makeJoinRequest(quickCrypto, { invite: inviteOf(), key: keyOf("joiner"), name: "laptop-b" });
  assert.ok(openJoinRequest(quickCrypto, quick).ok);
  for (let run = 0; run < 20_000; run++) {
    const bytes = randomInput(random, [quick]);
    if (Buffer.compare(bytes, quick) !== 0) assert.equal(openJoinRequest(quickCrypto, bytes).ok, false, `run ${run}`);
  }
});

test("another version of a request is told apart", () => {
  const fields = unpackFields(request.subarray(0, -128));
  assert.ok(fields.ok);
  const later: readonly Field[] = [2, ...fields.value.slice(1)];
  assert.deepEqual(openJoinRequest(crypto, concatBytes(packFields(later), new Uint8Array(128))), { ok: false, fault: "unknown-version" });
});

const responses = {
  samples: [
    {
      outcome: "admitted",
      certificate: network.certificate("joiner", { number: 2 }),
      records: [network.statementBytes, network.admin("admin", 1)],
    },
    { outcome: "admitted", certificate: new Uint8Array(), records: [] },
    ...JOIN_REFUSALS.map((reason) => ({ outcome: "refused", reason }) as const),
  ] satisfies readonly JoinResponse[],
  encode: encodeJoinResponse,
  decode: decodeJoinResponse,
};

test("responses come back from their bytes", () => checkRoundTrip<JoinResponse>(responses));
test("every truncation of a response is refused, and one byte more", () => checkLengths<JoinResponse>(responses));
test("seed 2: 20,000 random responses either fail or encode back to themselves", () => checkRandomInputs<JoinResponse>(responses, 2));

test("reasons and versions that are not known, and records too long, are refused", () => {
  assert.deepEqual(decodeJoinResponse(packFields([2, false, "spent"])), { ok: false, fault: "unknown-version" });
  for (const fields of [
    [1, false, "because"],
    [1, false],
    [1, true, new Uint8Array(8_193), []],
    [1, true, new Uint8Array(), [[new Uint8Array(8_193)]]],
    [1, true, new Uint8Array(), [new Uint8Array()]],
    [1, 1, "spent"],
    [],
  ] as const)
    assert.equal(decodeJoinResponse(packFields(fields)).ok, false);
});
