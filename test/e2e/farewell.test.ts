/** Real agents that stop, leave, and run on the twin: what the others and the host see of it. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type MeshAgent, meshAgent, until, untilAllAlive } from "./lab/agent.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const skip = labRefusal() ?? false;
/** A goodbye is gossiped before the agent ends. */
const HEARD_WITHIN = 3_000;

test("an agent that is stopped is left at its peers at once, and alive again when it is started", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b", "host-c"]), async (lab) => {
    const agents = await joinedMesh(lab, ["host-a", "host-b", "host-c"]);
    const [a, b, c] = agents;
    await b.down();
    for (const other of [a, c]) await until(`${b.name} is left`, () => stateAt(other, b, "left"), HEARD_WITHIN);
    await b.up();
    await untilAllAlive(agents);
  });
});

test("a node that leaves is gone at its peers, keeps nothing, and comes back only as a new one", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b", "host-c"]), async (lab) => {
    const agents = await joinedMesh(lab, ["host-a", "host-b", "host-c"]);
    const [a, b, c] = agents;
    const { id, number } = (await b.status()).self;

    const refused = await a.mesh(["leave", "--yes"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /root key/);

    const left = await b.mesh(["leave", "--yes"]);
    assert.equal(left.code, 0, left.stderr);
    assert.match(left.stdout, / 2 members were told/);
    for (const other of [a, c]) await until(`${b.name} is gone`, () => stateAt(other, b, "not a member"), HEARD_WITHIN);
    assert.equal(b.pid(), undefined);
    assert.equal(existsSync(join(b.stateDir, "farewell")), false, "its keys are still there");
    assert.equal((await b.mesh(["up", "--network", "farewell"])).code, 1);

    await b.join(await a.invite());
    await untilAllAlive(agents);
    const { self } = await b.status();
    assert.notEqual(self.id, id);
    assert.notEqual(self.number, number, "its address may be in somebody's notes");
  });
});

test("a node on the twin is a node like any other, slower, and says so", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b"]), async (lab) => {
    const [a, b] = [agentOn(lab, "host-a"), agentOn(lab, "host-b")];
    await a.init("farewell");
    await b.join(await a.invite(), ["--backend", "twin"]);
    await untilAllAlive([a, b]);
    const { tunnel, health, peers } = await b.status();
    assert.equal(tunnel.backend, "twin");
    assert.ok(
      health.some(({ text }) => /slow engine/.test(text)),
      JSON.stringify(health),
    );
    const { address4 = "", address6 } = (await a.status()).self;
    for (const address of [address4, address6]) {
      const { stdout } = await b.host.run("ping", ["-q", "-i", "0.1", "-c", "20", "-W", "2", address]);
      assert.match(stdout, /20 packets transmitted, 20 received/);
    }
    assert.equal(peers[0]?.name, a.name);
    await b.down();
    await until(`${b.name} is left`, () => stateAt(a, b, "left"), HEARD_WITHIN);
    const { stdout } = await b.host.run("ip", ["-br", "link"]);
    assert.doesNotMatch(stdout, /mesh0/);
  });
});

function agentOn(lab: Lab, host: string): MeshAgent {
  return meshAgent(lab, host, { name: host, stateDir: join(lab.directory, host) });
}

async function joinedMesh(lab: Lab, hosts: readonly [string, string, string]): Promise<readonly [MeshAgent, MeshAgent, MeshAgent]> {
  const [a, b, c] = [agentOn(lab, hosts[0]), agentOn(lab, hosts[1]), agentOn(lab, hosts[2])];
  await a.init("farewell");
  for (const joiner of [b, c]) await joiner.join(await a.invite());
  await untilAllAlive([a, b, c]);
  return [a, b, c];
}

/** Asked by name: a node that left is not in the list. */
async function stateAt(agent: MeshAgent, peer: MeshAgent, wanted: string): Promise<true | string> {
  const state = (await agent.peers()).find(({ name }) => name === peer.name)?.state ?? "not a member";
  return state === wanted || `${agent.name} sees ${peer.name} as ${state}`;
}
