/**
 * The figures that people feel. Prints them for docs/results.md. Run: `npx -y pnpm@10.34.9 bench [name [option …]]`; without a name, all.
 *
 *   join     `mesh join` typed → the first ping answered
 *   status   `mesh status`, start to exit
 *   idle     processor time and memory of an idle agent beside bare libp2p    [seconds]
 *   flood    what a tunnel keeps under forged datagrams                       [kind …] [--runs N]
 *   roam     how long traffic and gossip stop when an address changes         [variant] [runs]
 *   paths    how soon packets are there behind NATs, and by which way         [scenario …] [runs] [--loss 5 …]: paths.ts lists them
 */
import { spawnSync } from "node:child_process";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { type MeshAgent, meshAgent, untilAllAlive } from "../e2e/lab/agent.ts";
import { type Lab, labRefusal, openLab } from "../e2e/lab/lab.ts";
import { routedCore } from "../e2e/lab/topology.ts";
import { prepareHost } from "../prepare-host.ts";
import { describeSamples } from "./samples.ts";

const RUNS = 10;
/** Calls of `mesh status` measured; the first of them warms the compile cache and does not count. */
const STATUS_RUNS = 20;
const HOSTS = ["host-a", "host-b"];

const benches: Readonly<Record<string, (lab: Lab) => Promise<readonly string[]>>> = { join: joinToPing, status: statusTime };
/** Programs of their own. */
const PROGRAMS: readonly string[] = ["idle", "flood", "roam", "paths"];

await main(process.argv.slice(2));

async function main([wanted, ...options]: readonly string[]): Promise<void> {
  const names = [...Object.keys(benches), ...PROGRAMS];
  if (wanted !== undefined && !names.includes(wanted)) throw new RangeError(`no bench ${wanted}, only ${names.join(", ")}`);
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(refusal);
  await prepareHost(["engine", "network", "ping"]);
  console.log(
    `${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}\n`,
  );
  for (const [name, run] of Object.entries(benches)) {
    if (wanted !== undefined && wanted !== name) continue;
    const lab = await openLab(routedCore(HOSTS), { name: `bench-${name}` });
    try {
      for (const line of await run(lab)) console.log(line);
    } finally {
      await lab.close();
    }
  }
  for (const name of PROGRAMS) {
    if (wanted !== undefined && wanted !== name) continue;
    const { status } = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...options], { stdio: "inherit" });
    if (status !== 0) throw new Error(`bench ${name} ended with ${status}`);
  }
}

/** `mesh join` typed → first echo reply through the tunnel, agent start included. A new node each time. */
async function joinToPing(lab: Lab): Promise<readonly string[]> {
  const [inviter] = agentsOf(lab);
  await inviter.init("bench");
  const { address4 = "" } = (await inviter.status()).self;
  const samples: number[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const joiner = meshAgent(lab, "host-b", { name: `joiner-${run}`, stateDir: join(lab.directory, `joiner-${run}`) });
    const invite = await inviter.invite();
    const startedAt = performance.now();
    await joiner.join(invite);
    const { stdout } = await joiner.host.run("ping", ["-c", "1", "-W", "5", address4]);
    const ms = performance.now() - startedAt;
    if (!stdout.includes("1 received")) throw new Error("the first ping was lost");
    if (run > 0) samples.push(ms); // the first run fills the compile cache
    await joiner.down();
  }
  return [`mesh join → first ping answered: ${describeSamples(samples, "ms")}`];
}

/** `mesh status` from start to exit, beside an empty Node process. */
async function statusTime(lab: Lab): Promise<readonly string[]> {
  const [a, b] = agentsOf(lab);
  await a.init("bench");
  await b.join(await a.invite());
  await untilAllAlive([a, b]);
  const status: number[] = [];
  const empty: number[] = [];
  for (let run = 0; run <= STATUS_RUNS; run++) {
    const { ms } = await a.mesh(["status"]);
    const bare = await a.host.run(process.execPath, ["-e", "0"]);
    if (run === 0) continue;
    status.push(ms);
    empty.push(bare.ms);
  }
  return [`mesh status, start to exit: ${describeSamples(status, "ms")}`, `an empty Node process: ${describeSamples(empty, "ms")}`];
}

function agentsOf(lab: Lab): readonly [MeshAgent, MeshAgent] {
  const [a, b] = HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
  if (a === undefined || b === undefined) throw new Error("two hosts are needed");
  return [a, b];
}
