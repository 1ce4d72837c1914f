import { setTimeout as sleep } from "node:timers/promises";
import type { MeshAgent } from "../../e2e/lab/agent.ts";
import { type Lab, openLab } from "../../e2e/lab/lab.ts";
import { gatewayOf, type Internet, type InternetSpec, planInternet } from "../../e2e/lab/sites.ts";
import { statusOf } from "../../e2e/lab/status-of.ts";
import { NatMesh } from "../../e2e/nat/nat-mesh.ts";
import { type PathsOptions, wireOf } from "./options.ts";
import { openEchoes } from "./streams.ts";
import type { MetricName } from "./targets.ts";

/** What a scenario is given. */
export interface Bench {
  readonly options: PathsOptions;
  /** One figure of one run; undefined: it did not come within the time. */
  readonly record: (metric: MetricName, value: number | undefined) => void;
  /** What must not be, whatever the figures: a TCP connection that was lost. */
  readonly complain: (what: string) => void;
  /** What belongs to the results beside figures. */
  readonly print: (line: string) => void;
  /** For whoever waits. */
  readonly say: (line: string) => void;
}

export type Scenario = (bench: Bench) => Promise<void>;

/** Milliseconds after which agents have found their home relays and said so. */
const SETTLE = 6_000;
const NETWORK = "nat";

export interface Rig {
  readonly lab: Lab;
  readonly mesh: NatMesh;
  readonly internet: Internet;
}

export interface RigOptions {
  readonly bench: Bench;
  readonly spec: InternetSpec;
  /** More flags for `mesh init` and `mesh join` of public hosts. */
  readonly publicFlags?: readonly string[];
}

/** Opens an internet with an agent on every host, and what sends back datagrams and lines; closed whatever `use` does. */
export async function withRig({ bench, spec, publicFlags }: RigOptions, use: (rig: Rig) => Promise<void>): Promise<void> {
  const wire = wireOf(bench.options);
  const internet = planInternet({ ...spec, wires: Object.fromEntries(networksOf(spec).map((name) => [name, wire])) });
  const lab = await openLab(internet.topology, { name: "bench-paths" });
  try {
    const hosts = [...spec.public, ...spec.sites.flatMap((site) => site.hosts)];
    const flags = new Map(spec.public.map((name) => [name, publicFlags ?? []]));
    const mesh = await NatMesh.open(lab, hosts, flags);
    for (const host of hosts) await openEchoes(lab.host(host));
    await sleep(SETTLE);
    await use({ lab, mesh, internet });
  } catch (cause) {
    const kept = await lab.collect().catch((error: unknown) => `nothing: ${error}`);
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\nKept for a look: ${kept}`, { cause });
  } finally {
    await lab.close();
  }
}

/** Links that are wires. */
function networksOf({ public: hosts, sites, carriers = [] }: InternetSpec): readonly string[] {
  return [...hosts, ...sites.map(({ name }) => name), ...carriers.map(({ name }) => name)];
}

/** Of the host's NAT, as the core sees it. */
export function publicAddressOf({ homes, gateways }: Internet, host: string): string {
  const site = homes.get(host)?.site;
  if (site === undefined) throw new RangeError(`${host} is behind no NAT`);
  const [address] = gatewayOf(gateways, site).place.wanAddresses;
  if (address === undefined) throw new RangeError(`${site} has no public address`);
  return address;
}

export async function addressOf(agent: MeshAgent): Promise<string> {
  const { address4 } = (await statusOf(agent, NETWORK)).self;
  if (address4 === undefined) throw new Error(`${agent.name} has no IPv4 address in the mesh`);
  return address4;
}

/** How one node shows another's path, asked without a process being started. */
export async function pathOf(from: MeshAgent, to: MeshAgent): Promise<string> {
  const { peers } = await statusOf(from, NETWORK);
  return peers.find(({ name }) => name === to.name)?.path ?? "unknown";
}

/** The member that relays what one node sends to another; undefined when nobody does. */
export async function relayOf(from: MeshAgent, to: MeshAgent): Promise<string | undefined> {
  const { peers } = await statusOf(from, NETWORK);
  return peers.find(({ name }) => name === to.name)?.relay;
}
