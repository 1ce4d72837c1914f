/**
 * node test/bench/paths.ts [scenario …] [runs] [--delay 10] [--jitter 40] [--loss 5] [--idle 90] [--window 120] [--tcp-relay 443] [--json file]
 *
 * How soon packets are there, and by which way, between real agents behind NATs: each figure beside what was asked for. Networks are
 * wires: `--delay` milliseconds one way between two hosts, `--jitter` more or less, `--loss` percent. Times are of packets, taken outside
 * the agents: by the programs at both ends of a tunnel and by the kernel on a host's link. Without a scenario all of them:
 *
 *   easy seq rand                  two hosts meet, by their NATs: first packet, then direct; what is lost and probed meanwhile
 *   roam reboot reboot-sym wan     a laptop under way changes its network, or its NAT changes in silence
 *   resume relay-death             the agent stands still for 20 s; the member that relays dies
 *   nat-idle idle                  the first packet after `--idle` s behind a NAT of 15 s; datagrams of a node at rest, in `--window` s
 *   tcp                            UDP blocked: by TCP to members that offer it at `--tcp-relay`
 *   matrix                         every kind of NAT and every other and itself, once: the table of their paths
 *
 * Prints a table for docs/results.md, and adds a JSON line for each figure to `--json`. Exit code 1 when a TCP connection was lost, or a pair of NATs came to another path than it should.
 */
import { appendFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { labRefusal } from "../e2e/lab/lab.ts";
import { prepareHost } from "../prepare-host.ts";
import { reboot, relayDeath, resume, roam, wan } from "./paths/change.ts";
import { idle, natIdle } from "./paths/idle.ts";
import { matrix } from "./paths/matrix.ts";
import { meet } from "./paths/meet.ts";
import { type PathsOptions, parsePathsOptions, type ScenarioName } from "./paths/options.ts";
import { formatTable, type Sample } from "./paths/results.ts";
import type { Bench, Scenario } from "./paths/rig.ts";
import { metricsFor } from "./paths/targets.ts";
import { tcp } from "./paths/tcp.ts";

const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  easy: meet("easy"),
  seq: meet("seq"),
  rand: meet("rand"),
  roam,
  reboot: reboot("reboot"),
  "reboot-sym": reboot("reboot-sym"),
  wan,
  resume,
  "relay-death": relayDeath,
  "nat-idle": natIdle,
  idle,
  tcp,
  matrix,
};

await main(parsePathsOptions(process.argv.slice(2)));

async function main(options: PathsOptions): Promise<void> {
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(refusal);
  const missing = await prepareHost(["engine", "network", "firewall", "ping", "capture"]);
  const needed = missing.filter(({ command }) => ["ip", "nft", "g++", "tcpdump"].includes(command));
  if (needed.length > 0) throw new Error(`cannot run without ${needed.map(({ command }) => command).join(", ")}`);
  const metrics = metricsFor(options);
  const samples: Sample[] = [];
  const complaints: string[] = [];
  const printed: string[] = [];
  for (const name of options.scenarios) {
    const bench: Bench = {
      options,
      record: (metric, value) => {
        samples.push({ metric, value });
        if (options.json !== undefined) appendFileSync(options.json, `${jsonLine({ metric, value }, options)}\n`);
      },
      complain: (what) => complaints.push(`${name}: ${what}`),
      print: (line) => printed.push(line),
      say: (line) => console.error(line),
    };
    // One that cannot be measured must not cost the figures of the others.
    await scenarios[name](bench).catch((error: unknown) => complaints.push(`${name}: ${error instanceof Error ? error.message : error}`));
  }
  const { delay, jitter, loss } = options;
  console.log(
    `${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}; ` +
      `${delay} ms one way between hosts, jitter ${jitter} ms, ${(loss * 100).toFixed(1)} % lost\n`,
  );
  for (const line of formatTable(metrics, samples)) console.log(line);
  for (const line of printed) console.log(line);
  for (const complaint of complaints) console.log(`\n${complaint}`);
  process.exitCode = complaints.length === 0 ? 0 : 1;
}

/** `value` is null for what never came. */
function jsonLine({ metric, value = Number.NaN }: Sample, { delay, jitter, loss }: PathsOptions): string {
  return JSON.stringify({ at: new Date().toISOString(), metric, value, unit: metricsFor({ loss })[metric].unit, delay, jitter, loss });
}
