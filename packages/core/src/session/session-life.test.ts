import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCrypto } from "../../node-crypto.ts";
import type { Ip } from "../address/ip.ts";
import type { Way } from "../address/way.ts";
import { equalBytes } from "../bytes/bytes.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import type { SessionEffect, SessionKeys, TrafficStamps } from "./session-event.ts";
import { SessionTable } from "./session-table.ts";

// Two tables, each with as much of an engine as sessions can tell, and hours of protocol time over a wire between them.

const crypto = nodeCrypto();
const SLOT = 7;
const KEYS = [10, 11].map((value) => crypto.agreementKey(new Uint8Array(32).fill(value)));

/** What the engine does for one peer, as far as sessions can tell. */
class Engine {
  readonly table: SessionTable;
  readonly from: Way;
  readonly sessions = new Map<number, SessionKeys>();
  readonly confirmed = new Set<number>();
  readonly initiatedAt: Millis[] = [];
  stamps: TrafficStamps = { dataSentAt: 0, dataReceivedAt: 0, authenticatedSentAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 };
  current: SessionKeys | undefined;

  /** End 0 or 1 of the wire. */
  constructor(number: 0 | 1, random: SeededRandom) {
    const [own, other] = [KEYS[number], KEYS[1 - number]];
    assert.ok(own !== undefined && other !== undefined);
    this.from = { endpoint: { ip: `192.0.2.${number}` as Ip, port: 1_000 } };
    this.table = new SessionTable({ crypto, random, key: own });
    this.table.handle({ type: "wall-clock", offset: 1_700_000_000_000 }, 0);
    this.table.handle({ type: "peer-added", slot: SLOT, tunnelKey: other.publicKey }, 0);
  }
}

type Packet =
  | { readonly type: "message"; readonly bytes: Uint8Array }
  | { readonly type: "transport"; readonly receiverIndex: number; readonly key: Uint8Array; readonly isData: boolean };

interface Wire {
  readonly loss: number;
  readonly maxDelay: Millis;
}

class World {
  readonly ends: readonly [Engine, Engine];
  readonly #random: SeededRandom;
  readonly #wire: Wire;
  #flights: { readonly at: Millis; readonly to: Engine; readonly packet: Packet }[] = [];
  now: Millis = 1;
  delivered = 0;
  deliveredAt: Millis = 1;
  longestGap: Millis = 0;

  constructor(seed: number, wire: Wire) {
    this.ends = [new Engine(0, SeededRandom.named(seed, "end 0")), new Engine(1, SeededRandom.named(seed, "end 1"))];
    this.#random = SeededRandom.named(seed, "wire");
    this.#wire = wire;
  }

  /** `wants` says at each half second whether an end has a packet to send. */
  run(until: Millis, wants: (end: Engine, random: SeededRandom) => boolean): void {
    for (let tick = this.now; this.now < until; ) {
      const next = Math.min(tick, ...this.#flights.map(({ at }) => at), ...this.ends.map(({ table }) => table.wakeAt() ?? Infinity));
      this.now = Math.max(this.now, next);
      this.#land();
      for (const end of this.ends)
        if ((end.table.wakeAt() ?? Infinity) <= this.now) this.#do(end, end.table.handle({ type: "timer" }, this.now));
      if (this.now < tick) continue;
      tick += 500;
      for (const end of this.ends) {
        this.#do(end, end.table.handle({ type: "traffic", slot: SLOT, stamps: end.stamps }, this.now));
        if (wants(end, this.#random)) this.#sendData(end);
      }
    }
  }

  #sendData(end: Engine): void {
    if (end.current !== undefined && this.now < end.current.expiresAt) this.#transport(end, end.current, true);
    else this.#do(end, end.table.handle({ type: "session-wanted", slot: SLOT }, this.now));
  }

  #transport(end: Engine, session: SessionKeys, isData: boolean): void {
    end.stamps = { ...end.stamps, authenticatedSentAt: this.now, ...(isData && { dataSentAt: this.now }) };
    this.#fly(end, { type: "transport", receiverIndex: session.remoteIndex, key: session.sendKey, isData });
  }

  #fly(from: Engine, packet: Packet): void {
    if (this.#random.next() < this.#wire.loss) return;
    const to = this.ends[0] === from ? this.ends[1] : this.ends[0];
    this.#flights.push({ at: this.now + 1 + this.#random.below(this.#wire.maxDelay), to, packet });
  }

  #land(): void {
    const landed = this.#flights.filter(({ at }) => at <= this.now).sort((x, y) => x.at - y.at);
    this.#flights = this.#flights.filter(({ at }) => at > this.now);
    for (const { to, packet } of landed) {
      if (packet.type === "message") {
        const { from } = this.ends[0] === to ? this.ends[1] : this.ends[0];
        this.#do(to, to.table.handle({ type: "message", from, bytes: packet.bytes }, this.now));
      } else this.#open(to, packet);
    }
  }

  #open(to: Engine, packet: Extract<Packet, { type: "transport" }>): void {
    const session = to.sessions.get(packet.receiverIndex);
    if (session === undefined || this.now >= session.expiresAt) return;
    assert.ok(equalBytes(session.receiveKey, packet.key), "keys are equal on both sides");
    to.stamps = { ...to.stamps, authenticatedReceivedAt: this.now, ...(packet.isData && { dataReceivedAt: this.now }) };
    if (session.role === "responder" && !to.confirmed.has(session.localIndex)) {
      to.confirmed.add(session.localIndex);
      to.current = session;
      this.#do(to, to.table.handle({ type: "session-confirmed", slot: SLOT, localIndex: session.localIndex }, this.now));
    }
    if (!packet.isData) return;
    this.delivered++;
    this.longestGap = Math.max(this.longestGap, this.now - this.deliveredAt);
    this.deliveredAt = this.now;
  }

  #do(end: Engine, effects: readonly SessionEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "send-handshake" || effect.type === "reply") this.#fly(end, { type: "message", bytes: effect.bytes });
      if (effect.type === "send-keepalive" && end.current !== undefined) this.#transport(end, end.current, false);
      if (effect.type === "drop-session") {
        if (end.current?.localIndex === effect.localIndex) end.current = undefined;
        assert.ok(end.sessions.delete(effect.localIndex));
      }
      if (effect.type !== "install-session") continue;
      assert.ok(!end.sessions.has(effect.session.localIndex), "an index is used once at a time");
      end.sessions.set(effect.session.localIndex, effect.session);
      if (effect.session.role === "initiator") {
        end.current = effect.session;
        end.initiatedAt.push(this.now);
      }
    }
    assert.ok(end.sessions.size <= 3, "at most three sessions of a peer");
  }
}

for (let seed = 1; seed <= 20; seed++) {
  test(`seed ${seed}: half an hour, one packet in five lost: packets keep coming, three sessions at most`, () => {
    const world = new World(seed, { loss: 0.2, maxDelay: 400 });
    world.run(minutes(30), (_, random) => random.next() < 0.4);
    assert.ok(world.longestGap < seconds(30), `a gap of ${world.longestGap} ms`);
    assert.ok(world.delivered > 1_700, `${world.delivered} packets`);
    const initiated = world.ends.reduce((sum, { initiatedAt }) => sum + initiatedAt.length, 0);
    assert.ok(initiated >= 13 && initiated <= 22, `${initiated} sessions`);
  });
}

for (let seed = 1; seed <= 5; seed++) {
  test(`seed ${seed}: an hour, nothing lost: a session every 120 s and no packet ever waits for one`, () => {
    const world = new World(seed, { loss: 0, maxDelay: 100 });
    world.run(minutes(60), () => true);
    assert.ok(world.longestGap < seconds(1), `a gap of ${world.longestGap} ms`);
    const initiatedAt = world.ends.flatMap((end) => end.initiatedAt).sort((x, y) => x - y);
    const gaps = initiatedAt.map((at, i) => at - (initiatedAt[i - 1] ?? at)).filter((gap) => gap > 1_000);
    assert.ok(gaps.length >= 28 && gaps.every((gap) => gap >= seconds(120) - 200 && gap < seconds(121.5)), gaps.join());
  });
}

test("an hour of silence: the last session goes, and nothing is sent", () => {
  const world = new World(1, { loss: 0, maxDelay: 100 });
  world.run(minutes(1), () => true);
  const before = world.ends.map(({ stamps }) => stamps.dataSentAt);
  world.run(minutes(1 * 60), () => false);
  assert.deepEqual(
    world.ends.map(({ stamps }) => stamps.dataSentAt),
    before,
  );
  for (const { table, sessions, stamps } of world.ends) {
    assert.equal(sessions.size, 0);
    assert.equal(table.wakeAt(), undefined);
    assert.ok(stamps.authenticatedSentAt < minutes(2));
  }
});
