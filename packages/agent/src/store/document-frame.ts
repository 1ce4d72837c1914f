import { createHash } from "node:crypto";

/**
 * A state document as it lies on disk, integers in network order:
 *
 *     bytes  content
 *       8    magic: "meshdoc" and a zero byte
 *       1    format version: 1
 *       1    length n of the document's name
 *       n    the name, ASCII: a file renamed to another document's place is refused
 *       4    length m of the payload
 *       m    payload
 *      32    SHA-256 of everything before it
 */
const MAGIC: Buffer = Buffer.from("meshdoc\0", "latin1");
const VERSION = 1;
const DIGEST_BYTES = 32;

/** The records of 16,384 members are some 20 MB; what is larger than this was not written by us. */
export const MAX_DOCUMENT_BYTES: number = 256 * 1024 * 1024;

type Unframed =
  | { readonly ok: true; readonly payload: Uint8Array }
  /** `reason` completes "the file …". */
  | { readonly ok: false; readonly reason: string };

export function frameDocument(name: string, payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(headBytes(name));
  MAGIC.copy(head);
  head.writeUInt8(VERSION, MAGIC.length);
  head.writeUInt8(name.length, MAGIC.length + 1);
  head.write(name, MAGIC.length + 2, "latin1");
  head.writeUInt32BE(payload.length, head.length - 4);
  return Buffer.concat([head, payload, digest(head, payload)]);
}

export function unframeDocument(name: string, bytes: Uint8Array): Unframed {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length === 0) return { ok: false, reason: "is empty" };
  if (!file.subarray(0, MAGIC.length).equals(MAGIC.subarray(0, Math.min(MAGIC.length, file.length))))
    return { ok: false, reason: "is not one of this program's" };
  if (file.length < headBytes(name) + DIGEST_BYTES) return { ok: false, reason: "is cut short" };
  const version = file.readUInt8(MAGIC.length);
  if (version !== VERSION) return { ok: false, reason: `has format version ${version}, this program knows ${VERSION}` };
  const nameBytes = file.readUInt8(MAGIC.length + 1);
  const foundName = file.toString("latin1", MAGIC.length + 2, MAGIC.length + 2 + nameBytes);
  if (foundName !== name) return { ok: false, reason: `does not hold the document "${name}"` };
  const start = headBytes(name);
  const end = start + file.readUInt32BE(start - 4);
  if (file.length < end + DIGEST_BYTES) return { ok: false, reason: "is cut short" };
  if (file.length > end + DIGEST_BYTES) return { ok: false, reason: "has bytes after its end" };
  if (!digest(file.subarray(0, end)).equals(file.subarray(end))) return { ok: false, reason: "does not fit its checksum" };
  return { ok: true, payload: Uint8Array.from(file.subarray(start, end)) };
}

function headBytes(name: string): number {
  return MAGIC.length + 2 + name.length + 4;
}

function digest(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}
