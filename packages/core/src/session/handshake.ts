import { utf8 } from "../bytes/text.ts";
import type { AgreementKey, Crypto, Random } from "../crypto/crypto.ts";
import { encodeHandshakeMessage, type HandshakeInitiation, type HandshakeResponse, MAC_BYTES, mac1Of } from "../wire/handshake-message.ts";
import { computeMac1, mac1Key } from "./macs.ts";
import { NoiseInitiator, NoiseResponder } from "./noise-ikpsk2.ts";
import { TAI64N_BYTES } from "./tai64n.ts";

// WireGuard's two messages, in the order they pass:
//
//   1. createInitiation   initiator   message 1: who I am, when, sealed for the peer
//   2. readInitiation     responder   whose static key is it? (the table finds the peer)
//   3. verifyInitiation   responder   is it really that peer, and what does its clock say?
//   4. createResponse     responder   message 2, and both transport keys
//   5. readResponse       initiator   both transport keys
//
// mac1 is checked before 2 and before 5 (macs.ts), by the engine too. It proves nothing about the sender, it is cheap.
// Neither mac1 nor the transcript covers what comes after it (mac2), and only mac1 covers the sender index: someone in
// the middle can spoil a handshake that way, as by dropping it. mac2 is the session table's to add.

/** What both sides know of each other beforehand. */
export interface HandshakePeer {
  readonly tunnelKey: Uint8Array; // 32 B, X25519
  readonly presharedKey: Uint8Array; // 32 B, zeros when there is none
}

/** Us. */
export interface HandshakeIdentity {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly key: AgreementKey;
}

/** Transport keys as we use them, 32 B each. */
export interface TransportKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

export interface CreatedInitiation {
  readonly bytes: Uint8Array;
  /** Waits for the response; wipe it when it is not wanted any more. */
  readonly noise: NoiseInitiator;
}

/** undefined when the peer's key is of low order: no handshake with it is possible. */
export function createInitiation(
  us: HandshakeIdentity,
  peer: HandshakePeer,
  fields: { readonly senderIndex: number; readonly timestamp: Uint8Array },
): CreatedInitiation | undefined {
  const noise = new NoiseInitiator({
    crypto: us.crypto,
    prologue: PROLOGUE,
    staticKey: us.key,
    ephemeralKey: createEphemeralKey(us),
    remoteStatic: peer.tunnelKey,
  });
  const sealed = noise.write1(fields.timestamp);
  if (sealed === undefined) {
    noise.wipe();
    return undefined;
  }
  const bytes = encodeHandshakeMessage({
    type: "initiation",
    senderIndex: fields.senderIndex,
    ephemeral: sealed.ephemeral,
    sealedStatic: sealed.sealedStatic,
    sealedTimestamp: sealed.sealedPayload,
    mac1: NO_MAC,
    mac2: NO_MAC,
  });
  mac1Of(bytes).set(computeMac1(bytes, mac1Key(peer.tunnelKey)));
  return { bytes, noise };
}

export interface ReadInitiation {
  readonly tunnelKey: Uint8Array; // claimed, until verifyInitiation agrees
  /** To be wiped when the initiation is answered or dropped. */
  readonly noise: NoiseResponder;
}

/** undefined when the message was not made for our key. */
export function readInitiation(us: HandshakeIdentity, message: HandshakeInitiation): ReadInitiation | undefined {
  const noise = new NoiseResponder({ crypto: us.crypto, prologue: PROLOGUE, staticKey: us.key });
  const tunnelKey = noise.readStatic(noiseMessage1(message));
  if (tunnelKey !== undefined) return { tunnelKey, noise };
  noise.wipe();
  return undefined;
}

/** The initiator's timestamp; undefined when the initiator does not own the key it named. */
export function verifyInitiation(read: ReadInitiation, message: HandshakeInitiation): Uint8Array | undefined {
  const timestamp = read.noise.readPayload(noiseMessage1(message), read.tunnelKey);
  return timestamp?.length === TAI64N_BYTES ? timestamp : undefined;
}

/** Answers a verified initiation. undefined when its ephemeral key is of low order. */
export function createResponse(
  us: HandshakeIdentity,
  peer: HandshakePeer,
  answer: { readonly initiation: HandshakeInitiation; readonly noise: NoiseResponder; readonly senderIndex: number },
): { readonly bytes: Uint8Array; readonly keys: TransportKeys } | undefined {
  const written = answer.noise.write2(
    {
      ephemeralKey: createEphemeralKey(us),
      remoteEphemeral: answer.initiation.ephemeral,
      remoteStatic: peer.tunnelKey,
      presharedKey: peer.presharedKey,
    },
    NOTHING,
  );
  if (written === undefined) return undefined;
  const bytes = encodeHandshakeMessage({
    type: "response",
    senderIndex: answer.senderIndex,
    receiverIndex: answer.initiation.senderIndex,
    ephemeral: written.message.ephemeral,
    sealedNothing: written.message.sealedPayload,
    mac1: NO_MAC,
    mac2: NO_MAC,
  });
  mac1Of(bytes).set(computeMac1(bytes, mac1Key(peer.tunnelKey)));
  return { bytes, keys: { sendKey: written.keys.fromResponder, receiveKey: written.keys.fromInitiator } };
}

/** undefined, and `noise` as it was, when the response is not the peer's answer to that initiation. */
export function readResponse(noise: NoiseInitiator, message: HandshakeResponse, peer: HandshakePeer): TransportKeys | undefined {
  const read = noise.read2({ ephemeral: message.ephemeral, sealedPayload: message.sealedNothing }, peer.presharedKey);
  return read === undefined ? undefined : { sendKey: read.keys.fromInitiator, receiveKey: read.keys.fromResponder };
}

function createEphemeralKey(us: HandshakeIdentity): AgreementKey {
  const secret = us.random.bytes(32);
  const key = us.crypto.agreementKey(secret);
  secret.fill(0);
  return key;
}

function noiseMessage1(message: HandshakeInitiation): {
  readonly ephemeral: Uint8Array;
  readonly sealedStatic: Uint8Array;
  readonly sealedPayload: Uint8Array;
} {
  return { ephemeral: message.ephemeral, sealedStatic: message.sealedStatic, sealedPayload: message.sealedTimestamp };
}

/** WireGuard whitepaper section 5.4: IDENTIFIER. */
const PROLOGUE = utf8("WireGuard v1 zx2c4 Jason@zx2c4.com");

const NO_MAC = new Uint8Array(MAC_BYTES);
const NOTHING = new Uint8Array(0);
