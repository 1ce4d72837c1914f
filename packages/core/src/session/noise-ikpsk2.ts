import { concatBytes } from "../bytes/bytes.ts";
import { utf8 } from "../bytes/text.ts";
import { blake2s } from "../crypto/blake2s.ts";
import type { AgreementKey, Crypto } from "../crypto/crypto.ts";
import { kdf1, kdf2, kdf3 } from "../crypto/hkdf.ts";

// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (Noise specification, revision 34), free in prologue and payloads. WireGuard
// is this with its identifier as prologue, a timestamp as the first payload and nothing as the second.
//
//   <- s
//   1  -> e, es, s, ss      initiator: write 1        responder: read static, then payload
//   2  <- e, ee, se, psk    responder: write 2        initiator: read 2

export const NOISE_NAME = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

export interface NoiseMessage1 {
  readonly ephemeral: Uint8Array; // 32 B
  readonly sealedStatic: Uint8Array; // 48 B
  readonly sealedPayload: Uint8Array; // 16 B more than the payload
}

export interface NoiseMessage2 {
  readonly ephemeral: Uint8Array; // 32 B
  readonly sealedPayload: Uint8Array; // 16 B more than the payload
}

/** The two transport keys, 32 B each. */
export interface NoiseKeys {
  readonly fromInitiator: Uint8Array;
  readonly fromResponder: Uint8Array;
}

export interface NoiseOptions {
  readonly crypto: Crypto;
  readonly prologue: Uint8Array;
  readonly staticKey: AgreementKey;
}

/**
 * The initiator's half. {@link read2} leaves it as it was, so a forged answer does no harm to the real one.
 * Everything returns undefined when a key agreement gives zero (a low-order key) or a tag does not fit.
 */
export class NoiseInitiator {
  readonly #crypto: Crypto;
  readonly #staticKey: AgreementKey;
  readonly #ephemeralKey: AgreementKey;
  readonly #remoteStatic: Uint8Array;
  readonly #state: SymmetricState;

  constructor(options: NoiseOptions & { readonly ephemeralKey: AgreementKey; readonly remoteStatic: Uint8Array }) {
    this.#crypto = options.crypto;
    this.#staticKey = options.staticKey;
    this.#ephemeralKey = options.ephemeralKey;
    this.#remoteStatic = options.remoteStatic;
    this.#state = SymmetricState.start(options.crypto, options.prologue);
    this.#state.mixHash(options.remoteStatic);
  }

  write1(payload: Uint8Array): NoiseMessage1 | undefined {
    const state = this.#state;
    const ephemeral = this.#ephemeralKey.publicKey;
    const es = this.#crypto.agree(this.#ephemeralKey, this.#remoteStatic);
    const ss = this.#crypto.agree(this.#staticKey, this.#remoteStatic);
    if (es === undefined || ss === undefined) return wiped(es, ss);
    state.mixHash(ephemeral);
    state.mixChainingKey(ephemeral);
    state.mixKey(es);
    const sealedStatic = state.seal(this.#staticKey.publicKey);
    state.mixKey(ss);
    const sealedPayload = state.seal(payload);
    state.forgetKey();
    return { ephemeral, sealedStatic, sealedPayload };
  }

  read2(message: NoiseMessage2, presharedKey: Uint8Array): { readonly payload: Uint8Array; readonly keys: NoiseKeys } | undefined {
    const ee = this.#crypto.agree(this.#ephemeralKey, message.ephemeral);
    const se = this.#crypto.agree(this.#staticKey, message.ephemeral);
    if (ee === undefined || se === undefined) return wiped(ee, se);
    const state = this.#state.fork();
    state.mixMessage2({ ephemeral: message.ephemeral, ee, se, presharedKey });
    const payload = state.open(message.sealedPayload);
    const keys = payload === undefined ? undefined : state.split();
    state.wipe();
    return payload === undefined || keys === undefined ? undefined : { payload, keys };
  }

  /** Call it when the handshake is over, whatever its end. */
  wipe(): void {
    this.#state.wipe();
  }
}

/** The responder's half: one object for each first message, to be wiped in the end. */
export class NoiseResponder {
  readonly #crypto: Crypto;
  readonly #staticKey: AgreementKey;
  readonly #state: SymmetricState;

  constructor(options: NoiseOptions) {
    this.#crypto = options.crypto;
    this.#staticKey = options.staticKey;
    this.#state = SymmetricState.start(options.crypto, options.prologue);
    this.#state.mixHash(options.staticKey.publicKey);
  }

  /** The initiator's static public key: not yet proven to be its own, only {@link readPayload} does that. */
  readStatic(message: NoiseMessage1): Uint8Array | undefined {
    const es = this.#crypto.agree(this.#staticKey, message.ephemeral);
    if (es === undefined) return undefined;
    this.#state.mixHash(message.ephemeral);
    this.#state.mixChainingKey(message.ephemeral);
    this.#state.mixKey(es);
    return this.#state.open(message.sealedStatic);
  }

  readPayload(message: NoiseMessage1, remoteStatic: Uint8Array): Uint8Array | undefined {
    const ss = this.#crypto.agree(this.#staticKey, remoteStatic);
    if (ss === undefined) return undefined;
    this.#state.mixKey(ss);
    return this.#state.open(message.sealedPayload);
  }

  write2(
    options: {
      readonly ephemeralKey: AgreementKey;
      readonly remoteEphemeral: Uint8Array;
      readonly remoteStatic: Uint8Array;
      readonly presharedKey: Uint8Array;
    },
    payload: Uint8Array,
  ): { readonly message: NoiseMessage2; readonly keys: NoiseKeys } | undefined {
    const ee = this.#crypto.agree(options.ephemeralKey, options.remoteEphemeral);
    const se = this.#crypto.agree(options.ephemeralKey, options.remoteStatic);
    if (ee === undefined || se === undefined) return wiped(ee, se);
    const ephemeral = options.ephemeralKey.publicKey;
    this.#state.mixMessage2({ ephemeral, ee, se, presharedKey: options.presharedKey });
    const sealedPayload = this.#state.seal(payload);
    return { message: { ephemeral, sealedPayload }, keys: this.#state.split() };
  }

  wipe(): void {
    this.#state.wipe();
  }
}

const HASH_BYTES = 32;
const EMPTY = new Uint8Array(0);

/** Every key seals exactly one message before it is replaced, so the counter never leaves zero. */
const FIRST_NONCE = new Uint8Array(12);

/** Of two agreements one gave zero: the other is of no use either. */
function wiped(...secrets: readonly (Uint8Array | undefined)[]): undefined {
  for (const secret of secrets) secret?.fill(0);
}

/** Noise's SymmetricState (section 5.2): chaining key, cipher key, transcript hash. Wipes what it replaces. */
class SymmetricState {
  readonly #crypto: Crypto;
  #chainingKey: Uint8Array;
  #key: Uint8Array;
  #hash: Uint8Array;

  private constructor(crypto: Crypto, chainingKey: Uint8Array, hash: Uint8Array) {
    this.#crypto = crypto;
    this.#chainingKey = chainingKey;
    this.#hash = hash;
    this.#key = EMPTY;
  }

  static start(crypto: Crypto, prologue: Uint8Array): SymmetricState {
    const name = blake2s(utf8(NOISE_NAME));
    const state = new SymmetricState(crypto, name, name.slice());
    state.mixHash(prologue);
    return state;
  }

  fork(): SymmetricState {
    return new SymmetricState(this.#crypto, this.#chainingKey.slice(), this.#hash.slice());
  }

  mixHash(data: Uint8Array): void {
    this.#hash = blake2s(concatBytes(this.#hash, data));
  }

  /** MixKey where the cipher key would be replaced before it is used: one HMAC less. Wipes nothing. */
  mixChainingKey(input: Uint8Array): void {
    const chainingKey = kdf1(this.#chainingKey, input);
    this.#chainingKey.fill(0);
    this.#chainingKey = chainingKey;
  }

  mixKey(secret: Uint8Array): void {
    const [chainingKey, key] = kdf2(this.#chainingKey, secret);
    this.#replaceKeys(chainingKey, key);
    secret.fill(0);
  }

  mixMessage2(parts: {
    readonly ephemeral: Uint8Array;
    readonly ee: Uint8Array;
    readonly se: Uint8Array;
    readonly presharedKey: Uint8Array;
  }): void {
    this.mixHash(parts.ephemeral);
    this.mixChainingKey(parts.ephemeral);
    this.mixChainingKey(parts.ee);
    this.mixChainingKey(parts.se);
    parts.ee.fill(0);
    parts.se.fill(0);
    const [chainingKey, mixed, key] = kdf3(this.#chainingKey, parts.presharedKey);
    this.mixHash(mixed);
    mixed.fill(0);
    this.#replaceKeys(chainingKey, key);
  }

  seal(plaintext: Uint8Array): Uint8Array {
    const sealed = this.#crypto.seal(this.#key, FIRST_NONCE, this.#hash, plaintext);
    this.mixHash(sealed);
    return sealed;
  }

  open(sealed: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#crypto.open(this.#key, FIRST_NONCE, this.#hash, sealed);
    if (plaintext !== undefined) this.mixHash(sealed);
    return plaintext;
  }

  split(): NoiseKeys {
    const [fromInitiator, fromResponder] = kdf2(this.#chainingKey, EMPTY);
    return { fromInitiator, fromResponder };
  }

  /** The cipher key is done with; the next message makes another. */
  forgetKey(): void {
    this.#key.fill(0);
    this.#key = EMPTY;
  }

  wipe(): void {
    this.#replaceKeys(new Uint8Array(HASH_BYTES), EMPTY);
    this.#hash.fill(0);
  }

  #replaceKeys(chainingKey: Uint8Array, key: Uint8Array): void {
    this.#chainingKey.fill(0);
    this.#key.fill(0);
    this.#chainingKey = chainingKey;
    this.#key = key;
  }
}
