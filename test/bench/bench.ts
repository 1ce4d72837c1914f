/**
 * The figures that people feel: from `mesh join` typed to the first ping answered, how long `mesh status` takes, what an idle
 * agent weighs beside bare libp2p. Prints a table for docs/results.md. Run: `npx -y pnpm@10.34.9 bench [join|status|memory]`.
 */
import { cpus, release } from "node:os";
import { join } from "node:path";
import { type MeshAgent, meshAgent, untilAllAlive } from "../e2e/lab/agent.ts";
import { type Lab, labRefusal, openLab } from "../e2e/lab/lab.ts";
import { routedCore } from "../e2e/lab/topology.ts";
import { prepareHost } from "../prepare-host.ts";
import { residentAfter } from "./resident.ts";
import { describeSamples, median } from "./samples.ts";

const RUNS = 10;
/** Calls of `mesh status` measured; the first of them warms the compile cache and does not count. */
const STATUS_RUNS = 20;
/** Seconds of idling before memory is read: start-up garbage is collected by then. */
const IDLE_SECONDS = 60;
const HOSTS = ["host-a", "host-b"];

const benches: Readonly<Record<string, (lab: Lab) => Promise<readonly string[]>>> = {
  join: joinToPing,
  status: statusTime,
  memory: idleMemory,
};

await main(process.argv.slice(2));

async function main(wanted: readonly string[]): Promise<void> {
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(refusal);
  await prepareHost(["engine", "network", "ping"]);
  console.log(
    `${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}\n`,
  );
  for (const [name, run] of Object.entries(benches)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const lab = await openLab(routedCore(HOSTS), { name: `bench-${name}` });
    try {
      for (const line of await run(lab)) console.log(line);
    } finally {
      await lab.close();
    }
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

/** Resident size after a minute of idling: an agent with one peer, and bare libp2p with one connection, at the same time. */
async function idleMemory(lab: Lab): Promise<readonly string[]> {
  const [a, b] = agentsOf(lab);
  await a.init("bench");
  await b.join(await a.invite());
  await untilAllAlive([a, b]);
  const bare = residentAfter(IDLE_SECONDS);
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1_000));
  const agents = [a, b].map((agent) => agent.resident());
  const libp2p = await bare;
  const difference = median(agents) - libp2p;
  return [
    `idle agent, one peer: ${agents.map((mb) => mb.toFixed(1)).join(" and ")} MB resident`,
    `bare libp2p, one connection: ${libp2p.toFixed(1)} MB resident; the agent weighs ${difference.toFixed(1)} MB more`,
  ];
}

function agentsOf(lab: Lab): readonly [MeshAgent, MeshAgent] {
  const [a, b] = HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
  if (a === undefined || b === undefined) throw new Error("two hosts are needed");
  return [a, b];
}
