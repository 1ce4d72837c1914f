import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MeshError } from "@mesh/core/errors";
import { readBoot } from "./host-place.ts";

/**
 * Whose process a state directory is in use by: `{ "pid", "boot", "startedAt" }`. The socket decides between two starters and is gone
 * when somebody removes it; this tells of an agent that goes on without. A process that has ended holds nothing, whatever is left here.
 */
const FILE = "agent.pid";

interface Holder {
  readonly pid: number;
  /** The kernel's id of the boot. */
  readonly boot: string;
  /** Field 22 of proc_pid_stat(5): a number that is given again belongs to a later process. */
  readonly startedAt: string;
}

/** Throws MeshError `agent/already-running`. Returns what gives the directory up. `proc` is /proc. */
export async function holdStateDirectory(directory: string, proc = "/proc"): Promise<() => Promise<void>> {
  const path = join(directory, FILE);
  const holder = await readHolder(path);
  if (holder !== undefined && holder.pid !== process.pid && (await isRunning(holder, proc))) throw heldBy(holder.pid, directory);
  const own = await describe(process.pid, proc);
  // On a full disk the socket alone decides.
  if (own !== undefined) await writeFile(path, JSON.stringify(own), { mode: 0o600 }).catch(() => {});
  return async () => {
    if ((await readHolder(path))?.pid === process.pid) await rm(path, { force: true });
  };
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const { pid, boot, startedAt } = JSON.parse(await readFile(path, "utf8")) as Partial<Holder>;
    return Number.isSafeInteger(pid) && Number(pid) > 0
      ? { pid: Number(pid), boot: String(boot), startedAt: String(startedAt) }
      : undefined;
  } catch {
    return undefined;
  }
}

async function isRunning(holder: Holder, proc: string): Promise<boolean> {
  const now = await describe(holder.pid, proc);
  return now?.boot === holder.boot && now.startedAt === holder.startedAt;
}

/** undefined: no such process, or one that is dead and not yet waited for. */
async function describe(pid: number, proc: string): Promise<Holder | undefined> {
  try {
    const [boot, stat] = await Promise.all([readBoot(proc), readFile(`${proc}/${pid}/stat`, "latin1")]);
    // The second field is the program's name, in brackets, and may hold anything.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? undefined : { pid, boot, startedAt: fields[18] ?? "" };
  } catch {
    return undefined;
  }
}

function heldBy(pid: number, directory: string): MeshError {
  const hint = `Somebody removed its socket. End it, which undoes what it changed: kill ${pid}. Then: mesh up`;
  return new MeshError(
    "agent/already-running",
    `The agent of this network is running without its socket, as process ${pid}.`,
    { socket: directory },
    { hint },
  );
}
