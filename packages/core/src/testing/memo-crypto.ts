import { BoundedMap } from "../bytes/bounded-map.ts";
import { equalBytes } from "../bytes/bytes.ts";
import type { AgreementKey, Crypto, SigningKey } from "../crypto/crypto.ts";

/** Results kept of each kind: more than a simulation of a dozen nodes has keys, pairs and records. */
const REMEMBERED = 16_384;
/** Packets are opened within a round trip, so few are worth keeping; more only cost collections of garbage. */
const REMEMBERED_PACKETS = 1_024;
const TAG_BYTES = 16;
const NOTHING = new Uint8Array();

interface SealedPacket {
  /** Key, nonce, associated data, sealed bytes: all must be the same for the plaintext to be the answer. */
  readonly inputs: readonly Uint8Array[];
  readonly plaintext: Uint8Array;
}

/**
 * A {@link Crypto} that computes nothing twice, for many nodes in one process: what one signed, sealed or agreed on, the
 * others need not compute again. Gives exactly the results of `crypto`, at the price of keeping secrets in memory.
 */
export function memoCrypto(crypto: Crypto): Crypto {
  const signingKeys = new BoundedMap<string, SigningKey>(REMEMBERED);
  const signatures = new BoundedMap<string, Uint8Array>(REMEMBERED);
  const verdicts = new BoundedMap<string, boolean>(REMEMBERED);
  const agreementKeys = new WeakMap<SigningKey, AgreementKey>();
  const agreementPublicKeys = new BoundedMap<string, { readonly key: Uint8Array | undefined }>(REMEMBERED);
  const secrets = new BoundedMap<string, { readonly secret: Uint8Array | undefined }>(REMEMBERED);
  const packets = new BoundedMap<string, SealedPacket>(REMEMBERED_PACKETS);
  const messageText = (message: Uint8Array): string => text(crypto.sha256(message));

  return {
    ...crypto,

    signingKey: (seed) => remembered(signingKeys, text(seed), () => crypto.signingKey(seed)),

    sign(key, message) {
      const messageKey = text(key.publicKey) + messageText(message);
      const signature = remembered(signatures, messageKey, () => crypto.sign(key, message));
      verdicts.set(messageKey + text(signature), true);
      return signature.slice();
    },

    verify(publicKey, message, signature) {
      const key = text(publicKey) + messageText(message) + text(signature);
      return remembered(verdicts, key, () => crypto.verify(publicKey, message, signature));
    },

    agreementKeyOf(key) {
      const made = agreementKeys.get(key) ?? crypto.agreementKeyOf(key);
      agreementKeys.set(key, made);
      return made;
    },

    agreementPublicKeyOf(publicKey) {
      const { key } = remembered(agreementPublicKeys, text(publicKey), () => ({ key: crypto.agreementPublicKeyOf(publicKey) }));
      return key?.slice();
    },

    agree(key, publicKey) {
      const [ours, theirs] = [text(key.publicKey), text(publicKey)];
      // Both ends of an agreement come to the same secret.
      const pair = ours < theirs ? ours + theirs : theirs + ours;
      return remembered(secrets, pair, () => ({ secret: crypto.agree(key, publicKey) })).secret?.slice();
    },

    seal(key, nonce, associated, plaintext) {
      const sealed = crypto.seal(key, nonce, associated, plaintext);
      const inputs = [key, nonce, associated, sealed].map((part) => part.slice());
      packets.set(tagText(sealed), { inputs, plaintext: plaintext.slice() });
      return sealed;
    },

    open(key, nonce, associated, sealed) {
      const known = packets.get(tagText(sealed));
      const inputs = [key, nonce, associated, sealed];
      const isSame = known?.inputs.every((part, i) => equalBytes(part, inputs[i] ?? NOTHING)) ?? false;
      return isSame ? known?.plaintext.slice() : crypto.open(key, nonce, associated, sealed);
    },
  };
}

function remembered<T>(map: BoundedMap<string, T>, key: string, make: () => T): T {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** Different bytes, different text. */
function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function tagText(sealed: Uint8Array): string {
  return text(sealed.subarray(-TAG_BYTES));
}
