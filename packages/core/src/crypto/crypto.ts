/**
 * The cryptography core calls, synchronously. `@mesh/core/node-crypto` implements it on node:crypto.
 * What node:crypto lacks (keyed and short BLAKE2s, HKDF over it) is written here in core, beside this file.
 */
export interface Crypto {
  /** 32 bytes. */
  sha256(data: Uint8Array): Uint8Array;

  /** Ed25519 from its 32-byte seed (RFC 8032). The same seed always gives the same key. */
  signingKey(seed: Uint8Array): SigningKey;
  /** 64 bytes, deterministic (RFC 8032). */
  sign(key: SigningKey, message: Uint8Array): Uint8Array;
  /** False for anything that is not a valid signature, malformed keys included. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;

  /** X25519 from its 32-byte private scalar (RFC 7748). */
  agreementKey(privateKey: Uint8Array): AgreementKey;
  /** The X25519 form of an Ed25519 key: libsodium's crypto_sign_ed25519_sk_to_curve25519. */
  agreementKeyOf(key: SigningKey): AgreementKey;
  /** The X25519 form of an Ed25519 public key; undefined when it is not a point on the curve. */
  agreementPublicKeyOf(signingPublicKey: Uint8Array): Uint8Array | undefined;
  /** 32 bytes; undefined when the result is all zero (a low-order public key). */
  agree(key: AgreementKey, publicKey: Uint8Array): Uint8Array | undefined;

  /** ChaCha20-Poly1305 (RFC 8439): key 32 B, nonce 12 B; ciphertext and 16-byte tag. */
  seal(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** undefined when the tag does not fit. */
  open(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;

  /** In time that depends on the lengths alone. */
  equalSecret(a: Uint8Array, b: Uint8Array): boolean;
}

/** Unpredictable bytes; in simulations, from a seed. */
export interface Random {
  bytes(length: number): Uint8Array;
}

/** An Ed25519 private key that only the Crypto that made it can use. */
export interface SigningKey {
  readonly kind: "signing";
  readonly publicKey: Uint8Array; // 32 B
}

/** An X25519 private key that only the Crypto that made it can use. */
export interface AgreementKey {
  readonly kind: "agreement";
  readonly publicKey: Uint8Array; // 32 B
}
