/**
 * node test/soak/soak.ts [minutes=20]
 *
 * Three real agents on a lossy network, TCP through their tunnels all the time, and everything that happens to a laptop in a day
 * pressed together:
 *
 *   0               three agents, streams between them
 *   every 2 min     each session is made anew (REKEY_AFTER_TIME): three times at least
 *   40 %            one host's link is cut silently for 100 s (less in a short run) and heals
 *   75 %            another agent is killed with -9 and started again
 *   100 %           streams are ended by their senders and counted
 *
 * TCP keeps Linux's defaults: tcp_retries2 = 15 gives a connection up after 924 s at least, and no TCP_USER_TIMEOUT is set. Its
 * retransmissions back off to twice the time of the cut, so that after one of 100 s the next may come 100 s later: that is TCP's
 * waiting, not the tunnel's, and why nothing is asked of a stream until it had that time.
 *
 * Prints a table for docs/results.md and ends with `N passed, N failed`. Everything is timed from its start, by the monotonic clock.
 */
import { spawnSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { type MeshAgent, meshAgent, untilAllAlive } from "../e2e/lab/agent.ts";
import { type Lab, labRefusal, openLab } from "../e2e/lab/lab.ts";
import { statusOf } from "../e2e/lab/status-of.ts";
import { routedCore } from "../e2e/lab/topology.ts";
import { prepareHost } from "../prepare-host.ts";
import { Checks } from "./checks.ts";
import { type Impairment, impair } from "./impair.ts";
import { riseOf } from "./linear-fit.ts";
import { openStreams, type StreamReport } from "./open-streams.ts";
import { type AgentLife, AgentWatch } from "./watch-agent.ts";

const NETWORK = "soak";
const HOSTS = ["a", "b", "c"];
const MINUTE = 60_000;
const REKEY_INTERVAL = 120_000;
const REKEYS = 3;
/** Milliseconds of the cut: WireGuard gives a handshake up after 90 s and has to begin again by itself. */
const CUT = 100_000;

/** Of each life of an agent: caches fill and the compiler is busy. */
const WARM_UP = 2 * MINUTE;
const WARMING_CALLS = 4_000;
/** Megabytes that the fitted line may rise by over the rest: a leak of 40 MB an hour shows in 20 minutes. */
const MOST_RISE = 12;
/** Descriptors that come and go with links and requests; beyond it they leak. */
const MOST_DESCRIPTORS = 6;
/** Milliseconds until the API answers, beyond what this process itself was kept waiting for: the event loop was never busy with one thing for longer. */
const SLOWEST_ANSWER = 1_000;
const MEDIAN_ANSWER = 50;
/** Of the bytes sent to a peer, what may not have come: 1 % loss, what was sent into the cut, and packets on their way. */
const MOST_MISSING = 0.03;

await main(Number(process.argv[2] ?? 20));

async function main(minutes: number): Promise<void> {
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(refusal);
  if (!(minutes >= 2)) throw new RangeError("usage: node test/soak/soak.ts [minutes, at least 2]");
  await prepareHost(["engine", "network", "firewall"]);
  const checks = new Checks();
  const lab = await openLab(routedCore(HOSTS), { name: "soak" });
  try {
    await soak(lab, minutes, checks);
  } catch (error) {
    checks.check("the run ends", false, error instanceof Error ? error.message : String(error));
  }
  if (checks.failed > 0) console.log(`Kept for a look: ${await lab.collect()}`);
  await lab.close();
  console.log(`\n${checks.passed} passed, ${checks.failed} failed`);
  process.exitCode = checks.failed === 0 ? 0 : 1;
}

async function soak(lab: Lab, minutes: number, checks: Checks): Promise<void> {
  const agents = HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
  const [a, b, c] = agents;
  if (a === undefined || b === undefined || c === undefined) throw new Error("three agents are needed");
  await a.init(NETWORK);
  for (const other of [b, c]) await other.join(await a.invite());
  await untilAllAlive(agents);
  // As many as the looks of two hours: each agent grows by 20 MB over the first thousands, and then no more (docs/results.md).
  for (const agent of agents) for (let call = 0; call < WARMING_CALLS; call++) await statusOf(agent, NETWORK);
  const impairment = await impair(lab, "core", ["to-1", "to-2", "to-3"]);
  const ownLag = monitorEventLoopDelay({ resolution: 20 });
  ownLag.enable();
  const watches = agents.map((agent) => new AgentWatch(agent, NETWORK));
  for (const watch of watches) watch.start();
  const streams = await openStreams(agents, NETWORK);

  const total = minutes * MINUTE;
  const startedAt = performance.now();
  const until = async (share: number, what: string): Promise<void> => {
    await sleep(Math.max(0, startedAt + share * total - performance.now()));
    console.log(`${((performance.now() - startedAt) / 1_000).toFixed(0).padStart(5)} s  ${what}`);
  };
  const cut = Math.min(CUT, total * 0.15);

  await until(0.4, `the link of ${c.name} is cut for ${Math.round(cut / 1_000)} s`);
  await lab.cut(c.host.name);
  await sleep(cut);
  await lab.heal(c.host.name);
  await until(0.75, `the agent of ${b.name} is killed and started again`);
  await b.kill9();
  await b.up();
  await until(1, "the streams are ended");
  const reports = await streams.end();
  for (const watch of watches) await watch.stop();

  checkStreams(checks, reports);
  checkRekeys(checks, watches, Math.min(REKEYS, Math.floor((total - cut) / REKEY_INTERVAL) - 1));
  await checkCounters(checks, { from: a, to: c, impairment });
  const patience = ownLag.max / 1e6;
  for (const watch of watches) {
    for (const [n, life] of watch.lives.entries())
      checkLife(checks, { name: `${watch.name}${n === 0 ? "" : ", restarted"}`, life, patience });
  }
  checks.check("every agent is alive at the end", await areAllAlive(agents), HOSTS.join(", "));
  await report(checks, { minutes, cut, impairment });
}

function checkStreams(checks: Checks, reports: readonly StreamReport[]): void {
  for (const { name, sent, received } of reports) {
    const isWhole = sent.ending === "whole" && received?.ending === "whole" && sent.bytes === received.bytes;
    const seen = isWhole
      ? `${sent.bytes} bytes, all in order`
      : `${sent.bytes} sent (${sent.ending}), ${received?.bytes} received (${received?.ending})`;
    checks.check(`TCP stream ${name}`, isWhole, seen);
  }
}

/** Of the two whose agents ran all the time. */
function checkRekeys(checks: Checks, watches: readonly AgentWatch[], wanted: number): void {
  const made = watches[0]?.sessions.get("c")?.size ?? 0;
  checks.check("sessions of a with c", made >= wanted + 1, `${made} made one after another, ${wanted + 1} asked`);
}

interface Direction {
  readonly from: MeshAgent;
  readonly to: MeshAgent;
  readonly impairment: Impairment;
}

async function checkCounters(checks: Checks, { from, to, impairment }: Direction): Promise<void> {
  // What is on its way arrives.
  const [sender, receiver] = [await statusOf(from, NETWORK), await sleep(1_000).then(() => statusOf(to, NETWORK))];
  const sent = sender.peers.find(({ name }) => name === to.name)?.sentBytes ?? 0;
  const received = receiver.peers.find(({ name }) => name === from.name)?.receivedBytes ?? 0;
  const missing = sent === 0 ? 1 : 1 - received / sent;
  const seen = `${sent} sent, ${received} received, ${(missing * 100).toFixed(2)} % missing; the network dropped ${await impairment.dropped()} packets of all`;
  checks.check(`bytes from ${from.name} to ${to.name}`, missing >= -0.001 && missing <= MOST_MISSING, seen);
  for (const { counters, self } of [sender, receiver]) {
    const forged = (counters["datapath.udpNotAuthentic"] ?? 0) + (counters["datapath.udpReplayed"] ?? 0);
    checks.check(`nothing altered or repeated came to ${self.name}`, forged === 0, `${forged} packets`);
    const lost = counters["datapath.exceptionsLost"] ?? 0;
    checks.check(`no exception of ${self.name}'s engine was lost`, lost === 0, String(lost));
  }
}

interface WatchedLife {
  readonly name: string;
  readonly life: AgentLife;
  /** Milliseconds that the machine kept this process waiting at most. */
  readonly patience: number;
}

function checkLife(checks: Checks, { name, life, patience }: WatchedLife): void {
  const { resident, descriptors, answers } = life;
  const bornAt = resident[0]?.at ?? 0;
  const settled = resident.filter(({ at }) => at >= bornAt + WARM_UP);
  if (settled.length > 10) {
    const rise = riseOf(settled);
    const sizes = settled.map(({ value }) => value);
    const seen = `rises by ${rise.toFixed(1)} MB in ${Math.round(((settled.at(-1)?.at ?? 0) - bornAt - WARM_UP) / 1_000)} s; ${Math.min(...sizes).toFixed(0)} to ${Math.max(...sizes).toFixed(0)} MB`;
    checks.check(`resident size of ${name} is flat (at most ${MOST_RISE} MB)`, rise <= MOST_RISE, seen);
  }
  const settledDescriptors = descriptors.slice(Math.floor(descriptors.length / 4));
  const rise = riseOf(settledDescriptors);
  const counts = settledDescriptors.map(({ value }) => value);
  checks.check(
    `descriptors of ${name}`,
    rise <= MOST_DESCRIPTORS,
    `rise by ${rise.toFixed(1)}; ${Math.min(...counts)} to ${Math.max(...counts)}`,
  );
  const sorted = answers.map(({ value }) => value).sort((one, other) => one - other);
  const [middle = 0, late = 0, worst = 0] = [0.5, 0.99, 1].map((share) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
  const seen = `p50 ${middle.toFixed(0)} ms, p99 ${late.toFixed(0)} ms, max ${worst.toFixed(0)} ms (${sorted.length} asked; this process waited ${patience.toFixed(0)} ms at most)`;
  checks.check(`${name} answers`, middle <= MEDIAN_ANSWER && worst <= SLOWEST_ANSWER + patience, seen);
}

async function areAllAlive(agents: readonly MeshAgent[]): Promise<boolean> {
  const views = await Promise.all(agents.map((agent) => statusOf(agent, NETWORK)));
  return views.every(({ peers }) => peers.length === agents.length - 1 && peers.every(({ state }) => state === "alive"));
}

async function report(
  checks: Checks,
  run: { readonly minutes: number; readonly cut: number; readonly impairment: Impairment },
): Promise<void> {
  const { stdout } = spawnSync("git", ["-C", import.meta.dirname, "rev-parse", "--short", "HEAD"], { encoding: "utf8" });
  const commit = (stdout ?? "").trim() || "of no repository";
  const machine = `${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 1e9)} GB, Linux ${release()}, Node ${process.version}`;
  console.log(`\n### Soak, ${new Date().toISOString().slice(0, 10)}, commit ${commit}, ${machine}\n`);
  console.log(
    `${run.minutes} minutes, three agents, ${run.impairment.text}, one cut of ${Math.round(run.cut / 1_000)} s, one agent killed and started again. TCP as Linux has it.\n`,
  );
  console.log(checks.table());
}
