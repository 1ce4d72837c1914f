import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorCode, MeshError } from "../errors.ts";
import { formatInvite } from "../membership/invite.ts";
import { encodeJoinResponse, JOIN_REFUSALS } from "../membership/join-message.ts";
import { EMPTY_LEDGER } from "../membership/ledger.ts";
import { crypto, idOf, keyOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { finishJoin, readInvite } from "./join-network.ts";

const network = new SampleNetwork();
const admin = network.admin("admin", 16);
const line = formatInvite(crypto, {
  statement: network.statementBytes,
  issuer: idOf("admin"),
  seed: new Uint8Array(32),
  expiresWallAt: 5,
  uses: 1,
  members: [],
});
const invite = readInvite(crypto, line);
const certificate = network.certificate("joiner", { number: 17, issuerCertificate: admin }, "admin");

function finish(response: Uint8Array): ReturnType<typeof finishJoin> {
  return finishJoin(crypto, { invite, key: keyOf("joiner"), response });
}

function refusalOf(act: () => unknown): readonly [ErrorCode, unknown] {
  try {
    act();
  } catch (error) {
    if (error instanceof MeshError && error.hint !== undefined && error.message.endsWith(".")) return [error.code, error.details];
  }
  return assert.fail("it should be refused with a sentence and a hint");
}

test("an invite that cannot be read says why", () => {
  assert.deepEqual(
    refusalOf(() => readInvite(crypto, "hello")),
    ["invite/unreadable", { reason: "not-an-invite" }],
  );
  assert.deepEqual(
    refusalOf(() => readInvite(crypto, line.slice(0, -1))),
    ["invite/unreadable", { reason: "altered" }],
  );
});

test("an answer that holds makes a node of it", () => {
  const { snapshot, records } = finish(encodeJoinResponse({ outcome: "admitted", certificate, records: [admin] }));
  assert.deepEqual(snapshot, {
    statement: network.statementBytes,
    certificate,
    sequence: 0,
    stampsUntil: 0,
    hasLeft: false,
    relayLimit: 100,
    tcpRelay: 0,
    ledger: EMPTY_LEDGER,
  });
  assert.deepEqual(records, [admin]);
});

for (const reason of JOIN_REFUSALS) {
  test(`refused, ${reason}: a person is told what and what to do`, () => {
    assert.deepEqual(
      refusalOf(() => finish(encodeJoinResponse({ outcome: "refused", reason }))),
      ["invite/refused", { reason }],
    );
  });
}

test("an answer is not believed unless this network's root stands behind a certificate for this very key", () => {
  const foreign = new SampleNetwork("another root");
  const untrue = [
    network.certificate("another", { number: 17, issuerCertificate: admin }, "admin"),
    network.certificate("joiner", { number: 99, issuerCertificate: admin }, "admin"),
    foreign.certificate("joiner", { number: 17 }),
    certificate.with(90, (certificate[90] ?? 0) ^ 1),
    admin,
    new Uint8Array(),
  ].map((shown) => encodeJoinResponse({ outcome: "admitted", certificate: shown, records: [] }));
  for (const response of [...untrue, new Uint8Array(), Uint8Array.of(1, 2, 3)])
    assert.deepEqual(
      refusalOf(() => finish(response)),
      ["invite/refused", { reason: "untrue" }],
    );
});
