/**
 * Taking the socket of one network, so that there is never more than one agent of it.
 *
 * Linux lets a dead process's socket file stand, and nothing removes and binds a name in one step: two starters that both
 * find the leftover could each remove what the other has just bound. Therefore nobody ever removes the socket's own name
 * to make room. The steps:
 *
 *  1. bind in a new directory beside the socket, `<socket>.XXXXXX/new` (mkdtemp: the name was never used before, and 0700
 *     keeps everyone out until owner and mode are set);
 *  2. once listening, rename to `<socket>.XXXXXX/claim`: a claim that exists either answers or is dead for good;
 *  3. look at all other claims, then at the socket itself. An answering socket is a running agent. An answering claim is
 *     another starter: the lower name goes on, the other withdraws, so that one of them comes through;
 *  4. nobody else answers: rename the claim over the socket, which replaces a leftover in the same step;
 *  5. remove what is beside the socket without a claim: of starters that were killed before step 2 or after step 4. One that is only
 *     about to announce itself finds its directory gone, and so that somebody else has the socket.
 *
 * Of two starters the later one to look sees the other, because each announces before it looks and answers until it ends;
 * a claim that is renamed between the two looks of step 3 is found by the second. The kernel ends a dead process's
 * answering, so no lock outlives its holder, and a dead claim can be removed by anybody.
 */
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { MeshError } from "@mesh/core/errors";
import type { Clock } from "@mesh/core/ports";

/** Bytes of `sockaddr_un.sun_path` without its closing zero (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;

/** Length of what step 1 adds to the path: `.XXXXXX/claim`. */
const CLAIM_SUFFIX_BYTES = 13;

/** How often a starter looks again while another one with a higher name has not withdrawn yet; that takes it one look. */
const LOOK_INTERVAL = 10;

/** Looks before the other starter is taken for the agent: 2 s. It may be stopped by a debugger and still answer. */
const MAX_LOOKS = 200;

/** A probe of a Unix socket is answered by the kernel; it waits only while the queue of the other side is full. */
const PROBE_TIMEOUT = 1_000;

/** Members of this group may use the API without being root. */
const API_GROUP = "mesh";

interface ClaimOptions {
  readonly socket: string;
  readonly clock: Clock;
}

export interface SocketClaim {
  /** Takes the name away; call it while the server still listens, so that nobody else has taken it by then. Never fails. */
  release(): Promise<void>;
}

/**
 * Makes `server` listen on the socket, or throws MeshError `agent/already-running` when another agent does.
 * The server is closed when this throws.
 */
export async function claimSocket(server: Server, options: ClaimOptions): Promise<SocketClaim> {
  const { socket } = options;
  if (Buffer.byteLength(socket) + CLAIM_SUFFIX_BYTES > MAX_SOCKET_PATH_BYTES) throw pathTooLong(socket);
  const directory = await makeClaimDirectory(socket);
  try {
    await listen(server, join(directory, "new"));
    await setAccess(join(directory, "new"));
    await rename(join(directory, "new"), join(directory, "claim"));
    await waitUntilAlone(basename(directory), options);
    const { ino } = await lstat(join(directory, "claim"));
    await rename(join(directory, "claim"), socket);
    await removeUnclaimed(basename(directory), socket);
    return { release: () => removeIf(socket, ino) };
  } catch (error) {
    server.close();
    throw hasCode(error, "ENOENT") ? alreadyRunning(socket) : error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function waitUntilAlone(ownName: string, { socket, clock }: ClaimOptions): Promise<void> {
  for (let look = 0; look < MAX_LOOKS; look++) {
    const others = await answeringClaims(ownName, socket);
    if (await answers(socket)) throw alreadyRunning(socket);
    if (others.length === 0) return;
    if (others.some((name) => name < ownName)) throw alreadyRunning(socket);
    await new Promise<void>((resolve) => clock.at(clock.now() + LOOK_INTERVAL, resolve));
  }
  throw alreadyRunning(socket);
}

/** Of other starters, dead or alive. */
async function claimDirectories(ownName: string, socket: string): Promise<readonly string[]> {
  const prefix = `${basename(socket)}.`;
  const names = await readdir(dirname(socket));
  return names.filter((name) => name !== ownName && name.startsWith(prefix) && name.length === prefix.length + 6);
}

/** Called by who has the socket. */
async function removeUnclaimed(ownName: string, socket: string): Promise<void> {
  for (const name of await claimDirectories(ownName, socket)) {
    const directory = join(dirname(socket), name);
    if ((await probe(join(directory, "claim"))) !== "absent") continue;
    try {
      await rm(join(directory, "new"), { force: true });
      await rmdir(directory);
    } catch {
      // A file, or a directory with something else in it: it only looks like one of ours.
    }
  }
}

async function answeringClaims(ownName: string, socket: string): Promise<readonly string[]> {
  const answering: string[] = [];
  for (const name of await claimDirectories(ownName, socket)) {
    const directory = join(dirname(socket), name);
    const outcome = await probe(join(directory, "claim"));
    if (outcome === "answers") answering.push(name);
    else if (outcome === "dead") await rm(directory, { recursive: true, force: true });
  }
  return answering;
}

async function answers(socket: string): Promise<boolean> {
  return (await probe(socket)) === "answers";
}

/** Whether a process listens there. What cannot be asked, because it is someone else's or too busy, counts as answering. */
async function probe(path: string): Promise<"answers" | "dead" | "absent"> {
  return await new Promise((resolve) => {
    const connection = connect(path);
    connection.setTimeout(PROBE_TIMEOUT);
    const finish = (outcome: "answers" | "dead" | "absent"): void => {
      connection.destroy();
      resolve(outcome);
    };
    connection.once("connect", () => finish("answers"));
    connection.once("timeout", () => finish("answers"));
    connection.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") finish("dead");
      else finish(error.code === "ENOENT" || error.code === "ENOTDIR" ? "absent" : "answers");
    });
  });
}

async function makeClaimDirectory(socket: string): Promise<string> {
  try {
    await makeDirectory(dirname(socket));
    return await mkdtemp(`${socket}.`);
  } catch (cause) {
    if (!hasCode(cause, "EACCES") && !hasCode(cause, "EPERM")) throw cause;
    const action = `make a socket in ${dirname(socket)}`;
    throw new MeshError(
      "host/not-root",
      `This user may not ${action}.`,
      { action },
      { hint: "Run it as root, or give another directory with --state.", cause },
    );
  }
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o755 });
    // Once more, because the umask of a service may have taken the group's and others' bits.
    await chmod(directory, 0o755);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** 0660 root:mesh where that group exists and this process may give the file to it, else 0600. */
async function setAccess(path: string): Promise<void> {
  const group = await groupNumber(API_GROUP);
  const isGiven = group !== undefined && process.getuid?.() === 0 && (await giveTo(path, group));
  await chmod(path, isGiven ? 0o660 : 0o600);
}

/** Root without CAP_CHOWN, as a service may be, gives nothing to a group that it is no member of. */
async function giveTo(path: string, group: number): Promise<boolean> {
  try {
    await chown(path, 0, group);
    return true;
  } catch (error) {
    if (hasCode(error, "EPERM")) return false;
    throw error;
  }
}

/** From `/etc/group`, group(5): `name:password:number:members`. */
async function groupNumber(name: string): Promise<number | undefined> {
  let lines: readonly string[];
  try {
    lines = (await readFile("/etc/group", "utf8")).split("\n");
  } catch {
    return undefined;
  }
  const fields = lines.map((line) => line.split(":")).find((entry) => entry[0] === name);
  const number = Number(fields?.[2]);
  return Number.isInteger(number) ? number : undefined;
}

async function removeIf(socket: string, ino: number): Promise<void> {
  try {
    if ((await lstat(socket)).ino === ino) await unlink(socket);
  } catch {
    // Somebody removed it already.
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function alreadyRunning(socket: string): MeshError {
  return new MeshError(
    "agent/already-running",
    "The agent of this network is already running.",
    { socket },
    { hint: "See it with: mesh status" },
  );
}

function pathTooLong(socket: string): MeshError {
  const limit = MAX_SOCKET_PATH_BYTES - CLAIM_SUFFIX_BYTES;
  return new MeshError(
    "config/invalid",
    `The path of the agent's socket is longer than ${limit} bytes: ${socket}`,
    { key: "state", reason: `the socket's path must not be longer than ${limit} bytes` },
    { hint: "Give a shorter directory with --state." },
  );
}
