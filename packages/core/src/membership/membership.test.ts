import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeId } from "../ids/node-id.ts";
import type { SignedRecord } from "../records/record.ts";
import { compileMembership, type Membership } from "./membership.ts";
import { idOf, keyOf, SampleNetwork } from "./sample-network-fixture.ts";
import type { ChainVerdict, Trust } from "./trust.ts";

const network = new SampleNetwork();
const admin = network.admin("admin", 16, 16);
const other = network.admin("other", 32, 16);
const child = network.certificate("child", { number: 17, issuerCertificate: admin }, "admin");
const byAdmin = { signerCertificate: admin };

/** What these records make, the same in both orders. */
function compile(...records: readonly Uint8Array[]): Membership {
  const forth = compileMembership(
    network.trust,
    records.map((bytes) => network.open(bytes)),
  );
  const back = compileMembership(
    network.trust,
    records.toReversed().map((bytes) => network.open(bytes)),
  );
  assert.deepEqual([[...back.members], sorted(back.former)], [[...forth.members], sorted(forth.former)]);
  return forth;
}

function sorted<T>(map: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function namesOf({ members }: Membership): readonly string[] {
  return [...members.values()].map(
    ({ certificate, name, isConflicted }) => `${certificate.number} ${name}${isConflicted ? " conflict" : ""}`,
  );
}

test("members come in order of number; what is not believed is not there", () => {
  const forged = network.certificate("thief", { number: 18, issuerCertificate: child }, "child");
  assert.deepEqual(namesOf(compile(child, forged, other, admin)), ["16 admin", "17 child", "32 other"]);
});

// Which removals end whose membership: signer, target, and who is left of admin, child and other.
const words: Readonly<Record<string, readonly [removals: readonly Uint8Array[], left: readonly string[]]>> = {
  "root stands above all": [[network.removal("root", "child")], ["admin", "other"]],
  "root removes an admin with all it admitted": [[network.removal("root", "admin")], ["other"]],
  "an admin stands above those it admitted": [[network.removal("admin", "child", byAdmin)], ["admin", "other"]],
  "an admin does not stand above another admin": [[network.removal("admin", "other", byAdmin)], ["admin", "child", "other"]],
  "an admin does not stand above what another admitted": [
    [network.removal("other", "child", { signerCertificate: other })],
    ["admin", "child", "other"],
  ],
  "nobody stands above root": [[network.removal("admin", "root", byAdmin)], ["admin", "child", "other"]],
  "a member leaves": [[network.removal("child", "child", { signerCertificate: child })], ["admin", "other"]],
  "an admin that leaves takes nobody along": [[network.removal("admin", "admin", byAdmin)], ["child", "other"]],
  "back in is no removal": [[network.removal("root", "child", { isOut: false })], ["admin", "child", "other"]],
  "back in by another does not undo": [
    [network.removal("root", "child"), network.removal("admin", "child", { ...byAdmin, isOut: false })],
    ["admin", "other"],
  ],
  "back in by itself does not undo": [
    [network.removal("root", "child"), network.removal("child", "child", { signerCertificate: child, isOut: false })],
    ["admin", "other"],
  ],
};
for (const [what, [removals, left]] of Object.entries(words)) {
  test(what, () => assert.deepEqual([...compile(admin, other, child, ...removals).members.values()].map(({ name }) => name).sort(), left));
}

test("a node adopted by root stays when its admin is removed, and falls when root removes it", () => {
  const adopted = network.certificate("child", { number: 17 });
  const removal = network.removal("root", "admin");
  assert.deepEqual(namesOf(compile(admin, child, adopted, removal)), ["17 child"]);
  assert.deepEqual(namesOf(compile(admin, child, adopted, removal, network.removal("root", "child"))), []);
  assert.deepEqual(namesOf(compile(admin, child, adopted, network.removal("admin", "child", byAdmin))), ["16 admin", "17 child"]);
});

test("who left and who was removed is told apart, by the newest certificate", () => {
  const older = network.certificate("child", { number: 3, serial: 1 });
  const { former } = compile(admin, older, child, network.removal("root", "child"), network.removal("admin", "admin", byAdmin));
  assert.deepEqual([former.get(idOf("child"))?.how, former.get(idOf("admin"))?.how], ["removed", "left"]);
  assert.equal(former.get(idOf("child"))?.certificate.number, 17);
});

test("removals of unknown keys wait for them", () => {
  const { members, endOf } = compile(network.removal("root", "child"), admin);
  assert.equal(members.size, 1);
  const root = idOf("root");
  assert.equal(endOf({ subject: idOf("child"), admin: { id: idOf("admin"), number: 16, assignedWallAt: 0 }, root }), "removed");
  assert.equal(endOf({ subject: idOf("admin"), admin: undefined, root }), undefined);
});

test("of several certificates of one key the highest generation counts, then the highest serial", () => {
  const high = network.certificate("child", { number: 40, generation: 1, serial: 1 });
  assert.deepEqual(namesOf(compile(admin, child, high)), ["16 admin", "40 child"]);
  const late = network.certificate("child", { number: 41, serial: 9_999_999 });
  assert.deepEqual(namesOf(compile(admin, child, late)), ["16 admin", "41 child"]);
  assert.deepEqual(namesOf(compile(admin, child, late, network.removal("admin", "child", byAdmin))), ["16 admin", "41 child"]);
});

test("no admin takes over a member of another one, or one that root made, whatever generation and serial it writes", () => {
  const other = network.admin("other", 64);
  const grab = (subject: string): Uint8Array =>
    network.certificate(subject, { number: 65, name: "taken", generation: 9, serial: 9_999_999, issuerCertificate: other }, "other");
  assert.deepEqual(namesOf(compile(admin, other, child, grab("child"))), ["16 admin", "17 child", "64 other"]);
  assert.deepEqual(namesOf(compile(admin, other, grab("admin"))), ["16 admin", "64 other"]);
  // Only when the first admin's word has ended does the other's count.
  assert.deepEqual(namesOf(compile(admin, other, child, grab("child"), network.removal("root", "admin"))), ["64 other", "65 taken"]);
});

test("no admin dates an assignment before it became one: an old name stays with who has it", () => {
  const other = network.certificate("other", { number: 64, role: "admin", grant: [{ first: 65, count: 9 }], assignedWallAt: 7_000 });
  const squatter = network.certificate("squatter", { name: "child", number: 65, assignedWallAt: 0, issuerCertificate: other }, "other");
  assert.deepEqual(namesOf(compile(admin, other, child, squatter)), ["16 admin", "17 child", "64 other", "65 child-2"]);
});

test("of several holders of one number: the higher generation, then the older assignment, then the lower key", () => {
  const claim = (name: string, generation: number, assignedWallAt: number): Uint8Array =>
    network.certificate(name, { number: 50, generation, assignedWallAt });
  assert.deepEqual(namesOf(compile(claim("a", 1, 9), claim("b", 0, 1))).toSorted(), ["50 a", "50 b conflict"]);
  assert.deepEqual(namesOf(compile(claim("a", 1, 9), claim("b", 1, 1))).toSorted(), ["50 a conflict", "50 b"]);
  const [low = assert.fail(), high = assert.fail()] = ["a", "b"].sort((a, b) => Buffer.compare(keyOf(a).publicKey, keyOf(b).publicKey));
  assert.deepEqual(namesOf(compile(claim("a", 1, 1), claim("b", 1, 1))), [`50 ${low}`, `50 ${high} conflict`]);
});

test("when the owner of a number goes, the other is routed", () => {
  const [a, b] = [network.certificate("a", { number: 50, assignedWallAt: 1 }), network.certificate("b", { number: 50, assignedWallAt: 2 })];
  assert.deepEqual(namesOf(compile(a, b, network.removal("root", "a"))), ["50 b"]);
});

test("a contested name stays with the certificate assigned first; no name is given twice", () => {
  const node = (key: string, name: string, number: number, assignedWallAt: number): Uint8Array =>
    network.certificate(key, { name, number, assignedWallAt });
  const records = [node("k1", "web", 3, 30), node("k2", "web", 2, 10), node("k3", "web", 4, 40), node("k4", "web-2", 5, 20)];
  assert.deepEqual(namesOf(compile(...records)), ["2 web", "3 web-3", "4 web-4", "5 web-2"]);
});

test("a contested name of full length is still a DNS label", () => {
  const long = "x".repeat(63);
  const names = [
    ...compile(
      network.certificate("a", { name: long, number: 2, assignedWallAt: 1 }),
      network.certificate("b", { name: long, number: 3, assignedWallAt: 2 }),
    ).members.values(),
  ].map(({ name }) => name);
  assert.equal(names[0], long);
  assert.match(names[1] ?? "", /^x{61}-2$/);
});

test("names of thousands who chose the same are found in a few steps each", () => {
  const trust: Trust = Object.assign(Object.create(network.trust), { chainOf });
  const sample = network.open(network.certificate("web", { number: 1 }));
  let steps = 0;
  const records = Array.from({ length: 2_000 }, (_, i): SignedRecord => {
    assert.ok(sample.content.type === "certificate");
    const certificate = { ...sample.content.certificate, subject: nodeId(Uint8Array.of(i >> 8, i & 255)) };
    Object.defineProperty(certificate, "name", {
      get: () => {
        steps++;
        return "web";
      },
    });
    return { ...sample, content: { type: "certificate", certificate } };
  });
  const names = new Set([...compileMembership(trust, records).members.values()].map(({ name }) => name));
  assert.ok(names.size === 2_000 && names.has("web") && names.has("web-2") && names.has("web-2000"));
  assert.ok(steps < 20_000, `${steps} steps`);
});

function chainOf({ content }: SignedRecord): ChainVerdict {
  assert.ok(content.type === "certificate");
  return { ok: true, chain: { subject: content.certificate.subject, admin: undefined, root: idOf("root") } };
}
