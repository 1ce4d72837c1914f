/**
 * A question within the topic that only a neighbour answers: has this arrived by gossip? It takes the way of every record, through both
 * routers, their streams, scores and validators, and goes no further, because the validator ignores it.
 *
 *    0       1      2
 *    +-------+------+----------+
 *    | 0x00  | kind | nonce 16 |     kind 1: question, 2: answer (the same nonce)
 *    +-------+------+----------+
 *
 * No record begins so: its first byte is its format version, from 1.
 */
export interface GossipHello {
  readonly kind: "question" | "answer";
  readonly nonce: Uint8Array;
}

const MARK = 0;
const KINDS: readonly GossipHello["kind"][] = ["question", "answer"];
const HEADER_BYTES = 2;
export const NONCE_BYTES = 16;
export const HELLO_BYTES: number = HEADER_BYTES + NONCE_BYTES;

export function encodeHello({ kind, nonce }: GossipHello): Uint8Array {
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`nonce of ${nonce.length} bytes`);
  const bytes = new Uint8Array(HELLO_BYTES);
  bytes.set([MARK, 1 + KINDS.indexOf(kind)]);
  bytes.set(nonce, HEADER_BYTES);
  return bytes;
}

/** undefined: something else, a record perhaps. */
export function decodeHello(bytes: Uint8Array): GossipHello | undefined {
  const kind = KINDS[(bytes[1] ?? 0) - 1];
  if (bytes.length !== HELLO_BYTES || bytes[0] !== MARK || kind === undefined) return undefined;
  return { kind, nonce: bytes.slice(HEADER_BYTES) };
}
