import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { PeerView, RoutesView, StatusView } from "@mesh/core/api";
import { agentFiles } from "@mesh/core/config";
import { findCommand } from "../prepare-host.ts";
import { capturedPayloads } from "./hostile/captured-payloads.ts";
import { storedRecords } from "./hostile/stored-records.ts";
import type { ConnectionCounts } from "./hostile/throw-connections.ts";
import type { DatagramOrder, DatagramRoute } from "./hostile/throw-datagrams.ts";
import { throwRequests } from "./hostile/throw-requests.ts";
import { type MeshAgent, meshAgent, until, untilAllAlive } from "./lab/agent.ts";
import type { Lab } from "./lab/lab.ts";
import { labRefusal } from "./lab/lab.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";
import { allInOrder, ping } from "./wireguard/ping.ts";

const missing = ["ping", "tcpdump"].filter((command) => findCommand(command) === undefined);
const skip: string | false =
  labRefusal() ??
  ((missing.length > 0 && `missing: ${missing.join(", ")} (apt-get install iputils-ping tcpdump)`) ||
    (!existsSync("/dev/net/tun") && "/dev/net/tun is missing"));

const NETWORK = "home";
const SEED = 20_260;
const DATAGRAMS = 100_000;
/** Ten a second for as long as the attack lasts: 100,000 datagrams take 15 to 25 s. */
const PINGS = { count: 200, interval: 0.1 };
/** Megabytes that the agent may grow by: garbage not collected yet. A leak of 400 B for each hostile datagram would be as much. */
const MOST_GROWTH = 40;
/** Of honest datagrams that were refused meanwhile, by their source's budget or as the second of a kind: so many to 1,000 hostile ones. */
const MOST_REFUSED_OTHERS = 10;

test(`an agent under ${DATAGRAMS} hostile datagrams (seed ${SEED}), connections and requests goes on and counts them`, {
  skip,
}, async (t) => {
  await withLab(t, routedCore(), async (lab) => {
    const [a, b] = await startTwo(lab);
    const order = await prepareDatagrams(lab, a, b);
    const before = await lookAt(a);

    const startedAt = performance.now();
    const [sent, connections, requests, answered, statuses] = await whileLasts(
      Promise.all([
        throwDatagrams(lab, order),
        throwConnections(lab, before.status),
        throwRequests(agentFiles(a.stateDir, NETWORK).socket),
        Promise.all([ping(a.host, before.peer.address4, PINGS), ping(b.host, before.status.self.address6, PINGS)]),
      ]),
      () => a.status(),
    );

    t.diagnostic(`the attack took ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
    assert.deepEqual(answered, [allInOrder(PINGS.count), allInOrder(PINGS.count)], "no ping between the two was lost");
    assert.ok(
      statuses.length > 3 && statuses.every(({ peers }) => peers[0]?.state === "alive"),
      "it answered and heard its peer all the time",
    );
    for (const { name, answer } of requests) assert.doesNotMatch(answer, /^HTTP\/1\.1 2/, name);
    assert.equal(connections.ended, connections.tried, "no connection of a stranger is kept");

    let counted = 0;
    await until("every datagram is counted", async () => {
      const dropped = (await kernelDrops(a)) - before.kernelDrops;
      counted = hostileCount(await a.status()) - hostileCount(before.status) + dropped;
      return counted >= sent || `${counted} of ${sent}, ${dropped} of them dropped by the kernel`;
    });
    assert.ok(counted - sent <= (sent * MOST_REFUSED_OTHERS) / 1_000, `${counted} counted, ${sent} sent`);
    const after = await lookAt(a);
    t.diagnostic(`datagrams: ${sent} sent, ${counted} counted, ${after.kernelDrops - before.kernelDrops} of them dropped by the kernel`);
    t.diagnostic(`counters: ${JSON.stringify(after.status.counters)}`);
    t.diagnostic(`resident size: ${before.resident} MB, then ${after.resident} MB; connections: ${JSON.stringify(connections)}`);
    assert.equal(after.pid, before.pid);
    assert.ok(after.resident - before.resident < MOST_GROWTH, `${before.resident} MB, then ${after.resident} MB`);
    assert.deepEqual(after.records, before.records);
    assert.deepEqual(after.routes, before.routes);
    assert.deepEqual(withoutTraffic(after.peer), withoutTraffic(before.peer));
    assert.deepEqual(after.status.health, before.status.health);

    // The door was held shut for strangers only.
    await b.down();
    await b.up();
    await untilAllAlive([a, b]);
  });
});

async function startTwo(lab: Lab): Promise<readonly [MeshAgent, MeshAgent]> {
  const a = meshAgent(lab, "host-a", { name: "alpha", stateDir: join(lab.directory, "a.mesh") });
  const b = meshAgent(lab, "host-b", { name: "beta", stateDir: join(lab.directory, "b.mesh") });
  await a.init(NETWORK);
  await b.join(await a.invite());
  await untilAllAlive([a, b]);
  return [a, b];
}

/** Real datagrams of the two, handshakes included; and ways to `a`: from host-c as itself and as `b`, by both families. */
async function prepareDatagrams(lab: Lab, a: MeshAgent, b: MeshAgent): Promise<DatagramOrder> {
  const capture = (await lab.capture("host-a")) ?? assert.fail("no tcpdump");
  const { tunnel } = await a.status();
  // A new start of b brings probes, a handshake initiated by each side and data.
  await b.down();
  await b.up();
  await untilAllAlive([a, b]);
  const { peers, self } = await b.status();
  assert.deepEqual(await ping(b.host, peers[0]?.address4 ?? "", { count: 50, size: 200 }), allInOrder(50));
  assert.deepEqual(await ping(a.host, self.address6, { count: 50, size: 1_200 }), allInOrder(50));
  await capture.stop();
  const { toPort, fromPort } = capturedPayloads(capture.file, tunnel.udpPort);
  for (const type of [1, 2, 4, 0x21]) {
    assert.ok(
      toPort.concat(fromPort).some(([first]) => first === type),
      `a datagram of type ${type} was captured`,
    );
  }

  const thief = lab.host("host-c");
  const { udpPort } = (await b.status()).tunnel;
  for (const address of [`${b.host.address4}/32`, `${b.host.address6}/128`]) {
    assert.equal((await thief.run("ip", ["address", "add", address, "dev", "lo"])).code, 0);
  }
  const routes = (["address4", "address6"] as const).flatMap((family): readonly DatagramRoute[] => {
    const to = { address: a.host[family], port: tunnel.udpPort };
    return [
      { to, from: { address: thief[family], port: 0 } },
      { to, from: { address: b.host[family], port: udpPort } },
    ];
  });
  const encode = (payloads: readonly Uint8Array[]): readonly string[] => payloads.map((bytes) => Buffer.from(bytes).toString("base64"));
  return { seed: SEED, count: DATAGRAMS, routes, had: encode(toPort), sent: encode(fromPort) };
}

/** Returns how many were sent. */
async function throwDatagrams(lab: Lab, order: DatagramOrder): Promise<number> {
  const counts = await runHostile<Readonly<Record<string, number>>>(lab, "throw-datagrams.ts", { input: JSON.stringify(order) });
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

async function throwConnections(lab: Lab, { control }: StatusView): Promise<ConnectionCounts> {
  const [, address = "", port = ""] = control.listen.map((text) => /^([\d.]+):(\d+)$/.exec(text)).find((match) => match !== null) ?? [];
  const counts = await runHostile<ConnectionCounts>(lab, "throw-connections.ts", { args: [address, port] });
  assert.ok(counts.opened > 100, JSON.stringify(counts));
  return counts;
}

/** Runs a program of this folder's on host-c and reads its last words. */
async function runHostile<T>(lab: Lab, program: string, given: { readonly args?: readonly string[]; readonly input?: string }): Promise<T> {
  const { args = [], ...options } = given;
  const file = join(import.meta.dirname, "hostile", program);
  const { code, stdout, stderr } = await lab.host("host-c").run(process.execPath, [file, ...args], { ...options, timeout: 120_000 });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as T;
}

/** Asks again and again until the work is done; returns its results and, last, all answers. */
async function whileLasts<Results extends readonly unknown[], Answer>(
  work: Promise<Results>,
  ask: () => Promise<Answer>,
): Promise<[...Results, readonly Answer[]]> {
  const answers: Answer[] = [];
  let isDone = false;
  const [results] = await Promise.all([
    work.finally(() => {
      isDone = true;
    }),
    (async () => {
      while (!isDone) answers.push(await ask());
    })(),
  ]);
  return [...results, answers];
}

/** Whatever came by UDP and was refused, by whomever. */
function hostileCount({ counters }: StatusView): number {
  const names = Object.keys(counters).filter((name) =>
    /^(datapath\.(udp|handshake|source|relayN|relayO|exceptionsLost)|probe\.|udp\.|session\.(?!handshakeFailed))/.test(name),
  );
  return names.reduce((sum, name) => sum + (counters[name] ?? 0), 0);
}

/** UDP datagrams that the kernel of its host dropped before the engine could read them (proc(5), /proc/net/snmp and snmp6). */
async function kernelDrops(agent: MeshAgent): Promise<number> {
  const { stdout } = await agent.host.run("cat", ["/proc/net/snmp", "/proc/net/snmp6"]);
  const [names = [], values = []] = stdout.split("\n").flatMap((line) => (line.startsWith("Udp: ") ? [line.split(" ")] : []));
  const ofIpv4 = values[names.indexOf("InErrors")];
  const ofIpv6 = /^Udp6InErrors\s+(\d+)/m.exec(stdout)?.[1];
  return Number(ofIpv4) + Number(ofIpv6);
}

interface Look {
  readonly status: StatusView;
  readonly peer: PeerView;
  readonly routes: readonly unknown[];
  readonly pid: number;
  /** Megabytes. */
  readonly resident: number;
  readonly records: readonly string[];
  readonly kernelDrops: number;
}

async function lookAt(agent: MeshAgent): Promise<Look> {
  const status = await agent.status();
  const [peer] = status.peers;
  const pid = agent.pid();
  assert.ok(peer !== undefined && pid !== undefined && status.peers.length === 1);
  return {
    status,
    peer,
    routes: (await agent.routes()).routes.map((route: RoutesView["routes"][number]) => ({ ...route, nextHop: "", reason: "" })),
    pid,
    resident: agent.resident(),
    records: storedRecords(agentFiles(agent.stateDir, NETWORK).directory),
    kernelDrops: await kernelDrops(agent),
  };
}

/** What an attack must not change: not what traffic and time do. */
function withoutTraffic({ name, id, number, state, linked, subnet4, subnet6, endpoint, sessionAt }: PeerView): unknown {
  // Which of its two addresses is used is a matter of round trips; its port is the peer's own.
  return { name, id, number, state, linked, subnet4, subnet6, port: endpoint?.split(":").at(-1), sessionAt };
}
