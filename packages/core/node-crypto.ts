import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  hash,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { BoundedMap } from "./src/bytes/bounded-map.ts";
import { concatBytes, isZero } from "./src/bytes/bytes.ts";
import type { AgreementKey, Crypto, Random, SigningKey } from "./src/crypto/crypto.ts";

/**
 * The {@link Crypto} of a running node, on node:crypto. Private keys live in OpenSSL's memory as KeyObjects; a handle
 * works only with the object that made it. Wrong lengths and foreign handles are programmer errors and throw; what
 * comes from the network (public keys, signatures, sealed bytes) never does.
 */
export function nodeCrypto(): Crypto {
  const signingKeys = new WeakMap<SigningKey, KeyObject>();
  const agreementKeys = new WeakMap<AgreementKey, KeyObject>();
  const signingPublicKeys = new PublicKeyCache("Ed25519");
  const agreementPublicKeys = new PublicKeyCache("X25519");

  const crypto: Crypto = {
    sha256: (data) => plain(hash("sha256", data, "buffer")),

    signingKey(seed) {
      const privateKey = importPrivateKey("Ed25519", seed);
      const key: SigningKey = { kind: "signing", publicKey: publicBytes(privateKey) };
      signingKeys.set(key, privateKey);
      return key;
    },

    sign: (key, message) => plain(nodeSign(null, message, ownKey(signingKeys, key))),

    verify(publicKey, message, signature) {
      const key = signature.length === 64 ? signingPublicKeys.get(publicKey) : undefined;
      return key !== undefined && nodeVerify(null, message, key, signature);
    },

    agreementKey(privateKey) {
      const imported = importPrivateKey("X25519", privateKey);
      const key: AgreementKey = { kind: "agreement", publicKey: publicBytes(imported) };
      agreementKeys.set(key, imported);
      return key;
    },

    agreementKeyOf(key) {
      const exported = ownKey(signingKeys, key).export({ format: "der", type: "pkcs8" });
      const digest = hash("sha512", exported.subarray(-32), "buffer");
      try {
        return crypto.agreementKey(digest.subarray(0, 32));
      } finally {
        exported.fill(0);
        digest.fill(0);
      }
    },

    agreementPublicKeyOf(signingPublicKey) {
      try {
        if (ed25519.Point.fromBytes(signingPublicKey).isSmallOrder()) return undefined;
        return ed25519.utils.toMontgomery(signingPublicKey);
      } catch {
        return undefined;
      }
    },

    agree(key, publicKey) {
      const privateKey = ownKey(agreementKeys, key);
      const theirs = agreementPublicKeys.get(publicKey);
      if (theirs === undefined) return undefined;
      try {
        const secret = plain(diffieHellman({ privateKey, publicKey: theirs }));
        return isZero(secret) ? undefined : secret;
      } catch {
        return undefined; // OpenSSL refuses an all-zero result by itself
      }
    },

    seal(key, nonce, associated, plaintext) {
      checkNonce(nonce);
      const cipher = createCipheriv("chacha20-poly1305", aeadKey(key), nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(associated, { plaintextLength: plaintext.length });
      const body = cipher.update(plaintext);
      cipher.final();
      return concatBytes(body, cipher.getAuthTag());
    },

    open(key, nonce, associated, sealed) {
      checkNonce(nonce);
      if (sealed.length < TAG_BYTES) return undefined;
      const decipher = createDecipheriv("chacha20-poly1305", aeadKey(key), nonce, { authTagLength: TAG_BYTES });
      const bodyLength = sealed.length - TAG_BYTES;
      decipher.setAAD(associated, { plaintextLength: bodyLength });
      decipher.setAuthTag(sealed.subarray(bodyLength));
      const plaintext = decipher.update(sealed.subarray(0, bodyLength));
      try {
        decipher.final();
        return plain(plaintext);
      } catch {
        plaintext.fill(0);
        return undefined;
      }
    },

    equalSecret: (a, b) => a.length === b.length && timingSafeEqual(a, b),
  };
  return crypto;
}

/** The operating system's random generator, through OpenSSL. */
export function nodeRandom(): Random {
  return { bytes: (length) => plain(randomBytes(length)) };
}

type Curve = "Ed25519" | "X25519";

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** PKCS #8 of a private key up to its 32 bytes: RFC 8410 section 7. */
const PKCS8_PREFIX: Readonly<Record<Curve, Uint8Array>> = {
  Ed25519: Buffer.from("302e020100300506032b657004220420", "hex"),
  X25519: Buffer.from("302e020100300506032b656e04220420", "hex"),
};

/**
 * Imported public keys kept per curve. An import costs 50 µs (as JWK; 75 µs as DER), as much as the X25519 that
 * follows and a third of an Ed25519 verification; a look-up costs under 1 µs [Node 24.21, 2-core Zen 4]. A KeyObject
 * is about 1 KB, so both curves together stay below 4 MB.
 */
const CACHED_PUBLIC_KEYS = 2_048;

/** The most recently used public keys of one curve. */
class PublicKeyCache {
  readonly #curve: Curve;
  readonly #keys = new BoundedMap<string, KeyObject>(CACHED_PUBLIC_KEYS);

  constructor(curve: Curve) {
    this.#curve = curve;
  }

  /** undefined when OpenSSL does not take the bytes as a key. */
  get(publicKey: Uint8Array): KeyObject | undefined {
    if (publicKey.length !== KEY_BYTES) return undefined;
    const x = view(publicKey).toString("base64url");
    const key = this.#keys.get(x) ?? importPublicKey(this.#curve, x);
    if (key === undefined) return undefined;
    this.#keys.set(x, key);
    return key;
  }
}

function importPublicKey(crv: Curve, x: string): KeyObject | undefined {
  try {
    return createPublicKey({ format: "jwk", key: { kty: "OKP", crv, x } });
  } catch {
    return undefined;
  }
}

/** Through DER, not JWK: the secret never becomes a string, which nothing can wipe. */
function importPrivateKey(curve: Curve, secret: Uint8Array): KeyObject {
  if (secret.length !== KEY_BYTES) throw new RangeError(`an ${curve} private key is 32 bytes, not ${secret.length}`);
  const prefix = PKCS8_PREFIX[curve];
  const der = Buffer.allocUnsafeSlow(prefix.length + KEY_BYTES);
  der.set(prefix);
  der.set(secret, prefix.length);
  try {
    return createPrivateKey({ format: "der", type: "pkcs8", key: der });
  } finally {
    der.fill(0);
  }
}

function publicBytes(privateKey: KeyObject): Uint8Array {
  const x = createPublicKey(privateKey).export({ format: "jwk" }).x ?? "";
  return new Uint8Array(Buffer.from(x, "base64url"));
}

function ownKey<K extends object>(keys: WeakMap<K, KeyObject>, key: K): KeyObject {
  const own = keys.get(key);
  if (own === undefined) throw new TypeError("the key was made by another Crypto");
  return own;
}

/** As a KeyObject: with raw bytes createCipheriv takes 30 µs instead of 9 [Node 24.21, 2-core Zen 4]. */
function aeadKey(key: Uint8Array): KeyObject {
  return createSecretKey(key);
}

/** OpenSSL would take a shorter nonce and pad it; RFC 8439 knows one length. */
function checkNonce(nonce: Uint8Array): void {
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`a ChaCha20-Poly1305 nonce is 12 bytes, not ${nonce.length}`);
}

/** The same memory as a Uint8Array proper: a Buffer's slice shares memory, and it is not deeply equal to a Uint8Array. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
