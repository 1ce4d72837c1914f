import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { LabRecord } from "./lab-record.ts";
import { listNamespaces, namespacePrefix, readRecords } from "./lab-record.ts";

/** Nothing of this lab is on the machine: no namespace, no record, no file, no process that was given its directory. */
export function assertGone({ id, directory }: Pick<LabRecord, "id" | "directory">): void {
  const namespaces = listNamespaces().filter((name) => name.startsWith(namespacePrefix(id)));
  assert.deepEqual(namespaces, [], "namespaces");
  const records = readRecords().filter((record) => record.id === id);
  assert.deepEqual(records, [], "records");
  assert.equal(existsSync(directory), false, `${directory} is there`);
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && mentions(name, directory));
  assert.deepEqual(pids, [], "processes");
}

function mentions(pid: string, directory: string): boolean {
  return ["environ", "cmdline"].some((file) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, "latin1").includes(directory);
    } catch {
      // It has ended.
      return false;
    }
  });
}
