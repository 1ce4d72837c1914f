import { access, constants, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MeshError } from "@mesh/core/errors";
import { isServed } from "../client.ts";
import type { AgentProgram, Host } from "../surroundings.ts";
import { renderUnit, UNIT_TEMPLATE } from "../unit-file.ts";

/** What `mesh service --json` prints. */
export interface ServiceView {
  readonly version: 1;
  readonly network: string;
  /** `mesh@<network>.service` */
  readonly unit: string;
  readonly file: string;
  readonly outcome: "started" | "enabled" | "removed";
  /** Where somebody else than root can change what the service runs as root. */
  readonly changeable?: string;
}

/** Bits of a file's mode (inode(7)). */
const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;

export interface ServiceOptions {
  readonly network: string;
  readonly stateRoot: string;
  readonly socket: string;
  readonly host: Host;
  readonly program: AgentProgram;
}

/**
 * Writes the unit and enables it for the network. It is started too, unless an agent serves the network already: that one
 * goes on (`enabled`). Throws `host/command-failed` where there is no systemd, or when it says no.
 */
export async function installService(options: ServiceOptions): Promise<ServiceView> {
  const { network, stateRoot, socket, host, program } = options;
  await requireSystemd(host);
  const { runtime } = program;
  const isHidden = (await isClosedToOthers(runtime)) || (await isClosedToOthers(host.command));
  const text = renderUnit({ runtime, command: host.command, stateRoot, isHidden });
  const file = join(host.unitDirectory, UNIT_TEMPLATE);
  await refuseOtherState(file, text, stateRoot);
  await writeUnit(file, text);
  const unit = unitOf(network);
  await systemctl(host, ["daemon-reload"]);
  const isRunning = await isServed(socket);
  await systemctl(host, isRunning ? ["enable", unit] : ["enable", "--now", unit]);
  const places = await Promise.all([runtime, host.command, program.entry].map((place) => changeableByOthers(place).catch(() => undefined)));
  const changeable = places.find((place) => place !== undefined);
  return { version: 1, network, unit, file, outcome: isRunning ? "enabled" : "started", ...(changeable !== undefined && { changeable }) };
}

/** Stops and disables the network's unit; the template goes with the last network that used it. Fine when there is none. */
export async function removeService({ network, host }: ServiceOptions): Promise<ServiceView> {
  await requireSystemd(host);
  const file = join(host.unitDirectory, UNIT_TEMPLATE);
  const unit = unitOf(network);
  if (await exists(file)) {
    await systemctl(host, ["disable", "--now", unit]);
    if (!(await isUsed(host))) await removeUnit(file);
    await systemctl(host, ["daemon-reload"]);
  }
  return { version: 1, network, unit, file, outcome: "removed" };
}

export function unitOf(network: string): string {
  return UNIT_TEMPLATE.replace("@", `@${network}`);
}

async function requireSystemd({ systemdMark }: Host): Promise<void> {
  if (await exists(systemdMark)) return;
  const message = "This host is not run by systemd, so there is no service to install or remove.";
  throw new MeshError(
    "host/command-failed",
    message,
    { command: "systemctl", output: `no ${systemdMark}` },
    {
      hint: "Let what starts services here call: mesh up --foreground",
    },
  );
}

/** One template serves all networks, so all of them are in one directory. */
async function refuseOtherState(file: string, text: string, stateRoot: string): Promise<void> {
  const before = await readFile(file, "utf8").catch(() => undefined);
  if (before === undefined || stateOf(before) === stateOf(text)) return;
  const reason = `${file} is there for networks in another directory than ${stateRoot}.`;
  throw new MeshError("usage/invalid", reason, { reason }, { hint: "Remove it first: mesh service remove, with that directory's --state" });
}

function stateOf(unit: string): string {
  return /^ExecStart=.* --state (.*) --network %i$/m.exec(unit)?.[1] ?? "";
}

async function writeUnit(file: string, text: string): Promise<void> {
  await asRoot(`write ${file}`, async () => {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(`${file}.new`, text, { mode: 0o644 });
    await rename(`${file}.new`, file);
  });
}

async function removeUnit(file: string): Promise<void> {
  await asRoot(`remove ${file}`, async () => await rm(file, { force: true }));
}

async function asRoot(action: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code !== "EACCES" && code !== "EPERM") throw cause;
    throw new MeshError("host/not-root", `This user may not ${action}.`, { action }, { hint: "Run it with sudo.", cause });
  }
}

async function systemctl(host: Host, args: readonly string[]): Promise<void> {
  const { code, output } = await host.run("systemctl", args);
  if (code === 0) return;
  const command = `systemctl ${args.join(" ")}`;
  const said = output.trim().split("\n")[0] ?? "";
  const reason = code === undefined ? "it could not be run, or took too long" : said === "" ? `it ended with code ${code}` : said;
  throw new MeshError(
    "host/command-failed",
    `${command} failed: ${reason.replace(/\.$/, "")}.`,
    { command, output },
    {
      hint: `Its log may say more: journalctl -u ${args.at(-1)}`,
    },
  );
}

/** Whether another network's instance is enabled: systemd keeps a link for each. */
async function isUsed({ unitDirectory }: Host): Promise<boolean> {
  const wants = await readdir(join(unitDirectory, "multi-user.target.wants")).catch(() => []);
  return wants.some((name) => /^mesh@.+\.service$/.test(name));
}

/** Whether a directory on the way to the file lets in only its owner or group, and that is not root. */
async function isClosedToOthers(file: string): Promise<boolean> {
  for (let place = file; place !== dirname(place); place = dirname(place)) {
    const { uid, mode } = await stat(place);
    const needed = place === file ? constants.R_OK : constants.X_OK;
    if (uid !== 0 && (mode & needed) === 0) return true;
  }
  return false;
}

/** The first place on the way to the file that another user owns, or that others may write to; they cannot replace what is in a sticky one. */
async function changeableByOthers(file: string): Promise<string | undefined> {
  for (let place = file; place !== dirname(place); place = dirname(place)) {
    const { uid, mode } = await stat(place);
    const isSticky = (mode & STICKY) !== 0 && place !== file;
    if (uid !== 0 || ((mode & WRITABLE_BY_OTHERS) !== 0 && !isSticky)) return place;
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
