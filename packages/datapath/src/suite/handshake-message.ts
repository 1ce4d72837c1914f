import { createDecipheriv, createHash } from "node:crypto";

// WireGuard's handshake messages as the guard sees them (whitepaper, sections 5.4.4 and 5.4.7): their MACs are right, the
// rest is noise. Written without core, on node:crypto and a BLAKE2s of its own: an oracle that shares no code with what it tests.

/** An X25519 public key; nobody needs the private one, because the guard only hashes it. */
export const OUR_PUBLIC_KEY: Uint8Array = new Uint8Array(createHash("sha256").update("our public key").digest());
const MESSAGE_BYTES = { 1: 148, 2: 92 } as const;
const MACS_BYTES = 32;

export interface HandshakeFields {
  readonly publicKey?: Uint8Array; // OUR_PUBLIC_KEY unless told
  readonly sender?: number; // u32
  readonly cookie?: Uint8Array; // makes the MAC2
}

/** An initiation or a response for the owner of the public key. */
export function handshakeMessage(type: 1 | 2, fields: HandshakeFields = {}): Buffer {
  const message = Buffer.alloc(MESSAGE_BYTES[type], 0xa0 + type);
  message.writeUInt32LE(type, 0);
  message.writeUInt32LE(fields.sender ?? 0, 4);
  message.fill(0, message.length - MACS_BYTES);
  const key = labelled("mac1----", fields.publicKey ?? OUR_PUBLIC_KEY);
  message.set(mac(key, message.subarray(0, -MACS_BYTES)), message.length - MACS_BYTES);
  if (fields.cookie !== undefined) message.set(mac(fields.cookie, message.subarray(0, -16)), message.length - 16);
  return message;
}

/** The cookie in the answer to `message`. Throws when the answer is not for it, or not from the owner of the public key. */
export function openCookieReply(reply: Buffer, message: Buffer, publicKey: Uint8Array = OUR_PUBLIC_KEY): Buffer {
  if (reply.length !== 64 || reply.readUInt32LE(0) !== 3) throw new Error("no cookie reply");
  if (reply.readUInt32LE(4) !== message.readUInt32LE(4)) throw new Error("a cookie reply for another message");
  const nonce = reply.subarray(8, 32);
  const key = hchacha20(labelled("cookie--", publicKey), nonce.subarray(0, 16));
  const decipher = createDecipheriv("chacha20-poly1305", key, Buffer.concat([Buffer.alloc(4), nonce.subarray(16)]), { authTagLength: 16 });
  decipher.setAAD(message.subarray(-MACS_BYTES, -16), { plaintextLength: 16 });
  decipher.setAuthTag(reply.subarray(48));
  return Buffer.concat([decipher.update(reply.subarray(32, 48)), decipher.final()]);
}

function labelled(label: string, publicKey: Uint8Array): Buffer {
  return createHash("blake2s256").update(label).update(publicKey).digest();
}

/** Outer rows of the ChaCha20 block's end state: what the block function adds to them at the end is known, and taken off again. */
function hchacha20(key: Uint8Array, nonce: Uint8Array): Buffer {
  const block = createDecipheriv("chacha20", key, nonce).update(Buffer.alloc(64));
  const start = Buffer.concat([Buffer.from("expand 32-byte k"), nonce]);
  const out = Buffer.alloc(32);
  for (let word = 0; word < 8; word++) {
    const at = word < 4 ? word * 4 : 32 + word * 4;
    out.writeUInt32LE((block.readUInt32LE(at) - start.readUInt32LE(word * 4)) >>> 0, word * 4);
  }
  return out;
}

/** BLAKE2s with a key and a digest of 16 bytes (RFC 7693), which OpenSSL lacks; the message is not empty. */
function mac(key: Uint8Array, message: Uint8Array): Buffer {
  const input = Buffer.concat([key, Buffer.alloc(64 - key.length), message]);
  const h = Uint32Array.from(IV);
  h[0] = at(h, 0) ^ 0x0101_0010 ^ (key.length << 8);
  for (let from = 0; from < input.length; from += 64) {
    const isLast = from + 64 >= input.length;
    const block = Buffer.alloc(64);
    input.copy(block, 0, from);
    compress(h, block, { total: Math.min(from + 64, input.length), isLast });
  }
  return Buffer.from(h.buffer, 0, 16);
}

function compress(h: Uint32Array, block: Buffer, { total, isLast }: { readonly total: number; readonly isLast: boolean }): void {
  const v = Uint32Array.of(...h, ...IV);
  v[12] = at(v, 12) ^ total;
  if (isLast) v[14] = ~at(v, 14);
  const word = (i: number): number => block.readUInt32LE(4 * i);
  for (const order of SIGMA) {
    for (const [i, [a, b, c, d]] of MIXES.entries()) {
      for (const [half, turns] of [[0, [16, 12]] as const, [1, [8, 7]] as const]) {
        v[a] = at(v, a) + at(v, b) + word(Number.parseInt(order.charAt(2 * i + half), 16));
        v[d] = rotate(at(v, d) ^ at(v, a), turns[0]);
        v[c] = at(v, c) + at(v, d);
        v[b] = rotate(at(v, b) ^ at(v, c), turns[1]);
      }
    }
  }
  for (let i = 0; i < 8; i++) h[i] = at(h, i) ^ at(v, i) ^ at(v, i + 8);
}

function at(words: Uint32Array, i: number): number {
  return words[i] ?? 0;
}

function rotate(word: number, right: number): number {
  return (word >>> right) | (word << (32 - right));
}

/** RFC 7693, sections 2.6 and 2.7: initial state, order of the message words in each round, words that are mixed. */
const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19] as const;
const SIGMA = [
  "0123456789abcdef",
  "ea489fd61c02b753",
  "b8c052fdae367194",
  "7931dcbe265a40f8",
  "905724afe1bc683d",
  "2c6a0b834d75fe19",
  "c51fed4a0763928b",
  "db7ec13950f4862a",
  "6fe9b308c2d714a5",
  "a2847615fb9e3cd0",
] as const;
const MIXES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;
