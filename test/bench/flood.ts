/**
 * What a flood of 50,000 datagrams a second from forged sources costs an established tunnel: TCP through it without a flood, with
 * the same flood at another host (so that the generator and the links cost the same), and with the flood at the tunnel's own end.
 * Prints medians for each kind of datagram, and the rate that is kept. Run: node test/bench/flood.ts [kind …] [--runs N]
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { handshakeMessage } from "../../packages/datapath/src/suite/handshake-message.ts";
import { type Lab, type LabHost, labRefusal, openLab } from "../e2e/lab/lab.ts";
import { mustRun } from "../e2e/lab/run-command.ts";
import { routedCore } from "../e2e/lab/topology.ts";
import { prepareHost } from "../prepare-host.ts";
import type { EngineOrder, EngineReport } from "./flood/engine-side.ts";
import { median } from "./samples.ts";

const PER_SECOND = 50_000;
const RUN_SECONDS = 4;
/** The first second of TCP's run is left out: slow start. */
const SLOW_START = 1;
const UDP_PORT = 51_820;
const DEFAULT_RUNS = 7;
const PUBLIC_KEY = createHash("sha256").update("the key of the flooded end").digest();

/** What the datagrams of a flood are: their hexadecimal payload. */
const KINDS: Readonly<Record<string, string>> = {
  junk: `01000000${"5a".repeat(144)}`,
  initiations: handshakeMessage(1, { publicKey: PUBLIC_KEY }).toString("hex"),
  probes: `216d7368${"5a".repeat(108)}`,
};

type Target = "none" | "elsewhere" | "engine";
const TARGETS: readonly Target[] = ["none", "elsewhere", "engine"];

await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(refusal);
  const runsAt = args.indexOf("--runs");
  const runs = runsAt < 0 ? DEFAULT_RUNS : Number(args[runsAt + 1]);
  const wanted = args.filter((_, i) => runsAt < 0 || (i !== runsAt && i !== runsAt + 1));
  const kinds = wanted.length > 0 ? wanted : Object.keys(KINDS);
  await prepareHost(["engine", "network", "throughput"]);
  const lab = await openLab(routedCore(["near", "far", "thrower", "elsewhere"]), { name: "flood" });
  try {
    const rig = await openRig(lab);
    for (const kind of kinds) await bench(rig, kind, runs);
  } finally {
    await lab.close();
  }
}

interface Rig {
  readonly lab: Lab;
  readonly near: LabHost;
  readonly thrower: string;
  report(): Promise<EngineReport>;
}

async function openRig(lab: Lab): Promise<Rig> {
  const [near, far, core] = [lab.host("near"), lab.host("far"), lab.host("core")];
  // Answers to forged sources end here, without an ICMP error for each.
  await core.run("ip", ["route", "add", "blackhole", "default"]);
  const orders = { udpPort: UDP_PORT, publicKey: PUBLIC_KEY.toString("hex") };
  const responder = await openEngine(far, {
    ...orders,
    role: "responder",
    address: "10.90.0.2",
    peerAddress: "10.90.0.1",
    peerEndpoint: `${near.address4}:${UDP_PORT}`,
  });
  await openEngine(near, {
    ...orders,
    role: "initiator",
    address: "10.90.0.1",
    peerAddress: "10.90.0.2",
    peerEndpoint: `${far.address4}:${UDP_PORT}`,
  });
  far.spawn("iperf3", ["--server", "--bind", "10.90.0.2"]);
  await near.run("sh", ["-c", "until iperf3 --client 10.90.0.2 --time 1 >/dev/null; do sleep 0.1; done"]);
  const thrower = join(lab.directory, "throw-datagrams");
  const source = join(import.meta.dirname, "flood/throw-datagrams.cc");
  const compiler = ["g++", "clang++"].find((name) => spawnSync(name, ["--version"]).status === 0);
  if (compiler === undefined) throw new Error("needs g++ or clang++");
  await mustRun(compiler, ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", source, "-o", thrower]);
  return { lab, near, thrower, report: responder };
}

/** Starts one end; the result asks it for a report. */
async function openEngine(host: LabHost, order: EngineOrder): Promise<() => Promise<EngineReport>> {
  const script = join(import.meta.dirname, "flood/engine-side.ts");
  const child = spawn("ip", ["netns", "exec", host.namespace, process.execPath, script], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  child.stdin.write(`${JSON.stringify(order)}\n`);
  const [ready] = (await once(lines, "line")) as [string];
  if (ready !== "ready") throw new Error(`the engine said ${ready}`);
  return async () => {
    const line = once(lines, "line") as Promise<[string]>;
    child.stdin.write("report\n");
    return JSON.parse((await line)[0]) as EngineReport;
  };
}

interface Sample {
  readonly mbits: number;
  readonly thrown: number;
  readonly before: EngineReport;
  readonly after: EngineReport;
}

async function bench(rig: Rig, kind: string, runs: number): Promise<void> {
  const payload = KINDS[kind];
  if (payload === undefined) throw new RangeError(`no kind ${kind}, only ${Object.keys(KINDS).join(", ")}`);
  const samples: Record<Target, Sample[]> = { none: [], elsewhere: [], engine: [] };
  for (let run = 0; run < runs; run++) for (const target of TARGETS) samples[target].push(await measure(rig, target, payload));
  console.log(
    `\n${kind}: ${PER_SECOND.toLocaleString("en")} datagrams of ${payload.length / 2} B a second, ${runs} runs of ${RUN_SECONDS} s each`,
  );
  const rate = (target: Target): number => median(samples[target].map(({ mbits }) => mbits));
  for (const target of TARGETS) {
    const thrown = median(samples[target].map((sample) => sample.thrown));
    const cpu = median(samples[target].map(({ before, after }) => after.cpu - before.cpu));
    console.log(
      `  flood at ${target.padEnd(9)} ${rate(target).toFixed(0).padStart(6)} Mb/s   thrown ${thrown}, CPU of the tunnel's end ${cpu.toFixed(2)} s`,
    );
  }
  // Runs that follow each other share what else the machine was doing.
  const kept = samples.engine.map(({ mbits }, run) => (mbits / (samples.elsewhere[run]?.mbits ?? 0)) * 100);
  const [least, most] = [Math.min(...kept), Math.max(...kept)];
  console.log(`  kept, run by run: median ${median(kept).toFixed(1)} %, ${least.toFixed(1)} to ${most.toFixed(1)} %; goal: 90 %`);
  const last = samples.engine.at(-1);
  if (last !== undefined) console.log(`  the last flood: ${describe(last)}`);
}

/** One run of TCP through the tunnel beside a flood. */
async function measure(rig: Rig, target: Target, payload: string): Promise<Sample> {
  const before = await rig.report();
  const address = rig.lab.host(target === "engine" ? "far" : "elsewhere").address4;
  const throwing = [rig.thrower, address, String(UDP_PORT), String(PER_SECOND), String(RUN_SECONDS + 1), payload] as const;
  const [command, ...args] = throwing;
  const thrower = target === "none" ? undefined : rig.lab.host("thrower").run(command, args);
  const client = ["--client", "10.90.0.2", "--time", String(RUN_SECONDS), "--omit", String(SLOW_START), "--json"];
  const { stdout } = await rig.near.run("iperf3", client);
  const thrown = Number((await thrower)?.stdout ?? 0);
  const mbits = (JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second / 1e6;
  return { mbits, thrown, before, after: await rig.report() };
}

/** What became of a flood's datagrams, as the engine counts. */
function describe({ before, after, thrown }: Sample): string {
  const changed = Object.entries(after.counters).map(([name, count]) => [name, count - (before.counters[name] ?? 0)] as const);
  const parts = changed.filter(([, count]) => count > 0).map(([name, count]) => `${name} ${count}`);
  return `${thrown} thrown, ${after.handedOver - before.handedOver} handed to JavaScript, ${parts.join(", ")}`;
}
