import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { unframeDocument } from "../../../packages/agent/src/store/document-frame.ts";
import { decodeRecords } from "../../../packages/core/src/node/snapshot.ts";
import { RecordOpener } from "../../../packages/core/src/records/record.ts";

/** The records that an agent has on disk, a line each: what it says, and who says it. Not when: a node may repeat itself. */
export function storedRecords(directory: string): readonly string[] {
  const unframed = unframeDocument("records", readFileSync(join(directory, "records.state")));
  if (!unframed.ok) throw new Error(`records.state ${unframed.reason}`);
  const records = decodeRecords(unframed.payload);
  if (!records.ok) throw new Error(`records.state: ${records.fault}`);
  const opener = new RecordOpener(nodeCrypto());
  const lines = records.value.map((bytes) => {
    const opened = opener.open(bytes);
    return opened.ok ? `${opened.value.content.type} by ${opened.value.author}` : `unreadable: ${opened.fault}`;
  });
  return lines.sort();
}
