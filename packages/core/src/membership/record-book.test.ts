import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEndpoint } from "../address/endpoint.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { nodeId } from "../ids/node-id.ts";
import { signConsent } from "../records/certificate.ts";
import { signRecord } from "../records/envelope.ts";
import { RecordOpener } from "../records/record.ts";
import { RecordSet } from "../records/record-set.ts";
import { signRemoval } from "../records/removal.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { RecordBook } from "./record-book.ts";
import { beliefOf, crypto, idOf, keyOf, NOTHING, SampleNetwork } from "./sample-network-fixture.ts";
import { Trust } from "./trust.ts";

const network = new SampleNetwork();
const admin = network.admin("admin", 16, 200);
const member = network.certificate("member", { number: 20, issuerCertificate: admin }, "admin");
const udp = [parseEndpoint("192.0.2.1:51820") ?? assert.fail()];

function laterKind(key: SigningKey, subject: number, signing: Crypto = crypto): Uint8Array {
  return signRecord(signing, key, { kind: 99, subject: Uint8Array.of(subject >> 8, subject & 255), sequence: 1, body: [] });
}

test("a record is new once, then known; an older one is known", () => {
  const book = network.book();
  const [older, newer] = [network.endpoint("member"), network.endpoint("member", { udp })];
  const outcomes = (records: readonly Uint8Array[]): readonly string[] => book.merge(records).map(({ outcome }) => outcome);
  assert.deepEqual(outcomes([newer, member]), ["new", "new"]); // the certificate first, whatever the order
  assert.deepEqual(outcomes([member, newer, older]), ["known", "known", "known"]);
  assert.equal(book.set.size, 3);
});

test("judging changes nothing and says what merging will say", () => {
  const book = network.book();
  const root = book.set.root();
  assert.equal(book.judge(member).outcome, "new");
  assert.deepEqual(book.judge(network.endpoint("member")), { outcome: "refused", fault: "not-entitled" });
  assert.deepEqual(book.judge(Uint8Array.of(1)), { outcome: "refused", fault: "truncated" });
  assert.deepEqual(book.set.root(), root);
});

test("another network's statement, endpoints and kinds of strangers are refused", () => {
  const foreign = new SampleNetwork("another root");
  const book = network.book();
  book.merge([member]);
  const faultOf = (bytes: Uint8Array): unknown => book.judge(bytes);
  assert.deepEqual(faultOf(foreign.statementBytes), { outcome: "refused", fault: "foreign-network" });
  assert.deepEqual(faultOf(network.endpoint("member", { network: foreign.id })), { outcome: "refused", fault: "foreign-network" });
  assert.deepEqual(faultOf(network.endpoint("stranger")), { outcome: "refused", fault: "not-entitled" });
  assert.deepEqual(faultOf(laterKind(keyOf("stranger"), 0)), { outcome: "refused", fault: "not-entitled" });
});

test("what a node says of itself goes with its membership, and comes again with it; its certificate stays", () => {
  const book = network.book();
  book.merge([admin, member, network.endpoint("member"), laterKind(keyOf("member"), 0)]);
  assert.equal(book.set.countOf(idOf("member")), 2);
  book.merge([network.removal("root", "member")]);
  assert.equal(book.set.countOf(idOf("member")), 0);
  assert.deepEqual(book.judge(network.endpoint("member")), { outcome: "refused", fault: "not-entitled" });
  assert.equal(book.membership.former.get(idOf("member"))?.how, "removed");
  book.merge([network.removal("root", "member", { isOut: false }), network.endpoint("member")]);
  assert.equal(book.set.countOf(idOf("member")), 1);
});

test("who may connect: the certificate must be shown by its own node, hold, and not have ended", () => {
  const book = network.book();
  assert.equal(book.refuseMember(idOf("member"), member), undefined);
  assert.match(book.refuseMember(idOf("member"), admin) ?? "", /another node/);
  assert.match(book.refuseMember(idOf("member"), NOTHING) ?? "", /no certificate/);
  book.merge([network.removal("admin", "member", { signerCertificate: admin })]);
  assert.match(book.refuseMember(idOf("member"), member) ?? "", /was removed/);
  const left = network.book();
  left.merge([network.removal("member", "member", { signerCertificate: member })]);
  assert.match(left.refuseMember(idOf("member"), member) ?? "", /left/);
});

test("a member fills no more than its share, an admin no more than its own, and what is there can still be replaced", () => {
  const book = network.book();
  book.merge([admin, member, network.endpoint("member")]);
  const flood = Array.from({ length: 40 }, (_, i) => laterKind(keyOf("member"), i));
  const verdicts = book.merge(flood);
  assert.equal(verdicts.filter(({ outcome }) => outcome === "new").length, 16);
  assert.deepEqual(verdicts.at(-1), { outcome: "refused", fault: "too-many" });
  assert.equal(book.set.countOf(idOf("member")), 17);
  assert.equal(book.judge(network.endpoint("member")).outcome, "new");
  const many = Array.from({ length: 100 }, (_, i) => network.certificate(`m${i}`, { number: 20 + i, issuerCertificate: admin }, "admin"));
  book.merge(many);
  assert.equal(book.set.countOf(idOf("admin")), 101);
});

test("an admin fills no more with kinds of later versions than a member does", () => {
  const book = network.book();
  book.merge([admin]);
  book.merge(Array.from({ length: 40 }, (_, i) => laterKind(keyOf("admin"), i)));
  assert.equal(book.set.countOf(idOf("admin"), "unknown"), 16);
});

test("what others change keeps a pace of four and then one in 5 s; our own changes do not wait", () => {
  const book = network.book();
  book.merge([admin, member]);
  const outcomes = (now: number | undefined, count: number): readonly string[] =>
    book
      .merge(
        Array.from({ length: count }, () => network.endpoint("member")),
        now,
      )
      .map((verdict) => (verdict.outcome === "refused" ? verdict.fault : verdict.outcome));
  assert.deepEqual(outcomes(0, 7), ["new", "new", "new", "new", "new", "too-fast", "too-fast"]);
  assert.deepEqual(outcomes(4_999, 1), ["too-fast"]);
  assert.deepEqual(outcomes(5_000, 2), ["new", "too-fast"]);
  assert.deepEqual(outcomes(undefined, 3), ["new", "new", "new"]);
});

test("what a stranger says of itself is refused before its signature costs anything", () => {
  let verified = 0;
  const counting = { ...crypto, verify: (...args: Parameters<typeof crypto.verify>) => ++verified > 0 && crypto.verify(...args) };
  const opener = new RecordOpener(counting);
  const trust = new Trust({ crypto: counting, opener, network: network.id, statement: network.trust.statement });
  const book = new RecordBook({ trust, opener, set: new RecordSet(counting) });
  assert.deepEqual(book.judge(network.endpoint("stranger")), { outcome: "refused", fault: "not-entitled" });
  assert.equal(verified, 0);
});

test("an admin fills no more than 16,384 records", () => {
  const believing: Crypto = { ...crypto, sign: () => new Uint8Array(64), verify: () => true };
  const opener = new RecordOpener(believing);
  const set = new RecordSet(believing);
  const book = new RecordBook({
    trust: new Trust({ crypto: believing, opener, network: network.id, statement: network.trust.statement }),
    opener,
    set,
  });
  book.merge([admin]);
  const removalOf = (i: number): Uint8Array => {
    const target = nodeId(crypto.sha256(Uint8Array.of(i >> 8, i & 255)));
    const common = { network: network.id, isOut: true, wallAt: 1, sequence: i, signerCertificate: admin };
    return signRemoval(believing, keyOf("admin"), { ...common, target });
  };
  const verdicts = book.merge(Array.from({ length: 16_400 }, (_, i) => removalOf(i)));
  assert.equal(verdicts.filter(({ outcome }) => outcome === "new").length, 16_384);
  assert.equal(set.countOf(idOf("admin")), 16_384);
});

test("one merge into an empty book brings an admin's removals with its certificates, however many", () => {
  const certificates = Array.from({ length: 30 }, (_, i) =>
    network.certificate(`m${i}`, { number: 20 + i, issuerCertificate: admin }, "admin"),
  );
  const removals = Array.from({ length: 10 }, (_, i) => network.removal("admin", `m${i}`, { signerCertificate: admin }));
  const book = network.book();
  const verdicts = book.merge([...removals, ...certificates, admin]);
  assert.deepEqual(new Set(verdicts.map(({ outcome }) => outcome)), new Set(["new"]));
  assert.equal(book.membership.members.size, 21);
});

test("an admin's removals are taken the same after it is gone", () => {
  const certificates = Array.from({ length: 30 }, (_, i) =>
    network.certificate(`m${i}`, { number: 20 + i, issuerCertificate: admin }, "admin"),
  );
  const removal = network.removal("admin", "m1", { signerCertificate: admin });
  const [before, after] = [network.book(), network.book()];
  before.merge([admin, ...certificates, removal]);
  before.merge([network.removal("root", "admin", { sequence: 5_000_000 })]);
  after.merge([admin, ...certificates, network.removal("root", "admin", { sequence: 5_000_000 })]);
  after.merge([removal]);
  assert.deepEqual(after.set.root(), before.set.root());
});

for (let seed = 1; seed <= 25; seed++) {
  test(`seed ${seed}: books fed in any order agree, believe no forged word, and trust nobody that was removed`, () => {
    const random = new SeededRandom(seed);
    const world = new World(random);
    const books = Array.from({ length: 4 }, () => world.network.book());
    for (const book of books) feed(book, world.records, random);
    const [first = assert.fail(), ...others] = books;
    for (const other of others) {
      assert.deepEqual(other.set.root(), first.set.root());
      assert.deepEqual(beliefOf(other), beliefOf(first));
    }
    checkInvariants(first, world);
  });
}

/** As gossip and sync do: in random order and batches, again and again until nothing is new. */
function feed(book: RecordBook, records: readonly Uint8Array[], random: SeededRandom): void {
  for (let isNew = true; isNew; ) {
    isNew = false;
    const left = records
      .map((record) => [random.next(), record] as const)
      .sort(([a], [b]) => a - b)
      .map(([, record]) => record);
    while (left.length > 0) {
      const verdicts = book.merge(left.splice(0, 1 + random.below(12)));
      isNew ||= verdicts.some(({ outcome }) => outcome === "new");
    }
  }
}

function checkInvariants({ membership }: RecordBook, world: World): void {
  const owners = [...membership.members.values()].filter(({ isConflicted }) => !isConflicted).map(({ certificate }) => certificate.number);
  assert.equal(new Set(owners).size, owners.length, "one owner a number");
  const names = [...membership.members.values()].map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, "one node a name");
  for (const { certificate } of membership.members.values()) {
    assert.ok(!world.forged.has(`${certificate.subject} ${certificate.serial}`), "a forged certificate is believed");
    for (const remover of world.removersOf(certificate.issuer, certificate.subject))
      assert.ok(!world.isOut(remover, certificate.subject), "a removed node is a member");
    if (certificate.issuer !== idOf("root")) assert.ok(!world.isOut("root", certificate.issuer), "a member below a removed admin");
  }
  for (const { certificate } of membership.former.values()) assert.ok(!membership.members.has(certificate.subject));
}

/** A random network: honest words, and those that nobody is entitled to. */
class World {
  readonly network: SampleNetwork = new SampleNetwork();
  readonly records: Uint8Array[] = [];
  /** Subject and serial of certificates that must not be believed. */
  readonly forged: Set<string> = new Set();
  readonly #random: SeededRandom;
  readonly #names: readonly string[] = Array.from({ length: 8 }, (_, i) => `node-${i}`);
  readonly #admins: readonly string[] = ["admin-a", "admin-b", "admin-c"];
  readonly #certificates = new Map<string, Uint8Array>();
  /** Signer and target of removals, with the latest word. */
  readonly #words = new Map<string, { readonly sequence: number; readonly isOut: boolean }>();
  #serial = 10;

  constructor(random: SeededRandom) {
    this.#random = random;
    for (const [i, name] of this.#admins.entries()) this.#add(name, this.network.admin(name, 16 * (i + 1)));
    for (let step = 0; step < 60; step++) this.#step();
  }

  /** Whose removal of this subject ends a chain by this issuer. */
  removersOf(issuer: string, subject: string): readonly string[] {
    return [
      "root",
      ...this.#admins.filter((name) => idOf(name) === issuer),
      ...[...this.#names, ...this.#admins].filter((name) => idOf(name) === subject),
    ];
  }

  isOut(signer: string, target: string): boolean {
    return this.#words.get(`${idOf(signer)} ${target}`)?.isOut ?? false;
  }

  #step(): void {
    const random = this.#random;
    const name = random.pick(this.#names) ?? "";
    const [adminIndex, otherIndex] = [random.below(3), random.below(3)];
    const issuer = this.#admins[adminIndex] ?? "";
    const choice = {
      name: random.pick(["web", "db", name]) ?? name,
      generation: random.below(3),
      assignedWallAt: random.below(4),
      serial: this.#serial++,
      issuerCertificate: this.#certificates.get(issuer) ?? NOTHING,
    };
    const number = 16 * (adminIndex + 1) + random.below(4);
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2:
        return this.#add(name, this.network.certificate(name, { ...choice, number }, issuer));
      case 3:
        return this.#add(name, this.network.certificate(name, { ...choice, number: 1 + random.below(60), issuerCertificate: NOTHING }));
      case 4: {
        const grant = [
          { first: 16 * (adminIndex + 1), count: 16 },
          { first: 80 + 16 * adminIndex, count: 1 + random.below(16) },
        ];
        return this.#add(
          issuer,
          this.network.certificate(issuer, { ...choice, number: 16 * (adminIndex + 1), role: "admin", grant, issuerCertificate: NOTHING }),
        );
      }
      case 5:
      case 6:
        return this.#remove(random.pick(["root", issuer, name]) ?? "", random.pick([name, issuer, this.#admins[otherIndex] ?? ""]) ?? "");
      case 7:
        this.records.push(this.network.endpoint(random.pick([name, issuer, "stranger"]) ?? name, { sequence: this.#serial++ }));
        return;
      default:
        return this.#forge(name, { ...choice, number });
    }
  }

  #add(name: string, certificate: Uint8Array): void {
    this.#certificates.set(name, certificate);
    this.records.push(certificate);
  }

  #remove(signer: string, target: string): void {
    const sequence = this.#random.below(1_000_000);
    const isOut = this.#random.below(4) > 0;
    const signerCertificate = signer === "root" ? NOTHING : (this.#certificates.get(signer) ?? NOTHING);
    this.records.push(this.network.removal(signer, target, { sequence, isOut, signerCertificate }));
    const isEntitled = signer === "root" || (signerCertificate.length > 0 && (this.#admins.includes(signer) || signer === target));
    const key = `${idOf(signer)} ${idOf(target)}`;
    if (isEntitled && sequence > (this.#words.get(key)?.sequence ?? -1)) this.#words.set(key, { sequence, isOut });
  }

  #forge(name: string, choice: { readonly number: number; readonly serial: number; readonly issuerCertificate: Uint8Array }): void {
    const foreign = new SampleNetwork("another root");
    const forgeries: readonly (() => Uint8Array)[] = [
      () => this.network.certificate(name, { ...choice, number: 200 }, "admin-a"),
      () => this.network.certificate(name, choice, "stranger"),
      () => this.network.certificate(name, { ...choice, issuerCertificate: this.#certificates.get("node-1") ?? NOTHING }, "node-1"),
      () => this.network.certificate(name, { ...choice, role: "admin", grant: [{ first: 1, count: 255 }] }, "admin-b"),
      () =>
        this.network.certificate(name, {
          ...choice,
          consent: signConsent(crypto, keyOf("stranger"), this.network.id),
          issuerCertificate: NOTHING,
        }),
      () => foreign.certificate(name, { ...choice, issuerCertificate: NOTHING }),
    ];
    const forgery = this.#random.pick(forgeries) ?? assert.fail();
    this.forged.add(`${idOf(name)} ${choice.serial}`);
    this.records.push(
      forgery(),
      this.network.removal("stranger", name, { signerCertificate: this.#certificates.get("admin-a") ?? NOTHING }),
    );
  }
}
