/** The control plane on real connections: dials that cross, a peer that is frozen, a network that loses packets, one that comes late. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { agentFiles } from "@mesh/core/config";
import { type Member, openMember } from "../../packages/agent/src/control/member-fixture.ts";
import { testRecord } from "../../packages/agent/src/control/test-records-fixture.ts";
import { ControlPeer } from "./control-peers-fixture.ts";
import { type MeshAgent, meshAgent, until, untilAllAlive } from "./lab/agent.ts";
import { type LabHost, labRefusal } from "./lab/lab.ts";
import { runCommand } from "./lab/run-command.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const skip = labRefusal() ?? false;
const ROUNDS = 20;
/** For one link and gossip after dials crossed. */
const WITHIN = 2_000;
const HOSTS = ["host-a", "host-b"];
const NETWORK = "control";

test("two members in one process that dial each other at once: one connection and gossip within 2 s, 20 times", { skip }, async (t) => {
  const [a, b] = [await openMember("crossed-a"), await openMember("crossed-b")];
  t.after(() => Promise.all([a, b].map(({ control }) => control.close())));
  for (let round = 1; round <= ROUNDS; round++) {
    const [fromA, fromB] = [a.events.all.length, b.events.all.length];
    const startedAt = performance.now();
    a.control.connect(b.node, [b.endpoint]);
    b.control.connect(a.node, [a.endpoint]);
    await Promise.all([a.events.next("link-up", undefined, fromA), b.events.next("link-up", undefined, fromB)]);
    const [saidA, saidB] = [testRecord(`a in round ${round}`), testRecord(`b in round ${round}`)];
    a.say(saidA);
    b.say(saidB);
    await Promise.all([b.events.record(saidA), a.events.record(saidB)]);
    const took = performance.now() - startedAt;
    assert.ok(took < WITHIN, `round ${round}: gossip after ${Math.round(took)} ms`);
    await until("one connection", async () => ((await connectionsOf([a, b])) === 1 ? true : "more or none"), WITHIN);
    a.control.disconnect(b.node);
    b.control.disconnect(a.node);
    await Promise.all([a.events.next("link-down", undefined, fromA), b.events.next("link-down", undefined, fromB)]);
  }
});

test("two agents whose link breaks and that dial each other at once: one connection and gossip within 2 s, 20 times", {
  skip,
}, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const agents = HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
    const [first, second] = agents;
    assert.ok(first !== undefined && second !== undefined);
    await first.init(NETWORK, ["--log-level", "debug"]);
    await second.join(await first.invite(), ["--log-level", "debug"]);
    await untilAllAlive(agents);
    const times: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const brokenAt = Date.now();
      await second.host.run("ss", ["-K", "-tn", "state", "established"]);
      // A change of addresses makes both dial at once.
      const [verb, address] = round % 2 === 1 ? (["add", "10.9.9.9/32"] as const) : (["delete", "10.9.9.9/32"] as const);
      await Promise.all(agents.map(({ host }) => host.run("ip", ["address", verb, address, "dev", "eth0"])));
      await until(`round ${round}: gossip delivers`, async () => agents.every((one) => deliversSince(one, brokenAt)) || "not yet", 10_000);
      const took = Math.max(...agents.map((one) => deliveredAt(one, brokenAt))) - brokenAt;
      times.push(took);
      await until(`round ${round}: one connection`, async () => {
        const count = await establishedIn(first.host);
        return count === 1 || `${count} connections`;
      });
    }
    const sorted = times.toSorted((one, other) => one - other);
    t.diagnostic(`gossip back: p50 ${sorted[ROUNDS / 2]} ms, p95 ${sorted[Math.ceil(ROUNDS * 0.95) - 1]} ms, max ${sorted.at(-1)} ms`);
    assert.ok((sorted[Math.ceil(ROUNDS * 0.95) - 1] ?? Number.POSITIVE_INFINITY) <= WITHIN, `${sorted.join(", ")} ms`);
  });
});

test("a frozen peer costs a member that floods records little memory, and hears it again when it thaws", { skip }, async (t) => {
  const [flooder, frozen] = [await ControlPeer.start("freeze-a"), await ControlPeer.start("freeze-b")];
  t.after(() => [flooder, frozen].map((peer) => peer.kill()));
  flooder.connect(frozen);
  await Promise.all([flooder, frozen].map((peer) => peer.until((line) => line.type === "link-up")));
  // The first records cost compiled code and buffers that stay.
  flooder.tell({ do: "flood", records: 500 });
  await flooder.until((line) => line.type === "flooded");
  process.kill(frozen.pid, "SIGSTOP");
  const before = flooder.resident();
  const from = flooder.lines.length;
  flooder.tell({ do: "flood", records: 5_000 });
  await flooder.until((line) => line.type === "flooded", from, 60_000);
  const grown = flooder.resident() - before;
  t.diagnostic(`40 MB published to a frozen peer: ${grown.toFixed(1)} MB more resident (${before.toFixed(0)} MB before)`);
  // Published records are remembered for 5 s by the router, for whoever asks for them: 8 KiB a millisecond are 40 MB of that.
  assert.ok(grown < 64, `${grown} MB`);
  process.kill(frozen.pid, "SIGCONT");
  flooder.tell({ do: "say", record: "after the thaw" });
  await frozen.untilRecord("after the thaw", 30_000);
});

test("with every fifth packet lost both ways, records arrive by gossip or sync, and at once when the loss ends", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const peers: ControlPeer[] = [];
    t.after(() => peers.map((peer) => peer.kill()));
    for (const name of HOSTS) {
      const { address4, namespace } = lab.host(name);
      peers.push(await ControlPeer.start(`lossy-${name}`, { ip: address4, namespace }));
    }
    const [a, b] = peers;
    assert.ok(a !== undefined && b !== undefined);
    a.connect(b);
    b.connect(a);
    await Promise.all(peers.map((peer) => peer.until((line) => line.type === "link-up")));
    for (const name of HOSTS) await loseEveryFifth(lab.host(name));
    for (let i = 0; i < 40; i++) {
      a.tell({ do: "say", record: `a ${i} under loss` });
      b.tell({ do: "say", record: `b ${i} under loss` });
      await sleep(500);
    }
    const missing = (): number =>
      Array.from({ length: 40 }, (_, i) => Number(!b.has(`a ${i} under`)) + Number(!a.has(`b ${i} under`))).reduce(
        (sum, one) => sum + one,
        0,
      );
    const during = missing();
    for (const name of HOSTS) await lab.host(name).run("nft", ["delete", "table", "netdev", "loss"]);
    const endedAt = performance.now();
    await until("everything is there", async () => missing() === 0 || `${missing()} missing`, 15_000);
    const downs = peers.map(({ lines }) => lines.filter(({ type }) => type === "link-down").length);
    t.diagnostic(
      `${during} of 80 missing when the loss ended, none ${Math.round(performance.now() - endedAt)} ms later; links lost: ${downs.join(" and ")}`,
    );
  });
});

test("an agent that starts without any network is linked when one comes", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const agents = HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
    const [first, second] = agents;
    assert.ok(first !== undefined && second !== undefined);
    await first.init(NETWORK);
    await second.join(await first.invite());
    await untilAllAlive(agents);
    await second.down();
    await second.host.run("ip", ["link", "set", "eth0", "down"]);
    await second.up();
    await sleep(3_000);
    assert.deepEqual(
      (await second.peers()).map(({ linked }) => linked),
      [false],
    );
    await second.host.run("ip", ["link", "set", "eth0", "up"]);
    await second.host.run("ip", ["route", "add", "default", "via", "198.18.2.1"]);
    await second.host.run("ip", ["route", "add", "default", "via", "2001:db8:2::1"]);
    const cameAt = performance.now();
    await until("it is linked", async () => (await second.peers()).every(({ linked }) => linked) || "not linked", 10_000);
    t.diagnostic(`linked ${Math.round(performance.now() - cameAt)} ms after the network came, the call of status included`);
    await untilAllAlive(agents);
  });
});

/** Established connections to the ports of these members, each counted once. */
async function connectionsOf(members: readonly Member[]): Promise<number> {
  const { stdout } = await runCommand("ss", ["-Htn", "state", "established"]);
  const ports = new Set(members.map(({ control }) => String(control.port)));
  // Columns: two queues, local and peer address. The end that listens shows a member's port as its local one.
  return stdout.split("\n").filter((line) => ports.has(line.trim().split(/\s+/)[2]?.split(":").at(-1) ?? "")).length;
}

async function establishedIn(host: LabHost): Promise<number> {
  const { stdout } = await host.run("ss", ["-Htn", "state", "established"]);
  return stdout.split("\n").filter((line) => line.trim() !== "").length;
}

function deliveredAt({ stateDir }: MeshAgent, since: number): number {
  const times = readFileSync(agentFiles(stateDir, NETWORK).log, "utf8")
    .split("\n")
    .filter((line) => line.includes('"gossip delivers"'))
    .map((line) => Date.parse((JSON.parse(line) as { readonly time: string }).time));
  return times.find((time) => time > since) ?? Number.POSITIVE_INFINITY;
}

function deliversSince(agent: MeshAgent, since: number): boolean {
  return Number.isFinite(deliveredAt(agent, since));
}

async function loseEveryFifth(host: LabHost): Promise<void> {
  const rules = `table netdev loss { chain lose { type filter hook ingress device "eth0" priority 0; policy accept; numgen random mod 5 0 drop; }\n}`;
  const { code, stderr } = await host.run("nft", ["-f", "-"], { input: rules });
  assert.equal(code, 0, stderr);
}
