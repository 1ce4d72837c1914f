/**
 * A laptop that changes networks, as two real agents behind a router see it: one host gets another address, or another interface in
 * another subnet, while a ping goes through the tunnel every 50 ms. Measured from the moment of the change, at the host that stays.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentFiles } from "@mesh/core/config";
import { type MeshAgent, meshAgent, untilAllAlive } from "./lab/agent.ts";
import type { Lab } from "./lab/lab.ts";
import { PingWatch } from "./lab/ping-watch.ts";
import { mustRun } from "./lab/run-command.ts";

export const ROAMING_HOSTS: readonly string[] = ["host-a", "host-b"];
export type Change = "address" | "interface";

/** Milliseconds until it was back; undefined: not within the time. */
export interface Outage {
  /** The first reply to a ping sent after the change. */
  readonly traffic: number | undefined;
  /** The first question through the topic that the host that roamed answered: gossip delivers, both ways. */
  readonly gossip: number | undefined;
  /** The first record from the host that roamed: its new endpoints. */
  readonly record: number | undefined;
}

/** Milliseconds that a change is watched for. */
const WATCHED = 12_000;
const LOOK = 200;
/** Milliseconds between changes: a host that moves more often tells its endpoints together, once in 10 s. */
export const REST_BETWEEN_CHANGES = 11_000;
const NETWORK = "roam";

export class RoamingMesh {
  readonly stays: MeshAgent;
  readonly roams: MeshAgent;
  readonly #lab: Lab;
  #changes = 0;

  private constructor(lab: Lab, stays: MeshAgent, roams: MeshAgent) {
    this.#lab = lab;
    this.stays = stays;
    this.roams = roams;
  }

  static async open(lab: Lab): Promise<RoamingMesh> {
    const [stays, roams] = ROAMING_HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
    if (stays === undefined || roams === undefined) throw new RangeError("two hosts roam");
    await stays.init(NETWORK, ["--log-level", "debug"]);
    await roams.join(await stays.invite(), ["--log-level", "debug"]);
    await untilAllAlive([stays, roams]);
    return new RoamingMesh(lab, stays, roams);
  }

  async change(kind: Change): Promise<Outage> {
    const target = (await this.stays.peers()).find(({ name }) => name === this.roams.name);
    if (target === undefined) throw new Error("the host that roams is not a peer");
    const ping = new PingWatch(this.stays.host, target.address4);
    await sleep(500);
    if (kind === "address") await this.#replaceAddress();
    else await this.#replaceInterface();
    const changedAt = Date.now();
    const outage = (): Outage => ({
      traffic: sinceChange(ping.repliesTo(changedAt), changedAt),
      gossip: sinceChange(this.#logged("gossip delivers", target.id, changedAt), changedAt),
      record: sinceChange(this.#logged("records received", target.id, changedAt), changedAt),
    });
    while (Object.values(outage()).includes(undefined) && Date.now() < changedAt + WATCHED) await sleep(LOOK);
    ping.stop();
    return outage();
  }

  /** 198.18.2.n → 198.18.2.n+1 at one blow, and IPv6 the same; the old ones go. */
  async #replaceAddress(): Promise<void> {
    this.#changes += 1;
    const { host } = this.roams;
    const device = await deviceOf(this.roams);
    const { stdout } = await host.run("ip", ["-br", "address", "show", "dev", device, "scope", "global"]);
    const olds = stdout.trim().split(/\s+/).slice(2);
    const n = 10 + this.#changes;
    const [net4, net6] = [olds.find((one) => !one.includes(":")), olds.find((one) => one.includes(":"))];
    if (net4 === undefined || net6 === undefined) throw new Error(`${device} has ${olds.join(" ")}`);
    const new4 = net4.replace(/\.\d+\//, `.${n}/`);
    const new6 = net6.replace(/:[0-9a-f]+\//, `:${n.toString(16)}/`);
    const lines = [
      ...olds.map((old) => `address delete ${old} dev ${device}`),
      `address add ${new4} dev ${device}`,
      `address add ${new6} dev ${device} nodad`,
      `route replace default via ${new4.replace(/\.\d+\/.*/, ".1")}`,
      `route replace default via ${new6.replace(/:[0-9a-f]+\/.*/, ":1")}`,
    ];
    await batch(host.namespace, lines);
  }

  /** The device goes, another one comes, in a subnet of its own. */
  async #replaceInterface(): Promise<void> {
    this.#changes += 1;
    const n = 100 + this.#changes;
    const { host } = this.roams;
    const core = this.#lab.host("core");
    const old = await deviceOf(this.roams);
    const [here, there] = [`eth${n}`, `to-${n}`];
    await core.run("ip", ["link", "add", there, "type", "veth", "peer", "name", here, "netns", host.namespace]);
    await batch(core.namespace, [
      `address add 198.18.${n}.1/24 dev ${there}`,
      `address add 2001:db8:${n}::1/64 dev ${there} nodad`,
      `link set ${there} up`,
    ]);
    await batch(host.namespace, [
      `link delete ${old}`,
      `address add 198.18.${n}.2/24 dev ${here}`,
      `address add 2001:db8:${n}::2/64 dev ${here} nodad`,
      `link set ${here} up`,
      `route replace default via 198.18.${n}.1`,
      `route replace default via 2001:db8:${n}::1`,
    ]);
  }

  /** When the host that stays logged this of the other since then. */
  #logged(message: string, node: string, since: number): readonly number[] {
    const { log } = agentFiles(this.stays.stateDir, NETWORK);
    return readFileSync(log, "utf8")
      .split("\n")
      .filter((line) => line.includes(`"${message}"`) && line.includes(node))
      .map((line) => Date.parse((JSON.parse(line) as { readonly time: string }).time))
      .filter((time) => time >= since);
  }
}

function sinceChange(times: readonly number[], changedAt: number): number | undefined {
  const first = times[0];
  return first === undefined ? undefined : first - changedAt;
}

async function deviceOf({ host }: MeshAgent): Promise<string> {
  const { stdout } = await host.run("ip", ["-4", "route", "show", "default"]);
  const device = /dev (\S+)/.exec(stdout)?.[1];
  if (device === undefined) throw new Error(`${host.name} has no default route`);
  return device;
}

async function batch(namespace: string, lines: readonly string[]): Promise<void> {
  await mustRun("ip", ["-n", namespace, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
