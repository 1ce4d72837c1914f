import assert from "node:assert/strict";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { equalBytes } from "../bytes/bytes.ts";
import type { AgreementKey, Crypto } from "../crypto/crypto.ts";
import { GUARD_LIMITS, type GuardLimits, HandshakeGuard } from "../engine/handshake-guard.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { WakeQueue } from "../time/wake-queue.ts";
import { INITIATION_TYPE } from "../wire/handshake-message.ts";
import type { SessionEffect, SessionEvent, SessionKeys, SessionSlot, TrafficStamps } from "./session-event.ts";
import { SessionTable } from "./session-table.ts";

// A hub and its peers, each with a session table and as much of an engine as sessions can tell, on a wire that loses,
// repeats and reorders. Days pass in milliseconds, because the cryptography is a toy and time without traffic is skipped.
// The rules of sessions are asserted wherever something happens; what is measured over all is in the fields of World.

/** How often an engine that has traffic reports it, and how often a sender has a packet. */
const TICK: Millis = seconds(2);
/** A session is not replaced before this age, as long as it works. */
const STEADY_AGE: Millis = seconds(115);
const WALL: Millis = 1_700_000_000_000;
/** Of a guard that is under load from its first message on. */
export const LOAD_LIMITS: GuardLimits = { ...GUARD_LIMITS, handshakeLoad: { burst: 0, perSecond: 0 }, maxSources: 64 };
const NO_TRAFFIC: TrafficStamps = { dataSentAt: 0, dataReceivedAt: 0, authenticatedSentAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 };

export interface Wire {
  readonly loss: number;
  readonly duplicates: number;
  readonly maxDelay: Millis;
}

/** One node's end of one link: what its engine knows of the peer. */
interface End {
  readonly node: WorldNode;
  readonly slot: SessionSlot;
  readonly sessions: Map<number, { readonly keys: SessionKeys; readonly installedAt: Millis }>;
  current: SessionKeys | undefined;
  stamps: TrafficStamps;
  reported: TrafficStamps;
  isSending: boolean;
  isStaged: boolean;
  /** The first packet that should have gone to the peer since one arrived there. */
  waitingSince: Millis | undefined;
}

interface Link {
  readonly ends: readonly [End, End];
  isTicking: boolean;
}

interface WorldNode {
  readonly key: AgreementKey;
  readonly from: Endpoint;
  readonly ends: Map<SessionSlot, { readonly end: End; readonly link: Link }>;
  readonly guard: HandshakeGuard;
  /** Of the latest initiation of each peer that got here: when it was sent. */
  readonly latest: Map<WorldNode, Millis>;
  table: SessionTable;
  isUnderLoad: boolean;
  wallOffset: Millis;
  /** What is on its disk. */
  stampFloor: Millis;
  wakeAt: Millis | undefined;
}

type Packet = { readonly receiverIndex: number; readonly key: Uint8Array; readonly isData: boolean };

export class World {
  readonly nodes: readonly WorldNode[];
  readonly links: readonly Link[];
  readonly random: SeededRandom;
  readonly #wire: Wire;
  readonly #agenda = new WakeQueue<() => void>();
  now: Millis = 1;
  handshakes = 0;
  delivered = 0;
  cookies = 0;
  /** The longest that packets of a sender in a row did not arrive, though it went on sending. */
  longestStuck: Millis = 0;

  constructor(seed: number, options: { readonly peers: number; readonly wire: Wire }) {
    this.random = SeededRandom.named(seed, "world");
    this.#wire = options.wire;
    this.nodes = Array.from({ length: options.peers + 1 }, (_, i) => this.#node(seed, i));
    const [hub, ...others] = this.nodes;
    assert.ok(hub !== undefined);
    this.links = others.map((other, i) => {
      const link: Link = { ends: [newEnd(hub, i), newEnd(other, 0)], isTicking: false };
      hub.ends.set(i, { end: link.ends[0], link });
      other.ends.set(0, { end: link.ends[1], link });
      return link;
    });
    for (const node of this.nodes) this.#boot(node);
  }

  at(dueAt: Millis, act: () => void): void {
    this.#agenda.schedule(() => act(), dueAt);
  }

  run(until: Millis): void {
    for (let dueAt = this.#agenda.nextAt(); dueAt !== undefined && dueAt <= until; dueAt = this.#agenda.nextAt()) {
      this.now = Math.max(this.now, dueAt);
      this.#agenda.takeDue(this.now)?.();
    }
    this.now = until;
  }

  setSending(link: Link, sending: readonly [boolean, boolean]): void {
    for (const [i, end] of link.ends.entries()) {
      end.isSending = sending[i] === true;
      if (!end.isSending && !end.isStaged) end.waitingSince = undefined;
    }
    if (!link.isTicking) this.#tick(link);
  }

  /** The program ends without a word and starts again; only what was durable is left. */
  restart(node: WorldNode): void {
    for (const { end } of node.ends.values()) {
      end.sessions.clear();
      end.current = undefined;
      end.stamps = NO_TRAFFIC;
      end.reported = NO_TRAFFIC;
      end.isStaged = false;
    }
    node.wakeAt = undefined;
    node.table = newTable(node, this.random);
    this.#boot(node);
  }

  setWall(node: WorldNode, offset: Millis): void {
    node.wallOffset = offset;
    this.#tell(node, { type: "wall-clock", offset });
  }

  #node(seed: number, i: number): WorldNode {
    const key = toyCrypto.agreementKey(SeededRandom.named(seed, `key ${i}`).bytes(32));
    const guard = new HandshakeGuard({ crypto: toyCrypto, random: SeededRandom.named(seed, `guard ${i}`), limits: LOAD_LIMITS });
    guard.setKey(key.publicKey);
    const node = {
      key,
      guard,
      from: { ip: `192.0.2.${i}` as Ip, port: 1_000 },
      ends: new Map(),
      latest: new Map(),
      isUnderLoad: false,
      wallOffset: WALL,
      stampFloor: 0,
      wakeAt: undefined,
    };
    return { ...node, table: newTable(node, SeededRandom.named(seed, `table ${i}`)) };
  }

  #boot(node: WorldNode): void {
    this.#tell(node, { type: "wall-clock", offset: node.wallOffset });
    for (const { end, link } of node.ends.values()) {
      this.#tell(node, { type: "peer-added", slot: end.slot, tunnelKey: other(link, end).node.key.publicKey });
    }
  }

  /** `isNewest`: an initiation that was sent later than all that came from that peer before. */
  #tell(node: WorldNode, event: SessionEvent, isNewest = false): void {
    this.#do(node, node.table.handle(event, this.now), isNewest);
    const wakeAt = node.table.wakeAt();
    if (wakeAt === undefined || (node.wakeAt !== undefined && node.wakeAt <= wakeAt)) return;
    node.wakeAt = wakeAt;
    const { table } = node;
    this.at(wakeAt, () => {
      if (node.table !== table || node.wakeAt !== wakeAt) return;
      node.wakeAt = undefined;
      this.#tell(node, { type: "timer" });
    });
  }

  #tick(link: Link): void {
    link.isTicking = true;
    let isActive = false;
    for (const end of link.ends) {
      for (const { keys } of end.sessions.values()) assert.ok(this.now < keys.expiresAt, "no session is kept past its time");
      if (end.stamps !== end.reported) {
        end.reported = end.stamps;
        this.#tell(end.node, { type: "traffic", slot: end.slot, stamps: end.stamps });
        isActive = true;
      }
      if (end.isSending || end.isStaged) {
        end.waitingSince ??= this.now;
        this.#sendData(end, link);
        isActive = true;
      }
      assert.ok(end.node.table.indexCount <= 4 * end.node.ends.size, "indices are given back");
    }
    link.isTicking = isActive;
    if (isActive) this.at(this.now + TICK, () => this.#tick(link));
  }

  #sendData(end: End, link: Link): void {
    if (end.current !== undefined && this.now < end.current.expiresAt) {
      end.isStaged = false;
      this.#seal(end, { link, session: end.current, isData: true });
      if (!end.isSending) this.#settle(end);
    } else {
      end.isStaged = true;
      this.#tell(end.node, { type: "session-wanted", slot: end.slot });
    }
  }

  #seal(end: End, { link, session, isData }: { readonly link: Link; readonly session: SessionKeys; readonly isData: boolean }): void {
    if (this.now >= session.expiresAt) return;
    end.stamps = { ...end.stamps, authenticatedSentAt: this.now, ...(isData && { dataSentAt: this.now }) };
    const packet: Packet = { receiverIndex: session.remoteIndex, key: session.sendKey, isData };
    const to = other(link, end);
    this.#fly(() => this.#open(to, packet, link));
  }

  #open(end: End, packet: Packet, link: Link): void {
    const session = end.sessions.get(packet.receiverIndex);
    if (session === undefined || this.now >= session.keys.expiresAt) return;
    assert.ok(this.now - session.installedAt < seconds(180), "no key is used past 180 s");
    assert.ok(equalBytes(session.keys.receiveKey, packet.key), "keys are equal on both sides");
    end.stamps = { ...end.stamps, authenticatedReceivedAt: this.now, ...(packet.isData && { dataReceivedAt: this.now }) };
    if (!link.isTicking) this.#tick(link);
    if (session.keys.role === "responder" && end.current !== session.keys) {
      this.#tell(end.node, { type: "session-confirmed", slot: end.slot, localIndex: session.keys.localIndex });
      if (end.current === undefined || (end.sessions.get(end.current.localIndex)?.installedAt ?? 0) <= session.installedAt)
        end.current = session.keys;
      if (end.isStaged) this.#sendData(end, link);
    }
    if (!packet.isData) return;
    this.delivered++;
    this.#settle(other(link, end));
  }

  /** What waited has arrived, or left with nothing to follow it. */
  #settle(sender: End): void {
    if (sender.waitingSince !== undefined) this.longestStuck = Math.max(this.longestStuck, this.now - sender.waitingSince);
    sender.waitingSince = undefined;
  }

  #fly(land: () => void): void {
    const copies = this.random.next() < this.#wire.duplicates ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.random.next() >= this.#wire.loss) this.at(this.now + 1 + this.random.below(this.#wire.maxDelay), land);
    }
  }

  #sendMessage(from: WorldNode, to: WorldNode, bytes: Uint8Array): void {
    const sentAt = this.now;
    this.#fly(() => {
      const verdict = to.isUnderLoad ? to.guard.judge(from.from, bytes, this.now) : ({ pass: true } as const);
      if (verdict.pass) {
        const isNewest = bytes[0] === INITIATION_TYPE && sentAt > (to.latest.get(from) ?? 0);
        if (isNewest) to.latest.set(from, sentAt);
        this.#tell(to, { type: "message", from: { endpoint: from.from }, bytes }, isNewest);
      } else if (verdict.reply !== undefined) {
        this.cookies++;
        this.#sendMessage(to, from, verdict.reply);
      }
    });
  }

  #do(node: WorldNode, effects: readonly SessionEffect[], isNewest: boolean): void {
    for (const effect of effects) {
      switch (effect.type) {
        case "send-handshake":
        case "reply": {
          const { end, link } = node.ends.get(effect.slot) ?? assert.fail();
          if (effect.type === "send-handshake") this.#assertNeeded(end);
          this.#sendMessage(node, other(link, end).node, effect.bytes);
          break;
        }
        case "install-session":
          this.#install(node, effect.session);
          break;
        case "drop-session": {
          const dropped = [...node.ends.values()].filter(({ end }) => end.sessions.delete(effect.localIndex));
          assert.equal(dropped.length, 1, "every session is dropped once");
          for (const { end } of dropped) if (end.current?.localIndex === effect.localIndex) end.current = undefined;
          break;
        }
        case "send-keepalive": {
          const { end, link } = node.ends.get(effect.slot) ?? assert.fail();
          if (end.current !== undefined) this.#seal(end, { link, session: end.current, isData: false });
          if (!link.isTicking) this.#tick(link);
          break;
        }
        case "reserve-stamps":
          this.#write(node, effect.until);
          break;
        case "dropped":
          assert.ok(effect.cause !== "replayed" || !isNewest, "an initiation that is new is never too old");
          break;
        case "heard":
        case "handshake-failed":
          break;
      }
    }
  }

  /** A handshake is begun for a reason: no session, an old one, or one on which the peer is not heard. */
  #assertNeeded(end: End): void {
    if (end.node.table.view(end.slot)?.attempts !== 1 || end.current === undefined) return;
    const installedAt = end.sessions.get(end.current.localIndex)?.installedAt ?? assert.fail();
    const heardAt = end.reported.authenticatedReceivedAt;
    const isHeard = this.now - heardAt < seconds(15) && heardAt > installedAt;
    assert.ok(!isHeard || this.now - installedAt >= STEADY_AGE, `a handshake ${this.now - installedAt} ms after the last one`);
  }

  #install(node: WorldNode, keys: SessionKeys): void {
    const { end, link } = node.ends.get(keys.slot) ?? assert.fail();
    assert.equal(keys.expiresAt, this.now + seconds(180));
    assert.ok(!end.sessions.has(keys.localIndex), "an index is used once at a time");
    end.sessions.set(keys.localIndex, { keys, installedAt: this.now });
    assert.ok(end.sessions.size <= 3, "at most three sessions of a peer");
    if (keys.role !== "initiator") return;
    this.handshakes++;
    end.current = keys;
    if (end.isStaged) this.#sendData(end, link);
  }

  #write(node: WorldNode, until: Millis): void {
    const { table } = node;
    this.at(this.now + 5 + this.random.below(50), () => {
      if (node.table !== table) return;
      node.stampFloor = until;
      this.#tell(node, { type: "stamps-reserved", until });
    });
  }
}

function newEnd(node: WorldNode, slot: SessionSlot): End {
  return {
    node,
    slot,
    sessions: new Map(),
    current: undefined,
    stamps: NO_TRAFFIC,
    reported: NO_TRAFFIC,
    isSending: false,
    isStaged: false,
    waitingSince: undefined,
  };
}

function newTable(node: { readonly key: AgreementKey; readonly stampFloor: Millis }, random: SeededRandom): SessionTable {
  return new SessionTable({ crypto: toyCrypto, random, key: node.key, stampFloor: node.stampFloor });
}

function other(link: Link, end: End): End {
  return link.ends[0] === end ? link.ends[1] : link.ends[0];
}

/** Agrees, seals and tells a wrong key from a right one, and keeps nothing secret: a hundredth of the time of X25519. */
const toyCrypto: Crypto = {
  sha256: () => assert.fail(),
  signingKey: () => assert.fail(),
  sign: () => assert.fail(),
  verify: () => assert.fail(),
  agreementKeyOf: () => assert.fail(),
  agreementPublicKeyOf: () => assert.fail(),
  agreementKey: (privateKey) => ({ kind: "agreement", publicKey: privateKey.slice() }),
  agree: (key, publicKey) => publicKey.map((byte, i) => byte ^ (key.publicKey[i] ?? 0) ^ 0x5a),
  seal: (key, _nonce, associated, plaintext) => {
    const sealed = new Uint8Array(plaintext.length + 16);
    sealed.set(plaintext);
    new DataView(sealed.buffer).setUint32(plaintext.length, checksum(key, associated, plaintext));
    return sealed;
  },
  open: (key, _nonce, associated, sealed) => {
    const plaintext = sealed.slice(0, -16);
    const tag = new DataView(sealed.buffer, sealed.byteOffset).getUint32(plaintext.length);
    return tag === checksum(key, associated, plaintext) ? plaintext : undefined;
  },
  equalSecret: equalBytes,
};

/** FNV-1a. */
function checksum(...parts: readonly Uint8Array[]): number {
  let hash = 0x811c_9dc5;
  for (const part of parts) for (const byte of part) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash >>> 0;
}
