import { readdir, readFile, readlink } from "node:fs/promises";

/** The process behind a socket, as far as this user may see it. */
export interface ServingProcess {
  readonly pid: number;
  /** It was stopped, by SIGSTOP or a debugger, and answers nothing until it is continued. */
  readonly isStopped: boolean;
}

/**
 * Which process serves the socket. The kernel keeps a socket under the name that it was bound to, which for an agent is
 * `<socket>.XXXXXX/new`: it is renamed when it is its turn.
 */
export async function findServingProcess(socket: string, proc = "/proc"): Promise<ServingProcess | undefined> {
  const inodes = await listeningInodes(socket, proc);
  if (inodes.size === 0) return undefined;
  const pids = (await namesIn(proc)).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    if (await holds(`${proc}/${pid}/fd`, inodes)) return { pid: Number(pid), isStopped: await isStopped(`${proc}/${pid}/stat`) };
  }
  return undefined;
}

/** proc(5), net/unix: `Num RefCount Protocol Flags Type St Inode Path`; flag 0x10000 is a listening socket. */
async function listeningInodes(socket: string, proc: string): Promise<ReadonlySet<string>> {
  const lines = (await textOf(`${proc}/net/unix`)).split("\n");
  const fields = lines.map((line) => line.trim().split(/\s+/));
  const isOurs = (path: string): boolean => path === socket || (path.startsWith(`${socket}.`) && path.endsWith("/new"));
  const ours = fields.filter(([, , , flags = "", , , , path = ""]) => flags === "00010000" && isOurs(path));
  return new Set(ours.map((entry) => `socket:[${entry[6]}]`));
}

async function holds(directory: string, inodes: ReadonlySet<string>): Promise<boolean> {
  for (const fd of await namesIn(directory)) {
    const target = await readlink(`${directory}/${fd}`).catch(() => "");
    if (inodes.has(target)) return true;
  }
  return false;
}

/** proc(5), stat: the state stands behind the name, which is in brackets and may hold anything. */
async function isStopped(file: string): Promise<boolean> {
  const stat = await textOf(file);
  const state = stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
  return state === "T" || state === "t";
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return await readdir(directory).catch(() => []);
}

async function textOf(file: string): Promise<string> {
  return await readFile(file, "utf8").catch(() => "");
}
