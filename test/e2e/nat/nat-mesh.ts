import { join } from "node:path";
import type { PeerView } from "@mesh/core/api";
import { type MeshAgent, meshAgent, until } from "../lab/agent.ts";
import type { Lab } from "../lab/lab.ts";

/** All hosts share the cores, and a start takes half a second of one. */
const JOIN_AT_ONCE = 8;

/** A mesh of real agents on the hosts of an internet, and what its tests ask of it. */
export class NatMesh {
  readonly agents: ReadonlyMap<string, MeshAgent>;
  /** A node keeps its address for as long as it is a member, and who asks for it takes a process. */
  readonly #addresses = new Map<string, string>();

  private constructor(agents: ReadonlyMap<string, MeshAgent>) {
    this.agents = agents;
  }

  /**
   * The first host makes the network and the others join it, several at a time; then every node has heard of every other.
   * `flags`: what is typed besides, by host.
   */
  static async open(lab: Lab, hosts: readonly string[], flags?: ReadonlyMap<string, readonly string[]>): Promise<NatMesh> {
    const agents = new Map(hosts.map((name) => [name, meshAgent(lab, name, { name, stateDir: join(lab.directory, name) })]));
    const [first, ...others] = agents.values();
    if (first === undefined) throw new RangeError("a mesh has a first node");
    await first.init("nat", flags?.get(first.name));
    const invite = await first.invite(["--uses", String(Math.max(1, others.length))]);
    const waiting = others.values();
    const joining = async (): Promise<void> => {
      for (const agent of waiting) await agent.join(invite, flags?.get(agent.name));
    };
    await Promise.all(Array.from({ length: JOIN_AT_ONCE }, joining));
    for (const agent of agents.values())
      await until(`${agent.name} knows every node`, async () => {
        const known = new Set((await agent.peers()).map(({ name }) => name));
        const missing = hosts.filter((name) => name !== agent.name && !known.has(name));
        return missing.length === 0 || `not ${missing.join()}`;
      });
    return new NatMesh(agents);
  }

  agent(name: string): MeshAgent {
    const agent = this.agents.get(name);
    if (agent === undefined) throw new RangeError(`no agent ${name}`);
    return agent;
  }

  /** What one node shows of another. */
  async view(from: string, to: string): Promise<PeerView> {
    const view = (await this.agent(from).peers()).find(({ name }) => name === to);
    if (view === undefined) throw new Error(`${from} does not know ${to}`);
    return view;
  }

  /** `direct`, `relay` or whatever else the path is called, as both ends show it. */
  async pathKind(one: string, other: string): Promise<string> {
    const kinds = await Promise.all([this.view(one, other), this.view(other, one)]);
    return [...new Set(kinds.map(({ path }) => path.split(" ")[0] ?? path))].join("/");
  }

  /** The same for all pairs at one time, by one question to each of these agents. */
  async pathKinds(names: readonly string[]): Promise<(one: string, other: string) => string> {
    const views = new Map(await Promise.all(names.map(async (name) => [name, await this.agent(name).peers()] as const)));
    const kindOf = (from: string, to: string): string =>
      views
        .get(from)
        ?.find(({ name }) => name === to)
        ?.path.split(" ")[0] ?? "none";
    return (one, other) => [...new Set([kindOf(one, other), kindOf(other, one)])].join("/");
  }

  /** Sends so many pings through the tunnel and returns the sequence numbers of those that were answered within 2 s. */
  async ping(from: string, to: string, options: { readonly count: number; readonly interval?: number }): Promise<readonly number[]> {
    const address4 = this.#addresses.get(to) ?? (await this.view(from, to)).address4;
    this.#addresses.set(to, address4);
    const { count, interval = 0.1 } = options;
    const words = ["-n", "-c", String(count), "-i", String(interval), "-W", "2", address4];
    const { stdout } = await this.agent(from).host.run("ping", words, { timeout: 60_000 });
    return [...stdout.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, sequence]) => Number(sequence));
  }
}
