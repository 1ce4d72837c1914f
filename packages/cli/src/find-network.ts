import { lstat, readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { agentFiles, isName, STATE_FILES } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";

interface Wanted {
  readonly stateRoot: string;
  /** Undefined: the only one there is. */
  readonly network?: string;
}

/**
 * Name of the network that is meant. Throws `state/missing` or `state/ambiguous`; a network that is named must exist too,
 * so that a misspelt name is not taken for an agent that is not running.
 */
export async function findNetwork({ stateRoot, network }: Wanted): Promise<string> {
  if (network !== undefined) {
    const { directory, socket } = agentFiles(stateRoot, network);
    if ((await isNetwork(directory)) || (await exists(socket))) return network;
    throw missing(directory, `There is no network "${network}" on this host.`);
  }
  const networks = await listNetworks(stateRoot);
  const [only, ...others] = networks;
  if (only === undefined) throw await noNetwork(stateRoot);
  if (others.length === 0) return only;
  const message = `This host is in ${networks.length} networks: ${networks.join(", ")}.`;
  throw new MeshError("state/ambiguous", message, { networks }, { hint: `Say which one: --network ${only}` });
}

/** Why none was found: there is none, or this user cannot see it. */
async function noNetwork(stateRoot: string): Promise<MeshError> {
  const why = await readdir(stateRoot).then(
    () => undefined,
    (error: unknown) => error,
  );
  const details = { directory: stateRoot };
  if (isRefusal(why)) {
    return new MeshError("state/missing", `This user may not look into ${stateRoot}, where this host keeps its networks.`, details, {
      hint: "Use sudo.",
    });
  }
  if (why instanceof Error && "code" in why && why.code === "ENOTDIR") {
    return new MeshError("state/missing", `${stateRoot} is not a directory.`, details, { hint: "Choose another place with --state." });
  }
  return missing(stateRoot, `This host is in no network yet: there is none in ${stateRoot}.`);
}

async function listNetworks(stateRoot: string): Promise<readonly string[]> {
  let names: readonly string[];
  try {
    names = await readdir(stateRoot);
  } catch (error) {
    if (isRefusal(error)) return await listSockets(stateRoot);
    return [];
  }
  const found = await Promise.all(names.map(async (name) => isName(name) && (await isNetwork(agentFiles(stateRoot, name).directory))));
  return names.filter((_, i) => found[i]).sort();
}

/** For a user who may use the agents but not look into their state. */
async function listSockets(stateRoot: string): Promise<readonly string[]> {
  const suffix = ".sock";
  const directory = dirname(agentFiles(stateRoot, "any").socket);
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => name.endsWith(suffix))
      .map((name) => name.slice(0, -suffix.length))
      .filter(isName)
      .sort();
  } catch {
    return [];
  }
}

/** A directory that this user may not look into counts: who may not see its state may still be allowed to use its socket. */
async function isNetwork(directory: string): Promise<boolean> {
  try {
    await lstat(`${directory}/${STATE_FILES.node}`);
    return true;
  } catch (error) {
    return isRefusal(error);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    return false;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM");
}

function missing(directory: string, message: string): MeshError {
  return new MeshError(
    "state/missing",
    message,
    { directory },
    { hint: "Make one with `mesh init`, or come into one with `mesh join -` and its invite." },
  );
}
