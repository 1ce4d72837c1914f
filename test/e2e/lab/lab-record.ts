import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runSync } from "./run-command.ts";

/** Everything a lab leaves on the machine, written down before it is made, so that whoever comes later can remove it. */
export interface LabRecord {
  readonly id: string;
  readonly ownerPid: number;
  /** Clock ticks since boot (proc(5), stat field 22): tells the owner from a later process with its number. */
  readonly ownerStartTicks: string;
  readonly namespaces: readonly string[];
  /** Temporary directory of the lab. */
  readonly directory: string;
  /** Its name, when it stays until somebody closes it: its owner is then the first process of the machine. */
  readonly kept?: string;
}

const RECORDS = "/run/mesh-lab";
const PREFIX = "mesh-lab-";
/** Of init, or of a container's main process: it lives as long as namespaces do. */
const FIRST_PID = 1;
/** Milliseconds that processes may take to die of SIGKILL before their namespace is removed without them. */
const KILL_TIMEOUT = 3_000;

export function namespacePrefix(id: string): string {
  return `${PREFIX}${id}-`;
}

/** The record of the same lab, to stay under this name. */
export function keptRecord(record: LabRecord, kept: string): LabRecord {
  return { ...record, ownerPid: FIRST_PID, ownerStartTicks: startTicks(FIRST_PID) ?? "", kept };
}

export function writeRecord(record: LabRecord): void {
  mkdirSync(RECORDS, { recursive: true, mode: 0o700 });
  const file = recordFile(record.id);
  writeFileSync(`${file}.new`, JSON.stringify(record));
  renameSync(`${file}.new`, file);
}

/** Undefined when there is no such process. */
export function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the command in brackets and may hold anything, spaces and brackets too.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

export function pidsIn(namespace: string): readonly number[] {
  return (runSync("ip", ["netns", "pids", namespace]) ?? "").split("\n").filter(Boolean).map(Number);
}

/** Sends the signal to every process in these namespaces and returns how many there were. */
export function signalAll(namespaces: readonly string[], signal: NodeJS.Signals): number {
  const pids = namespaces.flatMap((namespace) => pidsIn(namespace));
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended in between.
    }
  }
  return pids.length;
}

/** Removes all of a lab, blocking: this runs where a process ends. Doing it twice is fine. */
export function removeLab(record: LabRecord): void {
  const existing = new Set(listNamespaces());
  const ours = record.namespaces.filter((name) => name.startsWith(namespacePrefix(record.id)) && existing.has(name));
  const deadline = performance.now() + KILL_TIMEOUT;
  while (signalAll(ours, "SIGKILL") > 0 && performance.now() < deadline) pause(10);
  // The namespace takes its ends of the links with it, and a link goes with either end.
  for (const namespace of ours) runSync("ip", ["netns", "delete", namespace]);
  if (record.directory.includes(`/${PREFIX}${record.id}-`)) rmSync(record.directory, { recursive: true, force: true });
  rmSync(recordFile(record.id), { force: true });
}

/** Removes the labs whose owner is dead, and nothing else. Returns their ids. */
export function sweepLabs(): readonly string[] {
  const swept: string[] = [];
  for (const record of readRecords()) {
    if (startTicks(record.ownerPid) === record.ownerStartTicks && !isLost(record)) continue;
    removeLab(record);
    swept.push(record.id);
  }
  return swept;
}

/** A kept lab's record can outlive a reboot, its namespaces cannot; the first process looks the same afterwards. */
function isLost({ kept, namespaces }: LabRecord): boolean {
  if (kept === undefined) return false;
  const existing = listNamespaces();
  return !namespaces.some((name) => existing.includes(name));
}

export function listNamespaces(): readonly string[] {
  const lines = (runSync("ip", ["netns", "list"]) ?? "").split("\n");
  return lines.map((line) => line.split(" ")[0] ?? "").filter((name) => name !== "");
}

/** Of all labs on this machine. */
export function readRecords(): readonly LabRecord[] {
  let names: readonly string[];
  try {
    names = readdirSync(RECORDS).filter((name) => name.endsWith(".json"));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      return [JSON.parse(readFileSync(join(RECORDS, name), "utf8")) as LabRecord];
    } catch {
      // Another sweep has just removed it.
      return [];
    }
  });
}

function recordFile(id: string): string {
  return join(RECORDS, `${id}.json`);
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
