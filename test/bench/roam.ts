/**
 * How long traffic and gossip are gone when a host changes its network: 20 changes of its address and 20 of its interface.
 * Prints a table for docs/results.md. Run: `node_modules/.bin/node test/bench/roam.ts [address|interface] [runs]`, as root.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { labRefusal, openLab } from "../e2e/lab/lab.ts";
import { routedCore } from "../e2e/lab/topology.ts";
import { type Change, type Outage, REST_BETWEEN_CHANGES, ROAMING_HOSTS, RoamingMesh } from "../e2e/roam-fixture.ts";
import { prepareHost } from "../prepare-host.ts";

const RUNS = 20;

const [wanted, runs] = process.argv.slice(2);
await main(wanted === undefined ? ["address", "interface"] : [wanted as Change], runs === undefined ? RUNS : Number(runs));

async function main(changes: readonly Change[], count: number): Promise<void> {
  const refusal = labRefusal();
  if (refusal !== undefined) throw new Error(refusal);
  await prepareHost(["engine", "network", "ping"]);
  for (const change of changes) {
    const lab = await openLab(routedCore(ROAMING_HOSTS), { name: `bench-roam-${change}` });
    try {
      const mesh = await RoamingMesh.open(lab);
      const outages: Outage[] = [];
      for (let run = 0; run < count; run++) {
        await sleep(REST_BETWEEN_CHANGES);
        const outage = await mesh.change(change);
        console.error(
          `${change} ${run + 1}: traffic ${shown(outage.traffic)}, gossip ${shown(outage.gossip)}, record ${shown(outage.record)}`,
        );
        outages.push(outage);
      }
      for (const what of ["traffic", "gossip", "record"] as const)
        console.log(`| ${change} replaced: ${what} back | ${describe(outages.map((outage) => outage[what]))} |`);
    } finally {
      await lab.close();
    }
  }
}

function describe(samples: readonly (number | undefined)[]): string {
  const sorted = samples.map((one) => one ?? Number.POSITIVE_INFINITY).toSorted((a, b) => a - b);
  const at = (part: number): string => shown(sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)]);
  return `p50 ${at(0.5)}, p95 ${at(0.95)}, max ${at(1)} (${sorted.length} runs)`;
}

function shown(ms: number | undefined): string {
  return ms === undefined || !Number.isFinite(ms) ? "never" : `${Math.round(ms)} ms`;
}
