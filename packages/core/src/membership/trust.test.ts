import assert from "node:assert/strict";
import { test } from "node:test";
import { signConsent } from "../records/certificate.ts";
import { signRecord } from "../records/envelope.ts";
import { RecordOpener, type SignedRecord } from "../records/record.ts";
import { crypto, idOf, keyOf, NOTHING, SampleNetwork } from "./sample-network-fixture.ts";
import { Trust } from "./trust.ts";

const network = new SampleNetwork();
const foreign = new SampleNetwork("another root");
const admin = network.admin("admin", 16, 16);
const member = network.certificate("member", { number: 20, issuerCertificate: admin }, "admin");
const open = (bytes: Uint8Array): SignedRecord => network.open(bytes);

test("root makes admins and members, an admin members: the chain names them from the member up", () => {
  const root = idOf("root");
  assert.deepEqual(network.trust.chainOf(open(admin)), { ok: true, chain: { subject: idOf("admin"), admin: undefined, root } });
  assert.deepEqual(network.trust.chainOf(open(member)), {
    ok: true,
    chain: { subject: idOf("member"), admin: { id: idOf("admin"), number: 16, assignedWallAt: 5_000 }, root },
  });
  const byRoot = network.certificate("member", { number: 255 });
  assert.deepEqual(network.trust.chainOf(open(byRoot)), { ok: true, chain: { subject: idOf("member"), admin: undefined, root } });
});

test("an admin hands out every number of its grant, the first and the last too", () => {
  for (const number of [16, 31])
    assert.ok(network.trust.chainOf(open(network.certificate("m", { number, issuerCertificate: admin }, "admin"))).ok);
});

const refused: Readonly<Record<string, readonly [bytes: Uint8Array, fault: string]>> = {
  "a number below the grant": [network.certificate("m", { number: 15, issuerCertificate: admin }, "admin"), "not-entitled"],
  "a number above the grant": [network.certificate("m", { number: 32, issuerCertificate: admin }, "admin"), "not-entitled"],
  "a number the network does not have": [network.certificate("m", { number: 256 }), "not-entitled"],
  "a member that admits": [network.certificate("m", { number: 20, issuerCertificate: member }, "member"), "not-entitled"],
  "an admin that makes an admin": [
    network.certificate("m", { number: 20, role: "admin", grant: [{ first: 16, count: 16 }], issuerCertificate: admin }, "admin"),
    "not-entitled",
  ],
  "an admin with another admin's certificate": [
    network.certificate("m", { number: 20, issuerCertificate: network.admin("other", 16, 16) }, "admin"),
    "not-entitled",
  ],
  "an admin without a certificate": [network.certificate("m", { number: 20 }, "admin"), "not-entitled"],
  "root with a certificate": [network.certificate("m", { number: 20, issuerCertificate: admin }), "not-entitled"],
  "a stranger in root's place": [network.certificate("m", { number: 20 }, "stranger"), "not-entitled"],
  "an admin that made itself one": [
    network.certificate(
      "m",
      {
        number: 20,
        issuerCertificate: network.certificate("thief", { number: 16, role: "admin", grant: [{ first: 1, count: 255 }] }, "thief"),
      },
      "thief",
    ),
    "not-entitled",
  ],
  "a certificate in the place of the issuer's that is none": [
    network.certificate("m", { number: 20, issuerCertificate: network.endpoint("admin") }, "admin"),
    "not-entitled",
  ],
  "an issuer's certificate with a flipped bit": [
    network.certificate("m", { number: 20, issuerCertificate: admin.with(80, (admin[80] ?? 0) ^ 1) }, "admin"),
    "not-entitled",
  ],
  "an admin of another network": [
    network.certificate("m", { number: 20, issuerCertificate: foreign.admin("admin", 16) }, "admin"),
    "not-entitled",
  ],
  "another network": [foreign.certificate("m", { number: 20 }), "foreign-network"],
  "consent of another node": [
    network.certificate("m", { number: 20, consent: signConsent(crypto, keyOf("member"), network.id) }),
    "no-consent",
  ],
  "consent to another network": [
    network.certificate("m", { number: 20, consent: signConsent(crypto, keyOf("m"), foreign.id) }),
    "no-consent",
  ],
  "no consent": [network.certificate("m", { number: 20, consent: new Uint8Array(64) }), "no-consent"],
  "a record that is no certificate": [network.endpoint("m"), "not-entitled"],
};
for (const [what, [bytes, fault]] of Object.entries(refused)) {
  test(`${what} is not believed, and so every time`, () => {
    for (let run = 0; run < 2; run++) assert.deepEqual(network.trust.chainOf(open(bytes)), { ok: false, fault });
    assert.equal(network.trust.believedCertificate(bytes), undefined);
  });
}

test("certificates nested as deep as a record holds cost one check each and are not believed", () => {
  let nested = network.certificate("m", { number: 20 }, "m 1");
  for (let depth = 1; ; depth++) {
    const deeper = network.certificate(`m ${depth}`, { number: 20, name: "m", issuerCertificate: nested }, `m ${depth + 1}`);
    if (deeper.length > 8_000) break;
    nested = deeper;
  }
  assert.deepEqual(network.trust.chainOf(open(nested)), { ok: false, fault: "not-entitled" });
});

test("bytes that are no record are no certificate", () => {
  for (const bytes of [NOTHING, new Uint8Array(500), admin.subarray(1)]) assert.equal(network.trust.believedCertificate(bytes), undefined);
  assert.equal(network.trust.believedCertificate(admin)?.certificate.subject, idOf("admin"));
});

const removals: Readonly<Record<string, readonly [bytes: Uint8Array, fault: string | undefined]>> = {
  "root about anyone": [network.removal("root", "member"), undefined],
  "an admin about anyone": [network.removal("admin", "stranger", { signerCertificate: admin }), undefined],
  "a member about itself": [network.removal("member", "member", { signerCertificate: member }), undefined],
  "an admin about itself": [network.removal("admin", "admin", { signerCertificate: admin }), undefined],
  "root with a certificate": [network.removal("root", "member", { signerCertificate: admin }), "not-entitled"],
  "a member about another": [network.removal("member", "admin", { signerCertificate: member }), "not-entitled"],
  "a member about itself without its certificate": [network.removal("member", "member"), "not-entitled"],
  "a stranger about itself": [network.removal("stranger", "stranger"), "not-entitled"],
  "a stranger with an admin's certificate": [network.removal("stranger", "member", { signerCertificate: admin }), "not-entitled"],
  "the root of another network": [foreign.removal("another root", "member"), "foreign-network"],
};
for (const [what, [bytes, fault]] of Object.entries(removals)) {
  test(`removal by ${what}: ${fault ?? "may be said"}`, () => {
    const { content } = open(bytes);
    assert.ok(content.type === "removal");
    assert.equal(network.trust.faultOfRemoval(content.removal), fault);
  });
}

test("the address plan is the statement's", () => {
  assert.deepEqual([network.trust.plan.maxNumber, network.trust.plan.prefix4.ip], [255, "10.77.0.0"]);
  assert.equal(signRecord(crypto, keyOf("a"), { kind: 9, subject: NOTHING, sequence: 0, body: [] }).length, 112); // the smallest record: bounds what joining can bring
});

test("a chain of certificates of ever more admins costs two signature checks, not one a link", () => {
  let shown = network.admin("a0", 1);
  for (let depth = 1; depth < 12; depth++)
    shown = network.certificate(`a${depth}`, { number: 1, issuerCertificate: shown }, `a${depth - 1}`);
  let verified = 0;
  const counting = { ...crypto, verify: (...args: Parameters<typeof crypto.verify>) => ++verified > 0 && crypto.verify(...args) };
  const opener = new RecordOpener(counting);
  const trust = new Trust({ crypto: counting, opener, network: network.id, statement: network.trust.statement });
  assert.equal(trust.believedCertificate(shown), undefined);
  assert.equal(verified, 2);
});
