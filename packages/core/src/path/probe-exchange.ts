import type { Endpoint } from "../address/endpoint.ts";
import { BoundedMap } from "../bytes/bounded-map.ts";
import { concatBytes, equalBytes } from "../bytes/bytes.ts";
import type { DecodeFault } from "../bytes/decoded.ts";
import { formatHex } from "../bytes/hex.ts";
import type { AgreementKey, Crypto, Random } from "../crypto/crypto.ts";
import { type Millis, seconds } from "../time/millis.ts";
import {
  decodeProbeBody,
  decodeProbeFrame,
  encodeProbeBody,
  encodeProbeHeader,
  NO_BOOT,
  type ProbeBody,
  type ProbePurpose,
} from "../wire/probe.ts";
import { type Candidate, sameCandidate } from "./candidate.ts";
import { ProbeKeys } from "./probe-keys.ts";
import { ReplayWindow } from "./replay-window.ts";

/** The engine's number for a peer. */
type Slot = number;

/** Names one run of the peer's agent. A PONG proves that it is the present one; a PING may be a copy from an older one. */
export type BootId = string;

/** What a probe frame turned out to be. */
export type ProbeOutcome =
  /** An authentic PING; `pong` is to be sent back to where it came from. */
  | { readonly type: "ping"; readonly slot: Slot; readonly boot: BootId; readonly purpose: ProbePurpose; readonly pong: Uint8Array }
  /** The answer to a PING of ours, by the way we asked. */
  | { readonly type: "pong"; readonly slot: Slot; readonly boot: BootId; readonly rtt: Millis; readonly observed: Endpoint }
  /** What the exchange has no part in. `isCurrent`: said to this run of ours, not to an earlier one. */
  | ({ readonly slot: Slot; readonly boot: BootId; readonly isCurrent: boolean } & FreeProbe)
  | { readonly type: "dropped"; readonly cause: ProbeDrop };

export type ProbeDrop =
  | DecodeFault
  | "unknown-key" // no peer of ours, or a key id made up
  | "not-authentic"
  | "replayed"
  | "unasked"; // a PONG to nothing, too late, or by another way

/** Probes that are neither question nor answer of a round trip; the exchange adds which boot they are for. */
export type FreeProbe = WithoutReceiver<Exclude<ProbeBody, { readonly type: "ping" | "pong" }>>;
/** The exchange knows for whom an offer is. */
type WithoutReceiver<Body> = Body extends { readonly to: Uint8Array } ? Omit<Body, "to"> : Body;

/** How a frame came: as whose candidate, and the address its datagram had. */
export interface ProbeSource {
  readonly candidate: Candidate;
  readonly endpoint: Endpoint;
}

/** A PONG later than this is no proof any more. Paths with longer round trips carry no conversation. */
const TRANSACTION_LIFETIME: Millis = seconds(5);

/** PINGs under way at once over all peers; the oldest are forgotten first. */
const MAX_TRANSACTIONS = 4_096;

/** Boots of a peer whose counters are remembered. Frames of an older boot earn one PONG and a look at their source, no more. */
const REMEMBERED_BOOTS = 4;

/** What a busy node may have taken to come to a PING, in µs. More is not believed: it would make a long path look short. */
const MAX_DELAY_MICROS = 100_000;

interface ProbePeer {
  readonly slot: Slot;
  readonly keys: ProbeKeys;
  readonly sendKey: Uint8Array;
  sendCounter: bigint;
  /** Of the last authentic frame: whom an offer is for. If it was a copy from an older run, the next frame sets it right. */
  heardBoot: Uint8Array;
  readonly boots: BoundedMap<string, { readonly key: Uint8Array; readonly window: ReplayWindow }>;
}

/** Seals and opens probe frames of all peers, answers PINGs and matches PONGs. Knows nothing of paths. */
export class ProbeExchange {
  readonly #crypto: Crypto;
  readonly #random: Random;
  readonly #key: AgreementKey;
  readonly #bootId: Uint8Array;
  readonly #peers = new Map<Slot, ProbePeer>();
  readonly #byKeyId = new Map<string, ProbePeer>();
  readonly #transactions = new BoundedMap<string, { readonly slot: Slot; readonly to: Candidate; readonly sentAt: Millis }>(
    MAX_TRANSACTIONS,
  );

  constructor(options: { readonly crypto: Crypto; readonly random: Random; readonly key: AgreementKey }) {
    this.#crypto = options.crypto;
    this.#random = options.random;
    this.#key = options.key;
    this.#bootId = options.random.bytes(8);
  }

  addPeer(slot: Slot, tunnelKey: Uint8Array): void {
    const keys = ProbeKeys.between(this.#crypto, this.#key, tunnelKey);
    if (keys === undefined) return;
    const boots: ProbePeer["boots"] = new BoundedMap(REMEMBERED_BOOTS);
    const peer: ProbePeer = { slot, keys, sendKey: keys.sendKey(this.#bootId), sendCounter: 0n, heardBoot: NO_BOOT, boots };
    this.#peers.set(slot, peer);
    this.#byKeyId.set(formatHex(keys.receiveId), peer);
  }

  removePeer(slot: Slot): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    this.#peers.delete(slot);
    this.#byKeyId.delete(formatHex(peer.keys.receiveId));
    for (const [transaction, { slot: asked }] of this.#transactions.entries()) if (asked === slot) this.#transactions.delete(transaction);
  }

  /** A PING for this peer, to be sent by `to`; undefined when the peer is not known. */
  ping(slot: Slot, to: Candidate, options: { readonly purpose: ProbePurpose; readonly now: Millis }): Uint8Array | undefined {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return undefined;
    const transaction = this.#random.bytes(8);
    this.#transactions.set(formatHex(transaction), { slot, to, sentAt: options.now });
    return this.#seal(peer, { type: "ping", transaction, purpose: options.purpose });
  }

  /** Sealed for this peer; undefined when it is not known. */
  frame(slot: Slot, body: FreeProbe): Uint8Array | undefined {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return undefined;
    return this.#seal(peer, body.type === "offer" ? { ...body, to: peer.heardBoot } : body);
  }

  /** What we show this peer when it shall relay for us, and what it shows us; undefined when it is not known. */
  passes(slot: Slot): { readonly ours: number; readonly theirs: number } | undefined {
    const keys = this.#peers.get(slot)?.keys;
    return keys === undefined ? undefined : { ours: keys.sendPass, theirs: keys.receivePass };
  }

  /** `receivedAt` is the engine's stamp, `now` when we come to it: the difference is told, so that it counts as nobody's path. */
  receive(from: ProbeSource, bytes: Uint8Array, time: { readonly receivedAt: Millis; readonly now: Millis }): ProbeOutcome {
    const frame = decodeProbeFrame(bytes);
    if (!frame.ok) return { type: "dropped", cause: frame.fault };
    const { header, sealed } = frame.value;
    const peer = this.#byKeyId.get(formatHex(header.keyId));
    if (peer === undefined) return { type: "dropped", cause: "unknown-key" };
    const boot = formatHex(header.bootId);
    const key = peer.boots.get(boot)?.key ?? peer.keys.receiveKey(header.bootId);
    const opened = this.#crypto.open(key, nonce(header.counter), bytes.subarray(0, bytes.length - sealed.length), sealed);
    if (opened === undefined) return { type: "dropped", cause: "not-authentic" };
    if (!rememberBoot(peer, boot, key).accept(header.counter)) return { type: "dropped", cause: "replayed" };
    peer.heardBoot = header.bootId;
    const body = decodeProbeBody(opened);
    if (!body.ok) return { type: "dropped", cause: body.fault };
    if (body.value.type === "pong") return this.#match(peer, { from: from.candidate, boot, receivedAt: time.receivedAt }, body.value);
    if (body.value.type !== "ping")
      return { ...body.value, slot: peer.slot, boot, isCurrent: body.value.type !== "offer" || equalBytes(body.value.to, this.#bootId) };
    const delayMicros = Math.min(MAX_DELAY_MICROS, Math.max(0, Math.round((time.now - time.receivedAt) * 1_000)));
    const { transaction, purpose } = body.value;
    const pong = this.#seal(peer, { type: "pong", transaction, observed: from.endpoint, delayMicros });
    return { type: "ping", slot: peer.slot, boot, purpose, pong };
  }

  #match(
    peer: ProbePeer,
    arrival: { readonly from: Candidate; readonly boot: BootId; readonly receivedAt: Millis },
    pong: Extract<ProbeBody, { type: "pong" }>,
  ): ProbeOutcome {
    const id = formatHex(pong.transaction);
    const asked = this.#transactions.get(id);
    const isAnswer =
      asked?.slot === peer.slot && sameCandidate(asked.to, arrival.from) && arrival.receivedAt - asked.sentAt <= TRANSACTION_LIFETIME;
    if (asked === undefined || !isAnswer) return { type: "dropped", cause: "unasked" };
    this.#transactions.delete(id); // single use
    return {
      type: "pong",
      slot: peer.slot,
      boot: arrival.boot,
      rtt: Math.max(0, arrival.receivedAt - asked.sentAt - Math.min(MAX_DELAY_MICROS, pong.delayMicros) / 1_000),
      observed: pong.observed,
    };
  }

  #seal(peer: ProbePeer, body: ProbeBody): Uint8Array {
    const counter = peer.sendCounter++;
    const header = encodeProbeHeader({ keyId: peer.keys.sendId, bootId: this.#bootId, counter });
    return concatBytes(header, this.#crypto.seal(peer.sendKey, nonce(counter), header, encodeProbeBody(body)));
  }
}

/** The window of this boot; the boot heard of longest ago is forgotten when there are too many. */
function rememberBoot(peer: ProbePeer, boot: string, key: Uint8Array): ReplayWindow {
  const known = peer.boots.get(boot) ?? { key, window: new ReplayWindow() };
  peer.boots.set(boot, known);
  return known.window;
}

function nonce(counter: bigint): Uint8Array {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setBigUint64(4, counter);
  return bytes;
}
