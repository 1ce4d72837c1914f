import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEndpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import type { Field } from "../bytes/fields.ts";
import type { Crypto } from "../crypto/crypto.ts";
import { networkIdBytes } from "../ids/network-id.ts";
import { nodeKey } from "../ids/node-id.ts";
import { crypto, idOf, keyOf, NOTHING, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { isConsent, isGranted, signCertificate, signConsent } from "./certificate.ts";
import { MAX_ENDPOINTS, MAX_HOMES, NOWHERE, signEndpointRecord } from "./endpoint-record.ts";
import { RECORD_KINDS, signRecord } from "./envelope.ts";
import { signNetworkStatement } from "./network-statement.ts";
import { type RecordContent, RecordOpener, replaces, type SignedRecord } from "./record.ts";
import { signRemoval } from "./removal.ts";

const network = new SampleNetwork();
const admin = network.admin("admin", 16);
const udp = ["192.0.2.1:51820", "[2001:db8::1]:1024"].map((text) => parseEndpoint(text) ?? assert.fail());
const samples: Readonly<Record<string, Uint8Array>> = {
  "network statement": network.statementBytes,
  "certificate of an admin": admin,
  "certificate of a member": network.certificate("member", { number: 17, issuerCertificate: admin, name: "x".repeat(63) }, "admin"),
  "removal by root": network.removal("root", "member"),
  "removal by an admin, back in": network.removal("admin", "member", { signerCertificate: admin, isOut: false }),
  "endpoint record": network.endpoint("member", { udp, tcp: udp.slice(1) }),
  "endpoint record of a node that is nowhere": network.endpoint("member"),
  "endpoint record of a relay": network.endpoint("member", { udp, isReachable: true, isRelay: true }),
  "endpoint record of a node behind a NAT": network.endpoint("member", { reflexive: udp, homes: [idOf("home"), idOf("standby")] }),
  "endpoint record of a node that takes TLS": network.endpoint("member", { udp, tcpRelay: 443 }),
  "endpoint record of a node that says goodbye": network.endpoint("member", { isStopped: true }),
  "record of a later version": signRecord(crypto, keyOf("member"), { kind: 77, subject: Uint8Array.of(1), sequence: 3, body: ["new"] }),
};

for (const [what, bytes] of Object.entries(samples)) {
  test(`${what}: it comes back from its bytes, which sign to the same again`, () => {
    const record = network.open(bytes);
    assert.deepEqual(signAgain(record), bytes);
    assert.deepEqual(record.hash, crypto.sha256(bytes));
  });

  test(`${what}: every truncation is refused, and one byte more`, () => {
    const opener = new RecordOpener(crypto);
    for (let length = 0; length < bytes.length; length++)
      assert.equal(opener.open(bytes.subarray(0, length)).ok, false, `length ${length}`);
    for (let more = 0; more < 256; more++) assert.equal(opener.open(Uint8Array.of(...bytes, more)).ok, false);
  });
}

/** With the same keys and values; what root signs again must be equal to the last byte. */
function signAgain({ content, sequence, kind, author, bytes }: SignedRecord): Uint8Array {
  const key = [keyOf("root"), keyOf("admin"), keyOf("member")].find(({ publicKey }) => Buffer.from(publicKey).toString("hex") === author);
  assert.ok(key !== undefined);
  switch (content.type) {
    case "network":
      return signNetworkStatement(crypto, key, content.network);
    case "certificate":
      return signCertificate(crypto, key, content.certificate);
    case "removal":
      return signRemoval(crypto, key, { ...content.removal, sequence });
    case "endpoint":
      return signEndpointRecord(crypto, key, { ...content.endpoint, sequence });
    case "unknown":
      return kind === 77 ? bytes : assert.fail();
  }
}

/** What a hostile author may put in the place of any field. */
const fields: readonly Field[] = [
  null,
  true,
  false,
  "",
  "b",
  "B",
  "a".repeat(64),
  0,
  1,
  8,
  24,
  30,
  65_535,
  65_536,
  -1,
  0.5,
  2 ** 53,
  Number.MAX_SAFE_INTEGER,
  NOTHING,
  new Uint8Array(16).fill(3),
  new Uint8Array(64).fill(4),
  new Uint8Array(200),
  networkIdBytes(network.id),
  Uint8Array.of(10, 0, 0, 0),
  [],
  [[1, 2]],
  [[1, 65_535]],
  [[0, 1]],
  [[1]],
  [[new Uint8Array(16).fill(1), 80]],
  [[new Uint8Array(16), 0]],
  [1],
  [[nodeKey(idOf("a"))], [nodeKey(idOf("b"))]],
  [[nodeKey(idOf("a")), 1]],
  Array.from({ length: 65 }, () => [1, 1]),
];

test("seed 1: 20,000 random bodies of every kind, all signed, either fail or sign to the same again", () => {
  const random = new SeededRandom(1);
  const believing: Crypto = { ...crypto, sign: () => new Uint8Array(64), verify: () => true };
  const opener = new RecordOpener(believing);
  const bodies: Readonly<Record<number, readonly Field[]>> = {
    [RECORD_KINDS.network]: ["home", Uint8Array.of(10, 77, 0, 0), 16, 24],
    [RECORD_KINDS.certificate]: [networkIdBytes(network.id), false, "a", 1, 0, 0, [], new Uint8Array(64), NOTHING],
    [RECORD_KINDS.removal]: [networkIdBytes(network.id), true, 5, NOTHING],
    [RECORD_KINDS.endpoint]: [networkIdBytes(network.id), [], [], [[new Uint8Array(16), 5]], false, true, false, [[nodeKey(idOf("home"))]]],
  };
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const kind = 1 + random.below(4);
    const body = [...(bodies[kind] ?? assert.fail())];
    for (let changes = random.below(3); changes > 0; changes--) body[random.below(body.length + 1)] = random.pick(fields) ?? null;
    const subject = random.below(3) === 0 ? random.bytes(random.below(40)) : kind === 2 || kind === 3 ? nodeKey(idOf("member")) : NOTHING;
    const bytes = signRecord(believing, keyOf("root"), { kind, subject, sequence: kind === 1 ? 0 : run, body });
    const opened = opener.open(bytes);
    if (!opened.ok || (kind === 1 && subject.length > 0)) continue;
    taken++;
    assert.equal(Buffer.compare(signAgainWith(believing, opened.value), bytes), 0, `run ${run}`);
  }
  assert.ok(taken > 4_000, `${taken} taken`);
});

function signAgainWith(believing: Crypto, { content, sequence }: SignedRecord): Uint8Array {
  const key = keyOf("root");
  if (content.type === "network") return signNetworkStatement(believing, key, content.network);
  if (content.type === "certificate") return signCertificate(believing, key, content.certificate);
  if (content.type === "removal") return signRemoval(believing, key, { ...content.removal, sequence });
  return content.type === "endpoint" ? signEndpointRecord(believing, key, { ...content.endpoint, sequence }) : assert.fail();
}

const refused: Readonly<Record<string, Uint8Array>> = {
  "a statement with bits beyond its prefix": statement(["home", Uint8Array.of(10, 77, 0, 1), 16, 24]),
  "a statement whose nodes do not fit": statement(["home", Uint8Array.of(10, 77, 0, 0), 16, 17]),
  "a statement with a name that is no name": statement(["Home", Uint8Array.of(10, 77, 0, 0), 16, 24]),
  "a certificate with number 0": network.certificate("member", { number: 0 }),
  "a certificate with a number above all": network.certificate("member", { number: 65_536 }),
  "a certificate with a name that is no name": network.certificate("member", { number: 1, name: "a.b" }),
  "a member's certificate with a grant": network.certificate("member", { number: 1, grant: [{ first: 1, count: 1 }] }),
  "a grant of number 0": network.certificate("member", { number: 1, role: "admin", grant: [{ first: 0, count: 2 }] }),
  "a grant of too many blocks": network.certificate("member", {
    number: 1,
    role: "admin",
    grant: Array.from({ length: 65 }, () => ({ first: 1, count: 1 })),
  }),
  "a certificate about no key": signRecord(crypto, keyOf("root"), {
    kind: RECORD_KINDS.certificate,
    subject: NOTHING,
    sequence: 1,
    body: [],
  }),
  "a removal of no key": signRecord(crypto, keyOf("root"), {
    kind: RECORD_KINDS.removal,
    subject: Uint8Array.of(1),
    sequence: 1,
    body: [networkIdBytes(network.id), true, 5, NOTHING],
  }),
  "an endpoint record about another": signRecord(crypto, keyOf("root"), {
    kind: RECORD_KINDS.endpoint,
    subject: nodeKey(idOf("member")),
    sequence: 1,
    body: [networkIdBytes(network.id), [], [], [], false, false, false, []],
  }),
  "an endpoint record without what it says of relays": endpoint([[], [], [], false]),
  "an endpoint record with a home too many": network.endpoint("member", {
    homes: Array.from({ length: MAX_HOMES + 1 }, (_, i) => idOf(`home ${i}`)),
  }),
  "a home that is no key": endpoint([[], [], [], false, false, false, [[new Uint8Array(31)]]]),
  "a home with something behind": endpoint([[], [], [], false, false, false, [[nodeKey(idOf("home")), 1]]]),
  "a flag that is none": endpoint([[], [], [], false, 1, false, []]),
  "a port for TCP relay that is none": endpoint([[], [], [], false, false, false, [], 0]),
  "a field too many": endpoint([[], [], [], false, false, false, [], 443, 1]),
  "port 0": network.endpoint("member", { udp: [{ ip: "192.0.2.1" as Ip, port: 0 }] }),
  "too many endpoints": network.endpoint("member", {
    tcp: Array.from({ length: MAX_ENDPOINTS + 1 }, (_, i) => ({ ip: "192.0.2.1" as Ip, port: i + 1 })),
  }),
};
for (const [what, bytes] of Object.entries(refused)) {
  test(`${what} is refused, though it is signed`, () => {
    const opened = new RecordOpener(crypto).open(bytes);
    assert.ok(!opened.ok && opened.fault !== "bad-signature");
  });
}

/** `body`: what follows the network. */
function endpoint(body: readonly Field[]): Uint8Array {
  return signRecord(crypto, keyOf("member"), {
    kind: RECORD_KINDS.endpoint,
    subject: NOTHING,
    sequence: 1,
    body: [networkIdBytes(network.id), ...body],
  });
}

test("the body that the others bend is a good one", () => {
  const opened = network.open(endpoint([[], [], [], false, false, false, []]));
  assert.deepEqual(opened.content, {
    type: "endpoint",
    endpoint: { ...NOWHERE, network: network.id, node: idOf("member"), isStopped: false },
  });
});

function statement(body: readonly Field[]): Uint8Array {
  return signRecord(crypto, keyOf("root"), { kind: RECORD_KINDS.network, subject: NOTHING, sequence: 0, body });
}

test("the id is of kind, author and subject, whatever else a record says", () => {
  const ids = [
    network.removal("root", "a"),
    network.removal("root", "a", { isOut: false }),
    network.removal("root", "b"),
    network.removal("admin", "a"),
    network.endpoint("root"),
  ];
  const [a, again, ...others] = ids.map((bytes) => network.open(bytes).id);
  assert.equal(a, again);
  assert.equal(new Set([a, ...others]).size, 4);
});

test("the higher sequence replaces, then the greater hash, and nothing replaces itself", () => {
  const [old, young] = [
    network.open(network.endpoint("member", { sequence: 5 })),
    network.open(network.endpoint("member", { sequence: 6 })),
  ];
  assert.deepEqual([replaces(young, old), replaces(old, young), replaces(old, old)], [true, false, false]);
  const [a, b] = [
    network.open(network.endpoint("member", { sequence: 5 })),
    network.open(network.endpoint("member", { sequence: 5, udp })),
  ];
  assert.equal(replaces(a, b), !replaces(b, a));
  assert.equal(replaces(a, b), Buffer.compare(a.hash, b.hash) > 0);
});

test("an opener checks a signature once, gives the same answer every time, and keeps bytes of its own", () => {
  let checks = 0;
  const counting: Crypto = { ...crypto, verify: (...signed) => ++checks > 0 && crypto.verify(...signed) };
  const opener = new RecordOpener(counting);
  const bytes = network.endpoint("member", { udp });
  const damaged = bytes.slice().fill(0, -1);
  for (let run = 0; run < 3; run++)
    assert.deepEqual([opener.open(bytes).ok, opener.open(damaged)], [true, { ok: false, fault: "bad-signature" }]);
  assert.equal(checks, 2);
  const passing = bytes.slice();
  const opened = new RecordOpener(crypto).open(passing);
  passing.fill(0);
  assert.ok(opened.ok);
  assert.deepEqual(opened.value.bytes, bytes);
});

test("consent is for one node and one network", () => {
  const consent = signConsent(crypto, keyOf("member"), network.id);
  assert.ok(isConsent(crypto, idOf("member"), network.id, consent));
  assert.equal(isConsent(crypto, idOf("admin"), network.id, consent), false);
  assert.equal(isConsent(crypto, idOf("member"), new SampleNetwork("other root").id, consent), false);
});

test("a grant is its blocks, first to last", () => {
  const grant = [
    { first: 1, count: 2 },
    { first: 16, count: 16 },
  ];
  assert.deepEqual(
    [0, 1, 2, 3, 15, 16, 31, 32].map((number) => isGranted(grant, number)),
    [false, true, true, false, false, true, true, false],
  );
  assert.equal(isGranted([], 1), false);
});

test("a record of a later version is known by its kind alone", () => {
  const content: RecordContent = network.open(samples["record of a later version"] ?? assert.fail()).content;
  assert.deepEqual(content, { type: "unknown" });
});

test("a record of a node that takes no TLS is what members that do not know of it read and write", () => {
  const { content } = network.open(endpoint([[], [], [], false, true, false, []]));
  assert.equal(content.type === "endpoint" && content.endpoint.tcpRelay, 0);
  const offering = network.open(endpoint([[], [], [], false, true, false, [], 443]));
  assert.equal(offering.content.type === "endpoint" && offering.content.endpoint.tcpRelay, 443);
});
