import { concatBytes } from "../bytes/bytes.ts";
import { utf8 } from "../bytes/text.ts";
import { blake2s } from "../crypto/blake2s.ts";
import type { AgreementKey, Crypto } from "../crypto/crypto.ts";

/**
 * Keys of probes between two nodes, from their static tunnel keys alone, so probes work before any session:
 *
 *   pair        = BLAKE2s(key X25519(ours, theirs), "mesh-path-1")
 *   keyId(A→B)  = BLAKE2s-64(key pair, "id" ‖ A's public key)
 *   key(A→B, b) = BLAKE2s(key pair, "key" ‖ A's public key ‖ b), b being A's boot id
 *   pass(A→B)   = BLAKE2s-32(key pair, "relay" ‖ A's public key): A shows it when it asks B to relay, as a big-endian number
 *
 * A new boot has a new key, so a counter that starts again at zero never repeats a nonce.
 */
export class ProbeKeys {
  /** Key id of frames to the peer. */
  readonly sendId: Uint8Array;
  /** Key id of frames from the peer. */
  readonly receiveId: Uint8Array;
  readonly #pair: Uint8Array;
  readonly #ours: Uint8Array;
  readonly #theirs: Uint8Array;

  private constructor(pair: Uint8Array, ours: Uint8Array, theirs: Uint8Array) {
    this.#pair = pair;
    this.#ours = ours;
    this.#theirs = theirs;
    this.sendId = keyId(pair, ours);
    this.receiveId = keyId(pair, theirs);
  }

  /** undefined when the peer's key is of low order. */
  static between(crypto: Crypto, ours: AgreementKey, theirs: Uint8Array): ProbeKeys | undefined {
    const shared = crypto.agree(ours, theirs);
    if (shared === undefined) return undefined;
    const pair = blake2s(LABEL, { key: shared });
    shared.fill(0);
    return new ProbeKeys(pair, ours.publicKey, theirs);
  }

  /** What we show to the peer when it shall relay for us. */
  get sendPass(): number {
    return relayPass(this.#pair, this.#ours);
  }

  /** What the peer shows to us. */
  get receivePass(): number {
    return relayPass(this.#pair, this.#theirs);
  }

  sendKey(bootId: Uint8Array): Uint8Array {
    return bootKey(this.#pair, this.#ours, bootId);
  }

  receiveKey(bootId: Uint8Array): Uint8Array {
    return bootKey(this.#pair, this.#theirs, bootId);
  }
}

const LABEL = utf8("mesh-path-1");
const ID_LABEL = utf8("id");
const KEY_LABEL = utf8("key");
const RELAY_LABEL = utf8("relay");

function keyId(pair: Uint8Array, sender: Uint8Array): Uint8Array {
  return blake2s(concatBytes(ID_LABEL, sender), { key: pair, digestLength: 8 });
}

function bootKey(pair: Uint8Array, sender: Uint8Array, bootId: Uint8Array): Uint8Array {
  return blake2s(concatBytes(KEY_LABEL, sender, bootId), { key: pair });
}

function relayPass(pair: Uint8Array, sender: Uint8Array): number {
  return new DataView(blake2s(concatBytes(RELAY_LABEL, sender), { key: pair, digestLength: 4 }).buffer).getUint32(0);
}
