import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes } from "../bytes/bytes.ts";
import { crypto, idOf, keyOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { signEndpointRecord } from "./endpoint-record.ts";
import { signRecord } from "./envelope.ts";
import type { SignedRecord } from "./record.ts";
import { RecordSet, SUMMARY_ENTRY_BYTES } from "./record-set.ts";

const network = new SampleNetwork();
const ALL = Array.from({ length: 256 }, (_, i) => i);
/** Three versions of each of 60 records of three authors. */
const pool: readonly SignedRecord[] = Array.from({ length: 180 }, (_, i) =>
  network.open(
    signRecord(crypto, keyOf(`author ${i % 3}`), {
      kind: 101 + (i % 4),
      subject: Uint8Array.of(i % 60),
      sequence: 1 + Math.floor(i / 90),
      body: [i],
    }),
  ),
);

function setOf(records: Iterable<SignedRecord>): RecordSet {
  const set = new RecordSet(crypto);
  for (const record of records) set.put(record);
  return set;
}

function contentsOf(set: RecordSet): readonly string[] {
  return [...set.values()].map((record) => Buffer.from(record.bytes).toString("hex")).sort();
}

test("every order of four versions of two records gives one set", () => {
  const versions = [pool[0], pool[60], pool[120], pool[1]].map((record) => record ?? assert.fail());
  const roots = permutations(versions).map((order) => Buffer.from(setOf(order).root()).toString("hex"));
  assert.equal(roots.length, 24);
  assert.equal(new Set(roots).size, 1);
});

test("seed 1: 200 random orders of 180 records give one set", () => {
  const random = new SeededRandom(1);
  const wanted = setOf(pool);
  for (let run = 0; run < 200; run++) {
    const set = setOf(shuffled(pool, random));
    assert.deepEqual(set.root(), wanted.root(), `run ${run}`);
    assert.equal(set.size, 60);
  }
  assert.deepEqual(contentsOf(setOf(shuffled(pool, random))), contentsOf(wanted));
});

test("seed 2: digests are equal exactly when sets are, however they came to be", () => {
  const random = new SeededRandom(2);
  for (let run = 0; run < 150; run++) {
    const some = pool.filter(() => random.below(8) === 0);
    const a = setOf(some);
    const b = setOf(shuffled(some, random));
    assert.deepEqual(b.root(), a.root(), "asked before the change too: hashes are kept");
    if (random.below(2) === 0) b.put(random.pick(pool) ?? assert.fail());
    if (random.below(2) === 0) b.remove((random.pick(pool) ?? assert.fail()).id);
    const isEqual = contentsOf(a).join() === contentsOf(b).join();
    assert.equal(Buffer.compare(a.root(), b.root()) === 0, isEqual, `run ${run}`);
    assert.equal(Buffer.compare(a.buckets(), b.buckets()) === 0, isEqual);
  }
});

test("seed 3: one exchange heals any two sets, and again there is nothing to send", () => {
  const random = new SeededRandom(3);
  for (let run = 0; run < 100; run++) {
    const [a, b] = [setOf(pool.filter(() => random.below(3) === 0)), setOf(pool.filter(() => random.below(3) === 0))];
    const buckets = differing(a, b);
    const [forA, forB] = [b.missingFrom(buckets, a.summary(buckets)), a.missingFrom(buckets, b.summary(buckets))];
    for (const bytes of forA) assert.ok(a.put(network.open(bytes)), "nothing is sent that is not wanted");
    for (const bytes of forB) assert.ok(b.put(network.open(bytes)), "nothing is sent that is not wanted");
    assert.deepEqual(a.root(), b.root(), `run ${run}`);
    assert.deepEqual([...a.missingFrom(ALL, b.summary(ALL)), ...b.missingFrom(ALL, a.summary(ALL))], []);
  }
});

test("what is sent comes in the order of dependence", () => {
  const kinds = setOf(pool)
    .missingFrom(ALL, new Uint8Array())
    .map((bytes) => bytes[1] ?? 0);
  assert.deepEqual(
    kinds,
    kinds.toSorted((x, y) => x - y),
  );
  assert.equal(kinds.length, 60);
});

test("buckets are 16 bytes each, a summary 56 a record, and only the buckets asked for count", () => {
  const set = setOf(pool);
  assert.equal(set.root().length, 32);
  assert.equal(set.buckets().length, 256 * 16);
  assert.equal(SUMMARY_ENTRY_BYTES, 56);
  assert.equal(set.summary(ALL).length, 60 * 56);
  const [record = assert.fail()] = set.values();
  const bucket = Number.parseInt(record.id.slice(0, 2), 16);
  const others = ALL.filter((index) => index !== bucket);
  assert.equal(set.summary(others).length + set.summary([bucket]).length, 60 * 56);
  assert.ok(set.missingFrom([bucket], new Uint8Array()).some((bytes) => Buffer.compare(bytes, record.bytes) === 0));
  assert.ok(!set.missingFrom(others, new Uint8Array()).some((bytes) => Buffer.compare(bytes, record.bytes) === 0));
});

test("seed 4: hostile summaries and buckets that do not exist cost no more than sending what is asked for", () => {
  const random = new SeededRandom(4);
  const set = setOf(pool);
  const summary = set.summary(ALL);
  for (let run = 0; run < 500; run++) {
    const hostile = random.below(2) === 0 ? random.bytes(random.below(1_000)) : summary.slice(0, random.below(summary.length));
    for (let changes = random.below(20); changes > 0 && hostile.length > 0; changes--)
      hostile[random.below(hostile.length)] = random.below(256);
    assert.ok(set.missingFrom(ALL, hostile).length <= 60);
  }
  assert.equal(set.missingFrom(ALL, concatBytes(summary, summary, random.bytes(55))).length, 0);
  assert.deepEqual(set.missingFrom([-1, 256, 0.5, Number.NaN], new Uint8Array()), []);
  assert.equal(set.missingFrom(ALL, concatBytes(new Uint8Array(32), new Uint8Array(24).fill(255))).length, 60);
});

test("records are counted by author, once each, also when replaced and removed", () => {
  const set = setOf(pool);
  const authors = [0, 1, 2].map((i) => (pool[i] ?? assert.fail()).author);
  assert.deepEqual(
    authors.map((author) => set.countOf(author)),
    [20, 20, 20],
  );
  const gone = [...set.values()].find((record) => record.author === authors[0]) ?? assert.fail();
  set.remove(gone.id);
  set.remove(gone.id);
  assert.deepEqual([set.countOf(authors[0] ?? assert.fail()), set.size, set.get(gone.id)], [19, 59, undefined]);
  assert.equal(set.wants(gone), true);
  assert.equal(set.put(gone), true);
  assert.equal(set.put(gone), false);
  assert.deepEqual(set.root(), setOf(pool).root());
});

function differing(a: RecordSet, b: RecordSet): readonly number[] {
  const [of, to] = [a.buckets(), b.buckets()];
  return ALL.filter((index) => Buffer.compare(of.subarray(index * 16, index * 16 + 16), to.subarray(index * 16, index * 16 + 16)) !== 0);
}

function shuffled<T>(list: readonly T[], random: SeededRandom): readonly T[] {
  return list
    .map((item) => [random.next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

function permutations<T>(list: readonly T[]): readonly (readonly T[])[] {
  if (list.length < 2) return [list];
  return list.flatMap((item, i) => permutations(list.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}

test("endpoint records are found among all others", () => {
  const place = {
    network: network.id,
    udp: [],
    reflexive: [],
    tcp: [],
    isStopped: true,
    isReachable: false,
    isRelay: true,
    homes: [],
    tcpRelay: 0,
  };
  const records = ["a", "b"].map((name) => network.open(signEndpointRecord(crypto, keyOf(name), { ...place, sequence: 1 })));
  const set = setOf([...pool.slice(0, 5), network.open(network.admin("a", 16)), ...records]);
  assert.deepEqual(
    set.endpointRecords(),
    ["a", "b"].map((name) => ({ ...place, node: idOf(name) })),
  );
});
