import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** Something the tests or the demo want from the machine, beyond Node. */
export type HostNeed =
  | "engine"
  | "network"
  | "firewall"
  | "ping"
  | "throughput"
  | "capture"
  | "portmap"
  | "wireguard"
  | "service"
  | "shells";

interface HostTool {
  readonly need: HostNeed;
  /** Any one of these on the path is enough. */
  readonly commands: readonly string[];
  /** The Debian package that brings the first of them. */
  readonly debianPackage: string;
  readonly why: string;
}

export interface MissingTool {
  readonly need: HostNeed;
  readonly command: string;
  readonly why: string;
}

const TOOLS: readonly HostTool[] = [
  { need: "engine", commands: ["g++", "clang++"], debianPackage: "g++", why: "compiles the packet engine, and wires for the lab" },
  { need: "network", commands: ["ip"], debianPackage: "iproute2", why: "makes the network namespaces and links" },
  { need: "firewall", commands: ["nft"], debianPackage: "nftables", why: "makes the NATs and cuts links" },
  { need: "firewall", commands: ["iptables-nft"], debianPackage: "iptables", why: "makes foreign firewall rules to get along with" },
  { need: "ping", commands: ["ping"], debianPackage: "iputils-ping", why: "pings through the tunnel" },
  { need: "throughput", commands: ["iperf3"], debianPackage: "iperf3", why: "measures throughput" },
  { need: "capture", commands: ["tcpdump"], debianPackage: "tcpdump", why: "keeps the packets of a failed test" },
  {
    need: "portmap",
    commands: ["miniupnpd"],
    debianPackage: "miniupnpd-nftables",
    why: "makes a gateway of the lab map ports",
  },
  {
    need: "wireguard",
    commands: ["wireguard-go"],
    debianPackage: "wireguard-go",
    why: "is the stock WireGuard peer we must interoperate with",
  },
  { need: "service", commands: ["systemd-analyze"], debianPackage: "systemd", why: "checks the service's unit" },
  { need: "shells", commands: ["zsh"], debianPackage: "zsh", why: "reads its completion script" },
  { need: "shells", commands: ["fish"], debianPackage: "fish", why: "reads its completion script" },
  { need: "wireguard", commands: ["wg"], debianPackage: "wireguard-tools", why: "configures that stock peer" },
];

const SYSTEM_PATH = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const ENGINE_BUILD: string = join(import.meta.dirname, "../packages/datapath/build.mjs");

/** Where the command is, looked up as root would; undefined when it is not installed. */
export function findCommand(name: string): string | undefined {
  const directories = new Set([...(process.env["PATH"] ?? "").split(":"), ...SYSTEM_PATH]);
  for (const directory of directories) {
    const file = join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {}
  }
  return undefined;
}

/**
 * Installs what is missing (only as root and with apt-get) and builds the packet engine, saying what it does.
 * Returns what is still missing: the caller decides whether it can go on without.
 */
export async function prepareHost(needs: readonly HostNeed[]): Promise<readonly MissingTool[]> {
  const wanted = missingTools(needs);
  if (wanted.length > 0) await installTools(wanted);
  const missing = missingTools(needs).map((tool) => ({ need: tool.need, command: tool.commands[0] ?? tool.debianPackage, why: tool.why }));
  for (const { command, why } of missing) console.log(`Without ${command} the part that ${why} cannot run.`);
  if (needs.includes("engine")) await runCommand(process.execPath, [ENGINE_BUILD]);
  return missing;
}

function missingTools(needs: readonly HostNeed[]): readonly HostTool[] {
  return TOOLS.filter((tool) => needs.includes(tool.need) && !tool.commands.some((command) => findCommand(command) !== undefined));
}

async function installTools(tools: readonly HostTool[]): Promise<void> {
  const packages = tools.map((tool) => tool.debianPackage);
  if (process.getuid?.() !== 0) {
    console.log(`Missing system packages, and only root can install them: sudo apt-get install ${packages.join(" ")}`);
    return;
  }
  if (findCommand("apt-get") === undefined) {
    console.log(`Missing, and there is no apt-get to install them with: ${packages.join(", ")} (Debian's names).`);
    return;
  }
  for (const tool of tools) console.log(`Installing ${tool.debianPackage}: it ${tool.why}.`);
  if (await aptInstall(packages)) return;
  // The package lists are missing or older than the mirror.
  await runQuietly("apt-get", ["update"]);
  if (await aptInstall(packages)) return;
  // One that this distribution does not have must not keep the others away.
  for (const name of packages) if (!(await aptInstall([name]))) console.log(`apt-get could not install ${name}.`);
}

/** Waits up to two minutes for another apt or dpkg to finish: a fresh machine often runs its own upgrade at first boot. */
function aptInstall(packages: readonly string[]): Promise<boolean> {
  return runQuietly("apt-get", ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", ...packages]);
}

/** True when the command succeeded. Its output is dropped. */
async function runQuietly(command: string, args: readonly string[]): Promise<boolean> {
  return (await exitCode(command, args, "ignore")) === 0;
}

async function runCommand(command: string, args: readonly string[]): Promise<boolean> {
  return (await exitCode(command, args, "inherit")) === 0;
}

function exitCode(command: string, args: readonly string[], output: "ignore" | "inherit"): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ["ignore", output, output],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    });
    child.once("error", () => resolve(null));
    child.once("close", (code) => resolve(code));
  });
}
