import type { Crypto } from "../crypto/crypto.ts";
import type { DatapathCounter, DatapathSession, PeerSlot } from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
import { ReplayWindow } from "./replay-window.ts";
import { paddingBytes, TRANSPORT_HEADER_BYTES, transportNonce, writeTransport } from "./transport-message.ts";

/** REJECT_AFTER_MESSAGES (whitepaper, section 6.1): the counter never comes near its end by the replay window's width. */
export const REJECT_AFTER_MESSAGES: bigint = 2n ** 64n - 2n ** 13n - 1n;

const KEY_BYTES = 32;
const NOTHING = new Uint8Array();

export type Opened =
  | { readonly ok: true; readonly plaintext: Uint8Array }
  | { readonly ok: false; readonly fault: Extract<DatapathCounter, "udpExpiredSession" | "udpReplayed" | "udpNotAuthentic"> };

/** One pair of transport keys, its send counter and its replay window. */
export class TransportSession {
  readonly slot: PeerSlot;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly role: "initiator" | "responder";
  readonly expiresAt: Millis;
  /** Of the next packet. */
  sendCounter = 0n;
  readonly #crypto: Crypto;
  readonly #sendKey: Uint8Array;
  readonly #receiveKey: Uint8Array;
  readonly #replay = new ReplayWindow();

  /** Copies the keys and wipes the caller's. */
  constructor(crypto: Crypto, { slot, localIndex, remoteIndex, sendKey, receiveKey, role, expiresAt }: DatapathSession) {
    if (sendKey.length !== KEY_BYTES || receiveKey.length !== KEY_BYTES) throw new RangeError("a session key has 32 bytes");
    if (!(expiresAt >= 0)) throw new RangeError(`no instant: ${expiresAt}`);
    this.slot = slot;
    this.localIndex = localIndex;
    this.remoteIndex = remoteIndex;
    this.role = role;
    this.expiresAt = expiresAt;
    this.#crypto = crypto;
    this.#sendKey = Uint8Array.from(sendKey);
    this.#receiveKey = Uint8Array.from(receiveKey);
    sendKey.fill(0);
    receiveKey.fill(0);
  }

  /** Past its time or its last counter it counts as none. */
  canSeal(now: Millis): boolean {
    return now < this.expiresAt && this.sendCounter < REJECT_AFTER_MESSAGES;
  }

  /** The packet, padded, as a datagram; takes the next counter. Only when it can seal. */
  seal(packet: Uint8Array, mtu: number): Uint8Array {
    const counter = this.sendCounter++;
    const padded = new Uint8Array(packet.length + paddingBytes(packet.length, mtu));
    padded.set(packet);
    const sealed = this.#crypto.seal(this.#sendKey, transportNonce(counter), NOTHING, padded);
    return writeTransport({ receiverIndex: this.remoteIndex, counter }, sealed);
  }

  /** In this order: its time, its last counter, the replay window (a look), the seal, the replay window (for good). */
  open(counter: bigint, datagram: Uint8Array, now: Millis): Opened {
    if (now >= this.expiresAt || counter >= REJECT_AFTER_MESSAGES) return { ok: false, fault: "udpExpiredSession" };
    if (!this.#replay.mayAccept(counter)) return { ok: false, fault: "udpReplayed" };
    const sealed = datagram.subarray(TRANSPORT_HEADER_BYTES);
    const plaintext = this.#crypto.open(this.#receiveKey, transportNonce(counter), NOTHING, sealed);
    if (plaintext === undefined) return { ok: false, fault: "udpNotAuthentic" };
    this.#replay.commit(counter);
    return { ok: true, plaintext };
  }

  /** Nothing can be sealed or opened after it. */
  wipe(): void {
    this.#sendKey.fill(0);
    this.#receiveKey.fill(0);
  }
}
