import { readdir, readFile, stat } from "node:fs/promises";
import { arch, availableParallelism, hostname, release, totalmem, version } from "node:os";
import { join } from "node:path";
import { type AgentFiles, STATE_FILES } from "@mesh/core/config";
import { endOfFile } from "../file-end.ts";
import type { Host } from "../surroundings.ts";

/** Lines of the log that are taken, and the most they are looked for in. */
const LOG_LINES = 500;
const LOG_BYTES = 1_048_576;

/** Bytes of one file under /proc/net: a host with thousands of connections has megabytes of them. */
const VIEW_BYTES = 65_536;

/** The kernel's views of the network. The second half holds addresses in hexadecimal. */
const COUNTER_VIEWS: readonly string[] = ["dev", "snmp", "snmp6", "netstat", "softnet_stat", "sockstat"];
const ADDRESS_VIEWS: readonly string[] = ["route", "ipv6_route", "if_inet6", "udp", "udp6"];

export async function systemFacts(host: Host): Promise<string> {
  const osRelease = await readFile(host.osRelease, "utf8").catch(() => "");
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? "unknown";
  return [
    `system   ${name}`,
    `kernel   ${release()} ${version()} ${arch()}`,
    `node     ${process.version}`,
    `memory   ${Math.round(totalmem() / 1_048_576)} MiB, ${availableParallelism()} processors`,
    `name     ${hostname()}`,
  ].join("\n");
}

/** Names, sizes, modes and ages of what is in the network's directory; none of its contents. */
export async function stateFacts({ directory }: AgentFiles): Promise<string> {
  const names = await readdir(directory).catch(() => []);
  const lines = await Promise.all(
    names.sort().map(async (name) => {
      const found = await stat(join(directory, name)).catch(() => undefined);
      if (found === undefined) return `${name} (cannot be looked at)`;
      return `${(found.mode & 0o7777).toString(8).padStart(4, "0")} ${String(found.size).padStart(9)} ${found.mtime.toISOString()} ${name}`;
    }),
  );
  return lines.length === 0 ? "It cannot be read, or is empty." : lines.join("\n");
}

/** What the network's files hold that must not get out; files that cannot be read hold nothing that could have got here. */
export async function secretFiles({ directory }: AgentFiles): Promise<readonly Uint8Array[]> {
  const names = [STATE_FILES.identity, STATE_FILES.root];
  const files = await Promise.all(names.map((name) => readFile(join(directory, name)).catch(() => undefined)));
  return files.filter((file) => file !== undefined);
}

/** The end of the log, from both of its files. */
export async function lastLogLines({ log }: AgentFiles): Promise<string> {
  const newer = await endOfFile(log, LOG_BYTES);
  const lines = newer.split("\n");
  const older = lines.length > LOG_LINES ? [] : (await endOfFile(`${log}.1`, LOG_BYTES)).split("\n");
  const last = [...older, ...lines].filter((line) => line !== "").slice(-LOG_LINES);
  return last.length === 0 ? "There is none, or it cannot be read." : last.join("\n");
}

/** `name` and text of each view; without those that hold addresses when `withAddresses` is false. */
export async function networkViews({ proc }: Host, withAddresses: boolean): Promise<readonly (readonly [string, string])[]> {
  const names = withAddresses ? [...COUNTER_VIEWS, ...ADDRESS_VIEWS] : COUNTER_VIEWS;
  return await Promise.all(
    names.map(async (name) => {
      const text = await readFile(`${proc}/net/${name}`, "utf8").catch(() => "It cannot be read.");
      return [name, text.length > VIEW_BYTES ? `${text.slice(0, VIEW_BYTES)}\n(cut)` : text] as const;
    }),
  );
}

/** What systemd says about the network's unit: fixed properties, none of its free text. */
export async function unitFacts({ run }: Host, unit: string): Promise<string> {
  const properties = ["LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "NRestarts", "ExecMainStatus", "MemoryCurrent"];
  const { code, output } = await run("systemctl", ["show", unit, `--property=${properties.join(",")}`]);
  return code === 0 ? output.trim() : "systemd does not run this host, or did not answer.";
}
