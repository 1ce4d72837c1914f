import { Buffer } from "node:buffer";

/** Bytes of every key here: seeds of Ed25519, X25519, invites. */
const KEY_BYTES = 32;

/** What stands in the place of a secret. */
const MASK = "(removed: it looks like a key)";

/** A peer's public key as libp2p writes it. */
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/;

/** As JSON and a person write bytes, so many that a key is among them: `[7, 255, …]`, `07:ff:…`, `07 ff …`. */
const BYTES_AS_NUMBERS = new RegExp(`\\[\\s*(?:\\d{1,3}\\s*,\\s*){${KEY_BYTES - 1},}\\d{1,3}\\s*\\]`, "g");
const BYTES_IN_PAIRS = new RegExp(`\\b(?:[0-9a-fA-F]{2}[: -]){${KEY_BYTES - 1},}[0-9a-fA-F]{2}\\b`, "g");

interface Known {
  /** Ids of nodes and the network: public, and as long as a key. */
  readonly publicIds: ReadonlySet<string>;
  /** Files that hold keys, as they are on this host; what is in them is looked for in the text. */
  readonly secretFiles: readonly Uint8Array[];
}

/**
 * The text without anything that is or could be a key: invites, keys of this host in hexadecimal and base64, and every other
 * word that is long enough for a key and not a known public id. The agent logs no keys; this is for the day it does.
 */
export function maskSecrets(text: string, { publicIds, secretFiles }: Known): string {
  let masked = text
    .replace(/\bmesh1[\w+/=-]{8,}/g, "(removed: an invite)")
    .replace(BYTES_AS_NUMBERS, MASK)
    .replace(BYTES_IN_PAIRS, MASK);
  for (const spelling of new Set(secretFiles.flatMap(spellings))) masked = masked.replaceAll(spelling, MASK);
  return masked.replace(/[\w+/-]{43,}={0,2}/g, (word) => {
    // A path has words in it; 43 random digits, slashes among them, have none.
    const isPath = word.split("/").filter((part) => /^[a-z][a-z_-]{2,}\d*$/.test(part)).length >= 2;
    const parts = isPath ? word.split("/") : [word];
    return parts.map((part) => (couldBeKey(part, publicIds) ? MASK : part)).join("/");
  });
}

/** Every 32 bytes in a row of the file: where in it the key stands is nobody's business here. */
function spellings(file: Uint8Array): readonly string[] {
  const bytes = Buffer.from(file);
  const found: string[] = [];
  for (let start = 0; start + KEY_BYTES <= bytes.length; start++) {
    const key = bytes.subarray(start, start + KEY_BYTES);
    const hex = key.toString("hex");
    // The last digit of base64 without padding carries only some bits, so that it also matches within a longer text.
    found.push(hex, hex.toUpperCase(), key.toString("base64").slice(0, 42), key.toString("base64url").slice(0, 42));
  }
  return found;
}

function couldBeKey(word: string, publicIds: ReadonlySet<string>): boolean {
  if (word.length < 43 || publicIds.has(word) || PEER_ID.test(word)) return false;
  return /\d/.test(word) && /[A-Za-z]/.test(word);
}
