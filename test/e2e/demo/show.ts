import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PeerView } from "@mesh/core/api";
import { formatSeconds } from "../../run-files.ts";
import { type MeshAgent, meshAgent, until } from "../lab/agent.ts";
import type { Lab } from "../lab/lab.ts";
import { NAT_KINDS } from "../lab/nat-kinds.ts";
import { PingWatch } from "../lab/ping-watch.ts";
import { exitOf } from "../lab/run-command.ts";
import { hostAddresses, moveHost } from "../lab/site-changes.ts";
import { gatewayOf, type Internet, type InternetSpec } from "../lab/sites.ts";
import { statusOf } from "../lab/status-of.ts";
import { type MovingFile, moveFile } from "./file-move.ts";
import { heading, note, prompt, type } from "./terminal.ts";

/** Milliseconds one way from each network to the core: a packet that is relayed takes 20 ms, a direct one 10. */
const DELAY = 5;
/** Of the networks that the file leaves by, so that it is still under way when the laptop moves. */
const RATE_MBIT = 40;
const FILE_MEGABYTES = 24;
const NETWORK = "demo";

export const DEMO_INTERNET: InternetSpec = {
  public: ["server"],
  sites: [
    { name: "home-a", nat: "masq", hosts: ["laptop-a"] },
    { name: "home-b", nat: "eimr-apdf", hosts: ["laptop-b"] },
    { name: "mobile", nat: "sym-rand", hosts: ["laptop-c"] },
    { name: "cafe", nat: "eimr-adf", hosts: [] },
  ],
  delayMs: DELAY,
  wires: { "home-a": { delayMs: DELAY, rateMbit: RATE_MBIT }, cafe: { delayMs: DELAY, rateMbit: RATE_MBIT } },
};

/** Milliseconds. What takes longer than these has not worked. */
const KNOWN_TIMEOUT = 20_000;
const DIRECT_TIMEOUT = 15_000;
const OUTAGE_TIMEOUT = 10_000;
const RETURN_TIMEOUT = 30_000;
/** Milliseconds that the file has been under way when the laptop moves. */
const BEFORE_MOVE = 1_500;

/** The whole story, told on standard output. Throws at the first step that does not work. */
export async function show(lab: Lab, internet: Internet): Promise<void> {
  const [server, a, b, c] = ["server", "laptop-a", "laptop-b", "laptop-c"].map((name) =>
    meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }),
  );
  if (server === undefined || a === undefined || b === undefined || c === undefined) throw new Error("the demo has no machines");
  const laptops = [a, b, c];

  heading("A server with a public address, and three laptops behind NATs");
  for (const agent of [server, ...laptops]) console.log(describe(agent, internet));

  heading("server makes a network, the laptops join it");
  await type(server, ["init", NETWORK, "--name", server.name]);
  for (const laptop of laptops) await invite(server, laptop);
  await untilKnown([server, ...laptops]);

  heading("laptop-a pings laptop-b: by the server at first, then straight through both NATs");
  const before = await relayedBy(server);
  await showPings(a, b, 10);
  await untilDirect(a, b);
  note(`${(await relayedBy(server)) - before} datagrams went by the server: the first packet, and what the two needed to find each other.`);

  heading("laptop-a pings laptop-c, whose NAT gives it another port for every destination");
  await showPings(a, c, 5);
  await type(a, ["status"]);

  heading("A file goes from laptop-a to laptop-b, and meanwhile laptop-a is carried to a cafe");
  await roam(lab, internet, { roams: a, stays: b });

  heading("server is killed: nobody relays any more, and what is direct goes on");
  prompt(server, ["kill", "-9", String(server.pid())]);
  await server.kill9();
  await showPings(a, b, 10);

  heading("server comes back");
  const startedAt = performance.now();
  await type(server, ["up"]);
  for (const laptop of laptops) await untilPinged(laptop, server);
  await untilPinged(b, c);
  note(`Everybody reaches everybody ${formatSeconds(performance.now() - startedAt)} after that was typed.`);
  await type(b, ["status"]);

  heading("Everybody leaves");
  for (const agent of [...laptops, server]) await type(agent, ["down"]);
}

function describe({ host, name }: MeshAgent, { homes, gateways }: Internet): string {
  const home = homes.get(name);
  if (home === undefined) return `${name.padEnd(9)} ${host.address4.padEnd(15)} public`;
  const { nat } = gatewayOf(gateways, home.site);
  return `${name.padEnd(9)} ${host.address4.padEnd(15)} at ${home.site}, NAT: ${NAT_KINDS[nat].note}`;
}

async function invite(from: MeshAgent, to: MeshAgent): Promise<void> {
  const line = (await type(from, ["invite"])).trim();
  await type(to, ["join", line, "--name", to.name], ["join", `${line.slice(0, 24)}…`, "--name", to.name]);
}

async function viewOf(from: MeshAgent, to: MeshAgent): Promise<PeerView | undefined> {
  return (await statusOf(from, NETWORK)).peers.find(({ name }) => name === to.name);
}

/** Datagrams that it has passed on since it started. */
async function relayedBy(agent: MeshAgent): Promise<number> {
  return (await statusOf(agent, NETWORK)).counters["datapath.relayedPackets"] ?? 0;
}

async function addressOf(from: MeshAgent, to: MeshAgent): Promise<string> {
  const view = await viewOf(from, to);
  if (view === undefined) throw new Error(`${from.name} does not know ${to.name}.`);
  return view.address4;
}

/** One line for each answer: how long it took, and the path after it. Throws when not all were answered. */
async function showPings(from: MeshAgent, to: MeshAgent, count: number): Promise<void> {
  const address = await addressOf(from, to);
  prompt(from, ["ping", "-c", String(count), address]);
  const child = from.host.spawn("ping", ["-n", "-c", String(count), "-i", "0.2", "-W", "2", address]);
  const lines: Promise<void>[] = [];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    for (const [, sequence, ms] of text.matchAll(/icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms/g)) {
      lines.push(
        viewOf(from, to).then((view) => console.log(`${String(sequence).padStart(3)}  ${String(ms).padStart(5)} ms  ${view?.path}`)),
      );
    }
  });
  await exitOf(child);
  await Promise.all(lines);
  if (lines.length !== count) throw new Error(`${from.name} got ${lines.length} of ${count} answers from ${to.name}.`);
}

/** In both directions. */
async function untilDirect(one: MeshAgent, other: MeshAgent): Promise<void> {
  const ask = async (): Promise<true | string> => {
    const paths = await Promise.all([viewOf(one, other), viewOf(other, one)]);
    return paths.every((view) => view?.path.startsWith("direct")) || paths.map((view) => view?.path).join(", ");
  };
  await until(`${one.name} and ${other.name} are direct`, ask, DIRECT_TIMEOUT);
}

async function untilKnown(agents: readonly MeshAgent[]): Promise<void> {
  for (const agent of agents) {
    const ask = async (): Promise<true | string> => {
      const { peers } = await statusOf(agent, NETWORK);
      return peers.length === agents.length - 1 || `${peers.length} others`;
    };
    await until(`${agent.name} knows every node`, ask, KNOWN_TIMEOUT);
  }
}

async function untilPinged(from: MeshAgent, to: MeshAgent): Promise<void> {
  const address = await addressOf(from, to);
  const ask = async (): Promise<true | string> => {
    const { code } = await from.host.run("ping", ["-n", "-c", "1", "-W", "1", address]);
    return code === 0 || ((await viewOf(from, to))?.path ?? "unknown");
  };
  await until(`${from.name} reaches ${to.name}`, ask, RETURN_TIMEOUT);
}

async function roam(
  lab: Lab,
  internet: Internet,
  { roams, stays }: { readonly roams: MeshAgent; readonly stays: MeshAgent },
): Promise<void> {
  const file = await moveFile({ from: roams, to: stays, size: FILE_MEGABYTES });
  note(`${FILE_MEGABYTES} MiB are under way, at ${RATE_MBIT} Mbit/s by TCP.`);
  const watch = new PingWatch(roams.host, await addressOf(roams, stays));
  try {
    await sleep(BEFORE_MOVE);
    if (file.hasEnded()) throw new Error("The file was there before the laptop moved.");
    const moved = await moveHost(lab, internet, { host: roams.name, to: "cafe" });
    const movedAt = Date.now();
    note(`${roams.name} is at the cafe: ${roams.host.address4} has become ${hostAddresses(moved, roams.name)[0]}.`);
    const outage = await watch.outage(movedAt, OUTAGE_TIMEOUT);
    if (outage === undefined) throw new Error(`No packet for ${formatSeconds(OUTAGE_TIMEOUT)}: ${(await viewOf(roams, stays))?.path}.`);
    note(`Packets are back ${formatSeconds(outage)} after it had its new address.`);
    await untilDirect(roams, stays);
    note(`A direct path ${formatSeconds(Date.now() - movedAt)} after it: ${(await viewOf(roams, stays))?.path}.`);
  } finally {
    watch.stop();
  }
  await showArrival(file);
}

async function showArrival(file: MovingFile): Promise<void> {
  const { bytes, ms, sha256 } = await file.arrived();
  note(`The file has arrived by the same TCP connection: ${((bytes * 8) / ms / 1_000).toFixed(0)} Mbit/s with the move in it.`);
  console.log(`SHA-256 on both sides: ${sha256}`);
}
