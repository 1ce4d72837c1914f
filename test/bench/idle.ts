/**
 * node test/bench/idle.ts [seconds=60]
 *
 * What an idle agent costs: share of a core and resident size of an agent with one peer, beside bare libp2p with one connection, in the
 * same seconds. Asked: at most 0.3 % of a core, and 20 MB more than libp2p. With root and `perf` or `strace` one looks further:
 *
 *   strace -c -f -p <pid>                  what system calls it makes, and how many a second
 *   strace -f -e trace=epoll_pwait,epoll_wait,timerfd_settime -tt -p <pid>     when it wakes
 *   node --cpu-prof                        not for this: an idle process is asleep in it
 */
import { readdirSync, readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { meshAgent, untilAllAlive } from "../e2e/lab/agent.ts";
import { labRefusal, openLab } from "../e2e/lab/lab.ts";
import { routedCore } from "../e2e/lab/topology.ts";
import { prepareHost } from "../prepare-host.ts";
import { openBareLibp2p, residentOf } from "./resident.ts";

const HOSTS = ["host-a", "host-b"];
/** Seconds until what a start leaves to be done is done. */
const SETTLE = 20;
const MOST_SHARE = 0.3;
const MOST_MORE = 20;
/** USER_HZ of proc(5): the unit of utime and stime, 100 on every Linux this runs on. */
const TICKS_A_SECOND = 100;

interface Look {
  readonly at: number;
  /** Seconds of processor time, of all threads. */
  readonly cpu: number;
  /** Voluntary context switches: how often its threads went to sleep, so how often something woke them. */
  readonly wakes: number;
  readonly byThread: ReadonlyMap<string, { readonly cpu: number; readonly wakes: number; readonly name: string }>;
}

await main(Number(process.argv[2] ?? 60));

async function main(seconds: number): Promise<void> {
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(refusal);
  await prepareHost(["engine", "network"]);
  const lab = await openLab(routedCore(HOSTS), { name: "bench-idle" });
  const libp2p = await openBareLibp2p();
  try {
    const [a, b] = HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
    if (a === undefined || b === undefined) throw new Error("two hosts are needed");
    await a.init("bench");
    await b.join(await a.invite());
    await untilAllAlive([a, b]);
    await sleep(SETTLE * 1_000);
    const pids = new Map([
      ["agent that made the network", a.pid() ?? 0],
      ["agent that joined", b.pid() ?? 0],
      ["bare libp2p", libp2p.pid],
    ]);
    const before = new Map([...pids].map(([name, pid]) => [name, look(pid)]));
    await sleep(seconds * 1_000);
    console.log(
      `${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}, ${seconds} s\n`,
    );
    console.log("| process | share of a core | wake-ups a second | resident |\n|---|---|---|---|");
    const sizes = new Map<string, number>();
    const shares = new Map<string, number>();
    for (const [name, pid] of pids) {
      const [first, last] = [before.get(name), look(pid)];
      if (first === undefined) continue;
      const elapsed = (last.at - first.at) / 1_000;
      const share = (100 * (last.cpu - first.cpu)) / elapsed;
      shares.set(name, share);
      sizes.set(name, residentOf(pid));
      const wakes = (last.wakes - first.wakes) / elapsed;
      console.log(`| ${name} | ${share.toFixed(2)} % | ${wakes.toFixed(1)} | ${residentOf(pid).toFixed(1)} MB |`);
      for (const line of threads(first, last, elapsed)) console.log(line);
    }
    const agentShare = Math.max(...[...shares].filter(([name]) => name.startsWith("agent")).map(([, share]) => share));
    const more = (sizes.get("agent that joined") ?? 0) - (sizes.get("bare libp2p") ?? 0);
    console.log(`\nshare of a core: ${agentShare.toFixed(2)} %, asked ${MOST_SHARE} %: ${agentShare <= MOST_SHARE ? "met" : "not met"}`);
    console.log(`beyond bare libp2p: ${more.toFixed(1)} MB, asked ${MOST_MORE} MB: ${more <= MOST_MORE ? "met" : "not met"}`);
  } finally {
    libp2p.close();
    await lab.close();
  }
}

/** Threads that woke more than once in ten seconds, the busiest first. */
function* threads(first: Look, last: Look, elapsed: number): Iterable<string> {
  const rows = [...last.byThread].map(([id, { name, cpu, wakes }]) => {
    const before = first.byThread.get(id);
    return { name, cpu: (100 * (cpu - (before?.cpu ?? 0))) / elapsed, wakes: (wakes - (before?.wakes ?? 0)) / elapsed };
  });
  for (const { name, cpu, wakes } of rows.filter((row) => row.wakes > 0.1).sort((one, other) => other.wakes - one.wakes)) {
    yield `| · thread ${name} | ${cpu.toFixed(2)} % | ${wakes.toFixed(1)} | |`;
  }
}

function look(pid: number): Look {
  const byThread = new Map(
    readdirSync(`/proc/${pid}/task`).map((id) => {
      const directory = `/proc/${pid}/task/${id}`;
      const stat = readFileSync(`${directory}/stat`, "latin1");
      // The second field is the name in brackets and may hold blanks; utime and stime are the 14th and 15th (proc(5)).
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const wakes = Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`${directory}/status`, "utf8"))?.[1] ?? 0);
      const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
      return [id, { name, wakes, cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND }] as const;
    }),
  );
  const sum = (read: (thread: { readonly cpu: number; readonly wakes: number }) => number): number =>
    [...byThread.values()].reduce((total, thread) => total + read(thread), 0);
  return { at: performance.now(), cpu: sum(({ cpu }) => cpu), wakes: sum(({ wakes }) => wakes), byThread };
}
