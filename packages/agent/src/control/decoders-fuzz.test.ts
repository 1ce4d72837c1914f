/**
 * What another side may send to each decoder of the control plane: 20,000 inputs each, random, or something valid that was cut, made
 * longer or had bits flipped. Each ends in a value, a fault, or a closed stream; nothing else escapes, and nothing is handed on from it.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SecuredConnection, Upgrader } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { MAX_RECORD_BYTES, type NodeId } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import { multiaddr } from "@multiformats/multiaddr";
import { pino } from "pino";
import { serveCarriedJoin } from "./carry-join.ts";
import { fedStream } from "./fed-stream-fixture.ts";
import { framesOf } from "./frames.ts";
import { JoinDesk, type PendingJoin } from "./join-desk.ts";
import { joinEncrypter } from "./join-encrypter.ts";
import { JOIN_INTERVAL } from "./join-limit.ts";
import { libp2pLog } from "./libp2p-log.ts";
import { takeCredentials } from "./member-credentials.ts";
import { memberEncrypter } from "./member-encrypter.ts";
import { credentialsOf, nodeOfSeed, seedOf } from "./member-fixture.ts";
import { peerIdOf, privateKeyOf } from "./peer-id.ts";
import {
  BUCKETS,
  type Digest,
  decodeRecords,
  decodeSummary,
  encodeRecords,
  encodeSummary,
  RejectedRecord,
  SyncFault,
  syncRecords,
} from "./record-sync.ts";
import { Refusals } from "./refusals.ts";
import { SettlingClock, settled } from "./settling-clock-fixture.ts";
import { TestRecords, testRecord } from "./test-records-fixture.ts";

const INPUTS = 20_000;
/** Of Noise, which is a library's and costs 1 ms for each. */
const NOISE_INPUTS = 1_000;
/** Not aborted: what is fed ends by itself. */
const { signal } = new AbortController();

/** Random bytes, or one of `valid` cut, made longer or with bits flipped. */
function input(random: SeededRandom, valid: readonly Uint8Array[], most = 600): Uint8Array {
  const known = random.pick(valid);
  const kind = random.below(5);
  if (known === undefined || kind === 0) return random.bytes(random.below(most));
  if (kind === 1) return known.subarray(0, random.below(known.length + 1));
  if (kind === 2) return Buffer.concat([known, random.bytes(1 + random.below(8))]);
  const flipped = Uint8Array.from(known);
  for (let i = 0; i <= random.below(4); i++) {
    const at = random.below(flipped.length);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
  }
  return flipped;
}

const records = Array.from({ length: 8 }, (_, i) => testRecord(`fuzz ${i}`, 1n, 60));

describe("decoders of the control plane", () => {
  it(`sync summaries and records: a value or a SyncFault (${INPUTS} inputs each, seed 11)`, () => {
    const random = new SeededRandom(11);
    const set = new TestRecords();
    for (const record of records) set.merge(record);
    const all = new Set(Array.from({ length: BUCKETS }, (_, bucket) => bucket));
    const summary = encodeSummary([...all], set.summary([...all]));
    const [short, long] = [Buffer.of(7), Buffer.alloc(MAX_RECORD_BYTES, 7)];
    const tooLong = Buffer.alloc(MAX_RECORD_BYTES + 1, 7);
    const sets = [records, records.slice(0, 1), [], [short], [short, short], [long], [Buffer.of()], [tooLong]];
    const frames = sets.map((some) => encodeRecords(some, true));
    let [values, faults] = [0, 0];
    const decode = (work: () => unknown): void => {
      try {
        work();
        values += 1;
      } catch (error) {
        assert.ok(error instanceof SyncFault, String(error));
        faults += 1;
      }
    };
    for (let i = 0; i < INPUTS; i++) {
      decode(() => decodeSummary(input(random, [summary]), all));
      decode(() => {
        const decoded = decodeRecords(input(random, frames));
        for (const record of decoded.records) assert.ok(record.length > 0 && record.length <= MAX_RECORD_BYTES);
      });
    }
    assert.equal(values + faults, 2 * INPUTS);
    assert.ok(values > 1_000 && faults > 1_000, `${values} values, ${faults} faults`);
  });

  for (const isInitiator of [true, false]) {
    it(`a whole sync as ${isInitiator ? "initiator" : "responder"}: nothing that core rejects is handed on (${INPUTS / 2} syncs, seed 12)`, async () => {
      const random = new SeededRandom(12);
      const [mine, theirs] = [new TestRecords(), new TestRecords()];
      for (const record of records.slice(0, 4)) mine.merge(record);
      for (const record of records.slice(2)) theirs.merge(record);
      const before = Buffer.from(mine.root());
      const digest = keptDigest(mine);
      const every = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
      const differing = every.filter((bucket) => Buffer.compare(mine.summary([bucket]), theirs.summary([bucket])) !== 0);
      const offered = isInitiator ? differing : every;
      const script = [
        theirs.root(),
        theirs.buckets(),
        encodeSummary(offered, theirs.summary(offered)),
        encodeRecords(records.slice(4), false),
        new Uint8Array(),
        // What core rejects, for whoever says it in place of the others.
        encodeRecords([Buffer.alloc(39, 7)], false),
      ];
      let [done, refused, rejected] = [0, 0, 0];
      const handedOn: Uint8Array[] = [];
      const one = async (): Promise<void> => {
        let step = 0;
        // Faithful up to some step, so that every step is reached, and then anything.
        const faithful = random.below(script.length + 1);
        const read = async (): Promise<Uint8Array> => {
          const valid = script[step++];
          if (step > script.length + 3) throw new Error("hung up");
          return valid !== undefined && step <= faithful ? valid : input(random, script);
        };
        const judge = (record: Uint8Array) => (record.length < 40 ? ("reject" as const) : ("accept" as const));
        const frames = { read, write: async () => {} };
        try {
          await syncRecords({ isInitiator, digest, judge, turn: settled, onRecords: (some) => handedOn.push(...some), frames });
          done += 1;
        } catch (error) {
          assert.ok(error instanceof SyncFault || error instanceof RejectedRecord || String(error).includes("hung up"), String(error));
          refused += 1;
          if (error instanceof RejectedRecord) rejected += 1;
        }
      };
      for (let i = 0; i < INPUTS / 2; i++) await one();
      assert.equal(done + refused, INPUTS / 2);
      assert.ok(done > 100 && refused > 1_000 && rejected > 10, `${done} done, ${refused} refused, ${rejected} of them for a record`);
      assert.ok(handedOn.every((record) => record.length >= 40 && record.length <= MAX_RECORD_BYTES));
      assert.deepEqual(Buffer.from(mine.root()), before);
    });
  }

  it(`frames: bounded frames or a closed stream, whatever comes and in which pieces (${INPUTS} inputs, seed 13)`, async () => {
    const random = new SeededRandom(13);
    const LIMIT = 200;
    const valid = [Buffer.concat([Buffer.of(5), Buffer.alloc(5)]), Buffer.concat([Buffer.of(0xc8, 0x01), Buffer.alloc(200)])];
    let [frames, ended] = [0, 0];
    const one = async (): Promise<void> => {
      const bytes = input(random, valid, 300);
      const cut = random.below(bytes.length + 1);
      const reader = framesOf(fedStream([bytes.subarray(0, cut), bytes.subarray(cut)]), LIMIT);
      for (;;) {
        const frame = await reader.read(signal).catch(() => undefined);
        if (frame === undefined) break;
        assert.ok(frame.length <= LIMIT);
        frames += 1;
      }
      ended += 1;
    };
    for (let i = 0; i < INPUTS; i++) await one();
    assert.equal(ended, INPUTS);
    assert.ok(frames > 1_000, `${frames} frames`);
  });

  it(`carried join requests: handed on whole, or the stream is reset (${INPUTS} inputs, seed 14)`, async () => {
    const random = new SeededRandom(14);
    const carriedBy = await nodeOfSeed(seedOf("carrier"));
    const asked: PendingJoin[] = [];
    const clock = new SettlingClock();
    const desk: JoinDesk = new JoinDesk({
      clock,
      onRequest: (request) => {
        asked.push(request);
        desk.answer(request.id, Buffer.from("no"));
      },
      onFull: () => undefined,
    });
    const valid = [Buffer.concat([Buffer.of(100), Buffer.alloc(100, 7)])];
    let [answered, failed] = [0, 0];
    const one = async (): Promise<void> => {
      await serveCarriedJoin({ stream: fedStream([input(random, valid)]), carriedBy, desk, clock }).then(
        () => answered++,
        () => failed++,
      );
    };
    for (let i = 0; i < INPUTS; i++) await one();
    assert.equal(clock.pending, 0);
    assert.equal(answered + failed, INPUTS);
    assert.ok(answered > 1_000 && failed > 1_000, `${answered} answered, ${failed} failed`);
    assert.equal(new Set(asked.map(({ id }) => id)).size, asked.length);
  });

  for (const kind of ["member", "join"] as const) {
    it(`what comes instead of a ${kind}'s Noise handshake: refused, and nobody is asked anything (${NOISE_INPUTS} inputs, seed 16)`, async () => {
      const random = new SeededRandom(16);
      const clock = new SettlingClock();
      const privateKey = await privateKeyOf(seedOf("fuzzed"));
      const peerId = peerIdFromPrivateKey(privateKey);
      const unasked = (): never => assert.fail("asked");
      const refusals = new Refusals(clock, () => {});
      const desk = new JoinDesk({ clock, onRequest: unasked, onFull: unasked });
      // Noise asks it for muxers, and nothing else.
      const upgrader = { getStreamMuxers: () => new Map() } as unknown as Upgrader;
      const encrypter = {
        member: memberEncrypter({
          clock,
          queries: { credentials: unasked, refuseMember: unasked },
          onRefused: unasked,
          onCredentials: unasked,
        }),
        join: joinEncrypter({ clock, desk, refusals, busyResponse: Buffer.of(1), onStarted: () => {} }),
      }[kind]({ privateKey, peerId, logger: libp2pLog(pino({ level: "silent" })), upgrader });
      // Noise's first message is 32 bytes of any content; each that is whole costs two key exchanges and a signature.
      const valid = [Buffer.concat([Buffer.of(0, 33), Buffer.alloc(33)]), Buffer.concat([Buffer.of(0, 1), Buffer.alloc(1)])];
      let failed = 0;
      const one = async (): Promise<void> => {
        const connection = Object.assign(fedStream([input(random, valid, 120)]), { remoteAddr: multiaddr("/ip4/192.0.2.1/tcp/1") });
        await encrypter.secureInbound(connection, { signal }).catch(() => failed++);
        await clock.advance(JOIN_INTERVAL);
      };
      for (let i = 0; i < NOISE_INPUTS; i++) await one();
      assert.equal(failed, NOISE_INPUTS);
      refusals.close();
      assert.equal(clock.pending, 0);
    });
  }

  it(`credentials in a member's handshake: only the right ones are believed (${INPUTS} inputs, seed 15)`, async () => {
    const random = new SeededRandom(15);
    const node = await nodeOfSeed(seedOf("fuzzed"));
    const remotePeer = peerIdOf(node);
    const right = credentialsOf(node);
    const framed = Buffer.concat([Buffer.of(right.length), right]);
    const believed: [NodeId, Uint8Array][] = [];
    let [refused, failed] = [0, 0];
    const one = async (): Promise<void> => {
      // Secured by Noise, which proves the key and carries what follows.
      const secured = { connection: fedStream([input(random, [framed])]), remotePeer } as SecuredConnection;
      await takeCredentials(secured, {
        signal,
        refuseMember: (_node, credentials) => (Buffer.compare(credentials, right) === 0 ? undefined : "not a member"),
        onRefused: () => refused++,
        onCredentials: (from, credentials) => believed.push([from, credentials]),
      }).catch(() => failed++);
    };
    for (let i = 0; i < INPUTS; i++) await one();
    assert.equal(believed.length + failed, INPUTS);
    assert.ok(refused > 1_000 && believed.length > 1_000, `${refused} refused, ${believed.length} believed`);
    for (const [from, credentials] of believed) assert.deepEqual([from, Buffer.from(credentials)], [node, right]);
  });
});

/** The same answers without working them out each time. */
function keptDigest(records: TestRecords): Digest {
  const [root, buckets] = [records.root(), records.buckets()];
  const summaries = new Map<string, Uint8Array>();
  return {
    root: () => root,
    buckets: () => buckets,
    summary: (some) => {
      const key = some.join();
      const known = summaries.get(key) ?? records.summary(some);
      if (summaries.size < 1_024) summaries.set(key, known);
      return known;
    },
    missingFrom: (some, theirs) => records.missingFrom(some, theirs),
  };
}
