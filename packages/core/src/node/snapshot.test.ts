import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLengths, checkRandomInputs, checkRoundTrip } from "../bytes/check-codec-fixture.ts";
import { packFields } from "../bytes/fields.ts";
import { EMPTY_LEDGER } from "../membership/ledger.ts";
import { idOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { decodeRecords, decodeSnapshot, encodeRecords, encodeSnapshot, type NodeSnapshot } from "./snapshot.ts";

const { statementBytes: statement } = new SampleNetwork();
const base: NodeSnapshot = {
  statement,
  certificate: new Uint8Array(8_192).fill(2),
  sequence: 0,
  udpPort: 0,
  tcpPort: 65_535,
  stampsUntil: 0,
  hasLeft: false,
  relayLimit: 100,
  tcpRelay: 443,
  ledger: EMPTY_LEDGER,
};
const full: NodeSnapshot = {
  statement,
  certificate: new Uint8Array(20).fill(1),
  sequence: Number.MAX_SAFE_INTEGER,
  udpPort: 51_820,
  tcpPort: 443,
  stampsUntil: 1_790_000_000_000,
  hasLeft: true,
  relayLimit: 100,
  tcpRelay: 443,
  ledger: {
    serial: 1_790_000_000_000,
    assignments: [{ node: idOf("a"), number: 65_535, generation: 3, certificate: new Uint8Array(30).fill(9) }],
    invites: [
      { invite: idOf("i"), uses: 65_535, expiresWallAt: 5, usedBy: [idOf("a"), idOf("b")] },
      { invite: idOf("j"), uses: 1, expiresWallAt: 0, usedBy: [] },
    ],
  },
};
const snapshots = { samples: [full], encode: encodeSnapshot, decode: decodeSnapshot };

test("a snapshot comes back from its bytes", () => checkRoundTrip({ ...snapshots, samples: [full, base] }));
test("every truncation of a snapshot is refused, and one byte more", () => checkLengths(snapshots));
test("seed 1: 20,000 random snapshots either fail or encode back to themselves", () => checkRandomInputs(snapshots, 1));

const impossible: Readonly<Record<string, NodeSnapshot>> = {
  "a port above 65,535": { ...base, udpPort: 65_536 },
  "a certificate longer than a record": { ...base, certificate: new Uint8Array(8_193) },
  "a sequence that is no whole number": { ...base, sequence: 0.5 },
  "number 0": {
    ...full,
    ledger: { ...full.ledger, assignments: full.ledger.assignments.map((assignment) => ({ ...assignment, number: 0 })) },
  },
  "an invite without uses": { ...full, ledger: { ...full.ledger, invites: full.ledger.invites.map((invite) => ({ ...invite, uses: 0 })) } },
};
for (const [what, snapshot] of Object.entries(impossible)) {
  test(`a snapshot with ${what} is refused`, () =>
    assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), { ok: false, fault: "out-of-range" }));
}

const documents = {
  samples: [[], [new Uint8Array()], [statement, new Uint8Array(300).fill(1)]] as readonly (readonly Uint8Array[])[],
  encode: encodeRecords,
  decode: decodeRecords,
};
test("records come back from their document", () => checkRoundTrip(documents));
test("every truncation of a records document is refused, and one byte more", () => checkLengths(documents));
test("seed 2: 20,000 random records documents either fail or encode back to themselves", () => checkRandomInputs(documents, 2));

test("a document of 20,000 records comes back", () =>
  checkRoundTrip({ ...documents, samples: [Array.from({ length: 20_000 }, (_, i) => Uint8Array.of(i >> 8, i & 255))] }));

test("snapshots of earlier versions are read: what they do not say is as it was then", () => {
  const fields = (version: number, ...limit: readonly number[]): Uint8Array =>
    packFields([version, statement, base.certificate, 7, 51_820, 443, 5, false, ...limit, 0, [], []]);
  const decoded = [fields(2), fields(3, 20), fields(4, 20, 443)].map((bytes) => decodeSnapshot(bytes));
  assert.deepEqual(
    decoded.map((one) => one.ok && [one.value.relayLimit, one.value.tcpRelay]),
    [
      [100, 0],
      [20, 0],
      [20, 443],
    ],
  );
});

test("later versions are told apart", () => {
  for (const decode of [decodeSnapshot, decodeRecords])
    assert.deepEqual(decode(packFields([5, []])), { ok: false, fault: "unknown-version" });
});
