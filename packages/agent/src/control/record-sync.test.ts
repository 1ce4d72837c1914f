import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SUMMARY_ENTRY_BYTES } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import {
  BUCKET_BYTES,
  BUCKETS,
  decodeRecords,
  decodeSummary,
  encodeRecords,
  encodeSummary,
  JUDGED_IN_A_TURN,
  MAX_FRAME_BYTES,
  MAX_RECORDS_BYTES,
  RECORDS_FRAME_BYTES,
  RejectedRecord,
  SyncFault,
  type SyncFrames,
  type SyncOutcome,
  syncRecords,
} from "./record-sync.ts";
import { settled } from "./settling-clock-fixture.ts";
import { TestRecords, testRecord } from "./test-records-fixture.ts";

const believe = () => "accept" as const;

interface Wire {
  readonly frames: SyncFrames;
  /** Bytes that went out here, without the length of each frame. */
  sent: number;
  largest: number;
}

/** Two ends of an in-memory stream. */
function wirePair(): readonly [Wire, Wire] {
  const queues: readonly [Uint8Array[], Uint8Array[]] = [[], []];
  const wakes: [() => void, () => void] = [() => {}, () => {}];
  const end = (mine: 0 | 1, theirs: 0 | 1): Wire => {
    const wire: Wire = {
      sent: 0,
      largest: 0,
      frames: {
        read: async () => {
          for (;;) {
            const frame = queues[mine].shift();
            if (frame !== undefined) return frame;
            await new Promise<void>((resolve) => {
              wakes[mine] = resolve;
            });
          }
        },
        write: async (frame) => {
          wire.sent += frame.length;
          wire.largest = Math.max(wire.largest, frame.length);
          queues[theirs].push(frame);
          wakes[theirs]();
        },
      },
    };
    return wire;
  };
  return [end(0, 1), end(1, 0)];
}

interface Result {
  readonly a: SyncOutcome;
  readonly b: SyncOutcome;
  readonly wires: readonly [Wire, Wire];
}

async function sync(a: TestRecords, b: TestRecords): Promise<Result> {
  const wires = wirePair();
  const side = (digest: TestRecords, wire: Wire, isInitiator: boolean): Promise<SyncOutcome> => {
    const onRecords = (records: readonly Uint8Array[]): void => {
      for (const record of records) digest.merge(record);
    };
    return syncRecords({ isInitiator, digest, frames: wire.frames, judge: believe, turn: settled, onRecords });
  };
  const [outcomeA, outcomeB] = await Promise.all([side(a, wires[0], true), side(b, wires[1], false)]);
  return { a: outcomeA, b: outcomeB, wires };
}

function recordsOf(...records: readonly Uint8Array[]): TestRecords {
  const set = new TestRecords();
  for (const record of records) set.merge(record);
  return set;
}

const thousand = Array.from({ length: 1_000 }, (_, i) => testRecord(`node ${i}`));

describe("record sync", () => {
  it("costs 32 bytes each way when the sets are equal", async () => {
    const { a, b, wires } = await sync(recordsOf(...thousand), recordsOf(...thousand));
    assert.deepEqual(
      [a, b],
      [
        { received: 0, fresh: 0, sent: 0, isPartial: false },
        { received: 0, fresh: 0, sent: 0, isPartial: false },
      ],
    );
    assert.deepEqual(
      wires.map(({ sent }) => sent),
      [32, 32],
    );
  });

  it("heals 10 differences in 1,000 records for less than 12 kB each way", async () => {
    const [a, b] = [recordsOf(...thousand), recordsOf(...thousand)];
    for (let i = 0; i < 5; i++) a.merge(testRecord(`node ${i}`, 2n));
    for (let i = 5; i < 10; i++) b.merge(testRecord(`node ${i}`, 2n));
    const result = await sync(a, b);
    assert.deepEqual(a.root(), b.root());
    assert.deepEqual([result.a.sent, result.a.received, result.b.sent, result.b.received], [5, 5, 5, 5]);
    for (const { sent } of result.wires) assert.ok(sent < 12_000, `${sent} bytes`);
  });

  it("brings everything to a new node, and nothing back", async () => {
    const [a, b] = [recordsOf(), recordsOf(...thousand)];
    const { wires } = await sync(a, b);
    assert.equal(a.size, 1_000);
    assert.ok((wires[0]?.sent ?? 0) < 5_000);
    assert.ok((wires[1]?.largest ?? 0) <= RECORDS_FRAME_BYTES + 1);
  });

  it("hands over 4 MiB at most in one direction, and the rest next time", async () => {
    const large = Array.from({ length: 700 }, (_, i) => testRecord(`large ${i}`, 1n, 8_192));
    const [a, b] = [recordsOf(...large), recordsOf()];
    const first = await sync(a, b);
    assert.ok(first.a.isPartial && first.a.sent < 700);
    assert.ok((first.wires[0]?.sent ?? 0) < MAX_RECORDS_BYTES + 100_000);
    const second = await sync(a, b);
    assert.equal(second.a.isPartial, false);
    assert.equal(b.size, 700);
  });

  it("makes 50 random pairs of sets equal (seed 7)", async () => {
    const random = new SeededRandom(7);
    const next = (limit: number): number => random.below(limit);
    for (let round = 0; round < 50; round++) {
      const [a, b] = [recordsOf(), recordsOf()];
      for (let i = next(60); i > 0; i--) a.merge(testRecord(`r${next(80)}`, BigInt(next(3)), 40 + next(500)));
      for (let i = next(60); i > 0; i--) b.merge(testRecord(`r${next(80)}`, BigInt(next(3)), 40 + next(500)));
      const ids = (set: TestRecords) =>
        Buffer.from(set.summary([...Array(BUCKETS).keys()]))
          .toString("hex")
          .match(/.{112}/g)
          ?.map((entry) => entry.slice(0, 80));
      await sync(a, b);
      assert.deepEqual(ids(a), ids(b), `round ${round}`);
    }
  });
});

/** What a hostile peer says, frame after frame; then it is gone. */
function hostile(frames: readonly Uint8Array[]): SyncFrames & { readonly written: Uint8Array[] } {
  const left = [...frames];
  const written: Uint8Array[] = [];
  return {
    written,
    read: async () => {
      const frame = left.shift();
      if (frame === undefined) throw new Error("hung up");
      return frame;
    },
    write: async (frame) => {
      written.push(frame);
    },
  };
}

describe("record sync with a hostile peer", () => {
  const root = Buffer.alloc(32, 1);
  const buckets = Buffer.alloc(BUCKETS * BUCKET_BYTES, 1);
  const allBuckets = encodeSummary([...Array(BUCKETS).keys()], new Uint8Array());
  const fullFrame = encodeRecords(
    Array.from({ length: 31 }, (_, i) => testRecord(`flood ${i}`, 1n, 8_192)),
    true,
  );
  const cases: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ["a short root", [Buffer.alloc(31)]],
    ["a long root", [Buffer.alloc(33)]],
    ["buckets of another size", [root, Buffer.alloc(BUCKETS * BUCKET_BYTES - 1)]],
    ["a summary without a selection", [root, buckets, Buffer.alloc(31)]],
    ["half an entry of a summary", [root, buckets, Buffer.alloc(32 + 55)]],
    ["records without end", [root, buckets, allBuckets, ...Array(40).fill(fullFrame)]],
    ["empty frames without end", [root, buckets, allBuckets, ...Array(40).fill(Buffer.of(1))]],
    ["a record longer than its frame", [root, buckets, allBuckets, Buffer.of(0, 0, 9, 1)]],
    ["an empty record", [root, buckets, allBuckets, Buffer.of(0, 0, 0)]],
    ["a frame of nothing", [root, buckets, allBuckets, Buffer.of()]],
  ];
  for (const [name, frames] of cases) {
    it(`stops at ${name}`, async () => {
      let taken = 0;
      const onRecords = (records: readonly Uint8Array[]): void => {
        taken += records.reduce((length, record) => length + record.length, 0);
      };
      await assert.rejects(
        syncRecords({
          isInitiator: false,
          digest: recordsOf(...thousand),
          frames: hostile(frames),
          judge: believe,
          turn: settled,
          onRecords,
        }),
        SyncFault,
      );
      assert.ok(taken <= MAX_RECORDS_BYTES + RECORDS_FRAME_BYTES, `${taken} bytes`);
    });
  }

  it("stops at the first record that core rejects, asks for no more and hands on nothing of its frame", async () => {
    const frames = hostile([root, buckets, allBuckets, fullFrame, fullFrame, fullFrame]);
    let judged = 0;
    let handedOn = 0;
    const session = {
      isInitiator: false,
      digest: recordsOf(...thousand),
      frames,
      judge: () => (++judged === 40 ? ("reject" as const) : ("ignore" as const)),
      turn: settled,
      onRecords: (records: readonly Uint8Array[]) => {
        handedOn += records.length;
      },
    };
    await assert.rejects(syncRecords(session), RejectedRecord);
    // Root, buckets, summary, and one request for more.
    assert.deepEqual([judged, handedOn, frames.written.length], [40, 31, 4]);
  });

  it("gives others a turn while it judges, and counts what is new", async () => {
    const records = Array.from({ length: 10 * JUDGED_IN_A_TURN }, (_, i) => testRecord(`r${i}`, 1n, 100));
    const frames = hostile([root, buckets, allBuckets, encodeRecords(records, false)]);
    let [inTurn, mostInTurn, judged] = [0, 0, 0];
    const newTurn = (): void => {
      inTurn = 0;
      if (judged < records.length) setImmediate(newTurn);
    };
    setImmediate(newTurn);
    const outcome = await syncRecords({
      isInitiator: false,
      digest: recordsOf(),
      frames,
      judge: () => {
        mostInTurn = Math.max(mostInTurn, ++inTurn);
        return ++judged % 4 === 0 ? "accept" : "ignore";
      },
      turn: settled,
      onRecords: () => {},
    });
    assert.ok(mostInTurn <= 2 * JUDGED_IN_A_TURN, `${mostInTurn} in a turn`);
    assert.deepEqual([outcome.received, outcome.fresh], [records.length, records.length / 4]);
  });

  it("does not answer for buckets it was not asked about", async () => {
    const [differing, own] = [recordsOf(testRecord("x")), recordsOf(testRecord("x"), testRecord("y"))];
    const frames = hostile([differing.root(), differing.buckets(), encodeSummary([...Array(BUCKETS).keys()], new Uint8Array())]);
    await assert.rejects(
      syncRecords({ isInitiator: true, digest: own, frames, judge: believe, turn: settled, onRecords: () => {} }),
      /nobody asked/,
    );
  });

  it("answers with a frame of bounded size, however large its own set is", async () => {
    const many = recordsOf(testRecord("any"));
    many.summary = (buckets) => Buffer.alloc(buckets.length * 100 * SUMMARY_ENTRY_BYTES);
    const frames = hostile([root, buckets, allBuckets]);
    await assert.rejects(
      syncRecords({ isInitiator: false, digest: many, frames, judge: believe, turn: settled, onRecords: () => {} }),
      /hung up/,
    );
    const summary = frames.written.at(-1) ?? Buffer.of();
    assert.ok(summary.length <= MAX_FRAME_BYTES && summary.length > MAX_FRAME_BYTES / 2);
  });
});

describe("frames of record sync", () => {
  const records = [testRecord("one", 1n, 40), testRecord("two", 1n, 8_192), Buffer.of(1)];

  it("come back as they were", () => {
    for (const hasMore of [true, false]) assert.deepEqual(decodeRecords(encodeRecords(records, hasMore)), { records, hasMore });
    assert.deepEqual(decodeRecords(encodeRecords([], false)), { records: [], hasMore: false });
    const summary = recordsOf(...thousand).summary([0, 7, 255]);
    const decoded = decodeSummary(encodeSummary([0, 7, 255], summary), new Set([0, 7, 255]));
    assert.deepEqual([decoded.buckets, Buffer.from(decoded.summary)], [[0, 7, 255], Buffer.from(summary)]);
  });

  it("are refused when cut anywhere but between records, or longer by a byte", () => {
    const frame = encodeRecords(records, false);
    const ends = new Set([1, 1 + 42, 1 + 42 + 8_194, frame.length]);
    for (let length = 0; length < frame.length; length++) {
      if (!ends.has(length)) assert.throws(() => decodeRecords(frame.subarray(0, length)), SyncFault, `${length} bytes`);
    }
    assert.throws(() => decodeRecords(Buffer.concat([frame, Buffer.of(0)])), SyncFault);
  });

  it("of 20,000 random inputs give records or a fault (seed 11)", () => {
    const random = new SeededRandom(11);
    for (let i = 0; i < 20_000; i++) {
      const input = random.bytes(random.below(70)).map((byte, at) => (at === 0 ? byte & 1 : at % 3 === 0 ? byte : 0));
      for (const decode of [() => decodeRecords(input), () => decodeSummary(input, new Set())]) {
        try {
          decode();
        } catch (error) {
          assert.ok(error instanceof SyncFault, `${Buffer.from(input).toString("hex")}: ${String(error)}`);
        }
      }
    }
  });
});
