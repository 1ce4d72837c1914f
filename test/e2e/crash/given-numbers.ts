import { readFileSync } from "node:fs";
import { join } from "node:path";
import { STATE_FILES } from "@mesh/core/config";
import { unframeDocument } from "../../../packages/agent/src/store/document-frame.ts";
import { decodeSnapshot } from "../../../packages/core/src/node/snapshot.ts";

/**
 * What an admin's ledger on disk has given away: number → its latest holder. Throws when it gave one twice: a number goes on to
 * another node only when its holder has left, and in a new generation.
 */
export function givenNumbers(directory: string): ReadonlyMap<number, string> {
  const unframed = unframeDocument("node", readFileSync(join(directory, STATE_FILES.node)));
  const snapshot = unframed.ok ? decodeSnapshot(unframed.payload) : undefined;
  if (snapshot?.ok !== true) throw new Error(`${directory} holds no snapshot`);
  const given = new Map<string, string>();
  const latest = new Map<number, { readonly node: string; readonly generation: number }>();
  for (const { number, node, generation } of snapshot.value.ledger.assignments) {
    const holder = given.get(`${number} ${generation}`);
    if (holder !== undefined) throw new Error(`number ${number}, generation ${generation}, belongs to ${holder} and to ${node}`);
    given.set(`${number} ${generation}`, node);
    if (generation >= (latest.get(number)?.generation ?? 0)) latest.set(number, { node, generation });
  }
  return new Map([...latest].map(([number, { node }]) => [number, node]));
}
