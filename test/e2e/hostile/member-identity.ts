import { readFileSync } from "node:fs";
import { join } from "node:path";
import { STATE_FILES } from "@mesh/core/config";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { unframeDocument } from "../../../packages/agent/src/store/document-frame.ts";
import { decodeRecords, decodeSnapshot } from "../../../packages/core/src/node/snapshot.ts";

/** What makes a member one; base64. */
export interface MemberIdentity {
  /** Of its Ed25519 key, 32 bytes. */
  readonly seed: string;
  /** Its certificate record. */
  readonly certificate: string;
  /** SHA-256 of the network's statement, in hex. */
  readonly network: string;
  /** Everything gossip taught it. */
  readonly records: readonly string[];
}

/** Taken from the state of an agent that does not run: what a thief of its disk has. */
export function memberIdentity(directory: string): MemberIdentity {
  const seed = documentOf(directory, "identity");
  const snapshot = decodeSnapshot(documentOf(directory, "node"));
  const records = decodeRecords(documentOf(directory, "records"));
  if (!snapshot.ok || !records.ok) throw new Error(`${directory} is not a member's`);
  return {
    seed: base64(seed),
    certificate: base64(snapshot.value.certificate),
    network: Buffer.from(nodeCrypto().sha256(snapshot.value.statement)).toString("hex"),
    records: records.value.map(base64),
  };
}

function documentOf(directory: string, name: "identity" | "node" | "records"): Uint8Array {
  const unframed = unframeDocument(name, readFileSync(join(directory, STATE_FILES[name])));
  if (!unframed.ok) throw new Error(`${name} ${unframed.reason}`);
  return unframed.payload;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
