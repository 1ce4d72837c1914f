/**
 * A host that is not as it should be, and clients that are none of ours, on real agents: each time one clear sentence, the right
 * exit code, and nothing half-made left.
 */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { type ApiCall, api, EVENTS_PATH, errorShape, type InviteView, MAX_LISTENERS } from "@mesh/core/api";
import { agentFiles } from "@mesh/core/config";
import { SeededRandom } from "@mesh/core/testing";
import { mutateValue } from "../fuzz/mutate-value.ts";
import { HostOnClock } from "./bad-input/host-on-clock.ts";
import { explains, hostState, nothingRuns, refusesAndKeeps, STACK_TRACE } from "./bad-input/refusal.ts";
import { withSmallDisk } from "./bad-input/small-disk.ts";
import { type MeshAgent, meshAgent, until, untilAllAlive } from "./lab/agent.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";
import { allInOrder, ping } from "./wireguard/ping.ts";

const skip = labRefusal() ?? false;
const NETWORK = "home";
const DAY = 86_400_000;
const SEED = 7;

for (const [what, offset] of [
  ["fast", DAY],
  ["slow", -DAY],
] as const) {
  test(`a clock that is a day ${what}, corrected while running, and wrong the other way`, { skip }, async (t) => {
    await withLab(t, routedCore(["a", "b"]), async (lab) => {
      const [a, b] = [agentOf(lab, "a"), agentOf(lab, "b")];
      await a.init(NETWORK);
      const host = new HostOnClock(b);
      host.step(offset);
      // The issuer's clock decides about an invite, not the joiner's.
      await host.start({ command: "join", invite: await a.invite(["--ttl", "10m"]), nodeName: "b" });
      await untilPingsPass(a, b);
      const pinging = ping(a.host, (await b.status()).self.address4 ?? "", { count: 100, interval: 0.05 });
      for (const next of [0, -offset, offset / 2, 0]) {
        host.step(next);
        await until("it answers", async () => (await b.mesh(["status"])).code !== 4 || "it does not");
      }
      assert.deepEqual(await pinging, allInOrder(100), "no packet is lost when the clock steps");
      // It comes back with an earlier clock than it left with: stamps of handshakes and sequences of records must not run backwards.
      host.step(offset);
      await host.stop();
      host.step(-offset);
      await host.start({ command: "up", network: NETWORK });
      await untilPingsPass(a, b);
      assert.deepEqual((await a.status()).health, []);
      await host.stop();
    });
  });
}

test("the clock of the issuer steps: an invite is as old as that clock says", { skip }, async (t) => {
  await withLab(t, routedCore(["a", "b"]), async (lab) => {
    const [a, b] = [agentOf(lab, "a"), agentOf(lab, "b")];
    const host = new HostOnClock(a);
    await host.start({ command: "init", network: NETWORK, nodeName: "a" });
    const invite = await a.invite();
    host.step(DAY);
    await untilInvitesFrom(a, Date.now() + DAY);
    await refusesAndKeeps(b, ["join", invite], { code: 1, says: /expired/, hints: /mesh invite/ });
    host.step(-DAY);
    await untilInvitesFrom(a, Date.now() - DAY);
    await b.join(invite);
    await untilPingsPass(a, b);
    await host.stop();
  });
});

/** A clock that was set is noticed within 2 s: what the agent takes for the hour shows in its invites. */
async function untilInvitesFrom(agent: MeshAgent, wallAt: number): Promise<void> {
  await until("the new hour shows in invites", async () => {
    const { stdout } = await agent.mesh(["invite", "--ttl", "1h"], { json: true });
    const { expiresAt } = JSON.parse(stdout) as InviteView;
    return Math.abs(expiresAt - 3_600_000 - wallAt) < 600_000 || `invites expire at ${new Date(expiresAt).toISOString()}`;
  });
}

test("a disk that is full before the start and while running, and one that is read-only", { skip }, async (t) => {
  await withLab(t, routedCore(["a"]), async (lab) => {
    await withSmallDisk(join(lab.directory, "disk"), async (disk) => {
      const agent = meshAgent(lab, "a", { name: "a", stateDir: disk.directory });
      const before = await hostState(agent.host);
      await disk.fill();
      await refusesAndKeeps(agent, ["init", NETWORK], { code: 1, says: /no space left|is full|ENOSPC/i, hints: /room/i });
      assert.equal(existsSync(join(disk.directory, NETWORK, "node.state")), false);
      await disk.free();
      await agent.init(NETWORK);
      const { self } = await agent.status();

      // What cannot be made durable is not promised: no invite is handed out. The node goes on, and says what is wrong.
      await disk.fill();
      const { code, stdout, stderr } = await agent.mesh(["invite"]);
      assert.equal(code, 1, stdout + stderr);
      assert.doesNotMatch(stdout, /mesh1/);
      explains(stderr, { says: /no space left|disk is full/, hints: /mesh: / });
      const [first] = (await agent.status()).health;
      assert.match(`${first?.level} ${first?.text} ${first?.hint}`, /^error .*full.* Make room there/);
      await disk.free();
      await until("it is durable", async () => (await agent.status()).health.every(({ level }) => level !== "error") || "not yet", 15_000);
      assert.match(await agent.invite(), /^mesh1/);

      await disk.fill();
      await agent.mesh(["invite"]);
      await agent.mesh(["down"]);
      await until("the agent ends", async () => agent.pid() === undefined || "it runs");
      assert.equal(await hostState(agent.host), before);
      await disk.free();
      await agent.up();
      assert.match(await agent.invite(), /^mesh1/);
      await agent.down();
      await until("the agent has ended", async () => agent.pid() === undefined || "it runs");

      await disk.readOnly(true);
      const readOnly = { code: 1, says: /read-only/i, hints: /\w/ };
      await refusesAndKeeps(agent, ["up"], readOnly);
      await refusesAndKeeps(agent, ["init", "other"], readOnly);
      await disk.readOnly(false);
      await agent.up();
      assert.deepEqual({ ...(await agent.status()).self, startedAt: 0 }, { ...self, startedAt: 0 });
      await agent.down();
      assert.equal(await hostState(agent.host), before);
    });
  });
});

test("its device put down, renamed or stripped is as it was within seconds; deleted, the agent ends and leaves nothing", {
  skip,
}, async (t) => {
  await withLab(t, routedCore(["a", "b"]), async (lab) => {
    const [a, b] = [agentOf(lab, "a"), agentOf(lab, "b")];
    const before = await hostState(a.host);
    await a.init(NETWORK);
    await b.join(await a.invite());
    await untilPingsPass(b, a);
    const { device } = (await a.status()).tunnel;
    const asPlanned = await hostState(a.host);
    for (const words of [
      ["link", "set", device, "down"],
      ["address", "flush", "dev", device],
      ["route", "flush", "dev", device],
      ["link", "set", device, "name", "other0"],
    ]) {
      // A device that is up keeps its name.
      if (words.includes("name")) await a.host.run("ip", ["link", "set", device, "down"]);
      const { code, stderr } = await a.host.run("ip", words);
      assert.equal(code, 0, stderr);
      await until(`after ip ${words.join(" ")} all is as planned`, async () => {
        const state = await hostState(a.host);
        return state === asPlanned || state;
      });
      await untilPingsPass(b, a);
    }
    await a.host.run("ip", ["link", "delete", device]);
    await until("the agent ends", async () => a.pid() === undefined || "it runs");
    await nothingRuns(a);
    assert.equal(await hostState(a.host), before);
    const { code, stderr } = await a.mesh(["status"]);
    assert.equal(code, 4);
    explains(stderr, { says: /not running\. It ended by itself: the packet engine stopped: TUN device: it was deleted/, hints: /mesh up/ });
    await a.up();
    await untilPingsPass(b, a);
  });
});

test("a second agent on the same state, from another host of the same disk", { skip }, async (t) => {
  await withLab(t, routedCore(["a", "b"]), async (lab) => {
    const first = agentOf(lab, "a");
    await first.init(NETWORK);
    const pid = first.pid();
    const second = meshAgent(lab, "b", { name: "b", stateDir: first.stateDir });
    await refusesAndKeeps(second, ["up"], { code: 1, says: /running already|already/, hints: /mesh / });
    await refusesAndKeeps(second, ["init", NETWORK], { code: 1, says: /already/, hints: /mesh / });
    assert.equal(first.pid(), pid);
    assert.deepEqual((await first.status()).health, []);

    const before = await hostState(first.host);
    rmSync(agentFiles(first.stateDir, NETWORK).socket);
    for (const command of ["up", "clean"]) {
      const { code, stderr } = await first.mesh([command]);
      assert.equal(code, 1, stderr);
      explains(stderr, { says: new RegExp(`without its socket, as process ${pid}`), hints: new RegExp(`kill ${pid}`) });
    }
    assert.equal(first.pid(), pid);
    assert.equal(await hostState(first.host), before);
    process.kill(pid ?? 0, "SIGTERM");
    await until("it has ended", async () => first.pid() === undefined || "it runs");
    await first.up();
    assert.deepEqual((await first.status()).health, []);
  });
});

test(`requests of every wrong shape on the real socket (seed ${SEED})`, { skip }, async (t) => {
  await withLab(t, routedCore(["a"]), async (lab) => {
    const agent = agentOf(lab, "a");
    await agent.init(NETWORK);
    const before = await agent.status();
    const { socket } = agentFiles(agent.stateDir, NETWORK);
    const random = SeededRandom.named(SEED, "shapes");
    let refused = 0;
    for (const [name, call] of Object.entries(api) as readonly (readonly [string, ApiCall<unknown, unknown>])[]) {
      for (let n = 0; n < 300; n++) {
        const value = mutateValue(random, [{}, { uses: 1, ttlSeconds: 60 }, { target: "a" }, { force: true }]);
        // A right one would be carried out, and `leave` and `down` with it.
        if (fits(call, value) || call.method === "GET") continue;
        const answer = await ask(socket, { method: call.method, path: call.path, body: JSON.stringify(value) ?? "" });
        isRefusal(answer, `${name} ${JSON.stringify(value)}`);
        refused++;
      }
    }
    for (const method of ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH"]) {
      for (const path of [
        "/",
        "/v1",
        "/v1/",
        "/v2/status",
        "/v1/Status",
        "/v1/status/",
        "//v1/status",
        "/v1/%73tatus",
        "/v1/leave?x",
        "*",
        "http://x/v1/down",
      ]) {
        if (path === "http://x/v1/down" && method === "POST") continue;
        const answer = await ask(socket, { method, path, body: "" });
        assert.doesNotMatch(answer, /^HTTP\/1\.1 (?:2|5)/, `${method} ${path}: ${answer}`);
        refused++;
      }
    }
    t.diagnostic(`${refused} requests refused`);
    const after = await agent.status();
    assert.deepEqual({ ...after, counters: {} }, { ...before, counters: {} });
  });
});

test("clients that follow the events and never read them cost others nothing, nor do they keep the agent from ending", {
  skip,
}, async (t) => {
  await withLab(t, routedCore(["a", "b"]), async (lab) => {
    const [a, b] = [agentOf(lab, "a"), agentOf(lab, "b")];
    await a.init(NETWORK);
    const { socket } = agentFiles(a.stateDir, NETWORK);
    const listeners: Socket[] = [];
    for (let n = 0; n < MAX_LISTENERS; n++) listeners.push(await deafListener(socket));
    const oneMore = await ask(socket, { method: "GET", path: EVENTS_PATH, body: "" });
    assert.match(oneMore, /^HTTP\/1\.1 503 /);
    isRefusal(oneMore, "one listener too many");
    const before = a.resident();
    await b.join(await a.invite());
    await untilAllAlive([a, b]);
    for (let n = 0; n < 3; n++) {
      await b.down();
      await b.up();
    }
    await untilAllAlive([a, b]);
    assert.ok(a.resident() - before < 40, `${before} MB, then ${a.resident()} MB`);
    const { ms } = await a.mesh(["down"]);
    assert.ok(ms < 5_000, `down took ${Math.round(ms)} ms`);
    assert.equal(a.pid(), undefined);
    for (const listener of listeners) listener.destroy();
  });
});

function agentOf(lab: Lab, host: string): MeshAgent {
  return meshAgent(lab, host, { name: host, stateDir: join(lab.directory, host) });
}

async function untilPingsPass(from: MeshAgent, to: MeshAgent): Promise<void> {
  await untilAllAlive([from, to]);
  const { address4 = "" } = (await to.status()).self;
  await until("a ping is answered", async () => (await ping(from.host, address4, { count: 1 })).length === 1 || "not answered");
}

function fits({ request }: ApiCall<unknown, unknown>, value: unknown): boolean {
  try {
    request(JSON.parse(JSON.stringify(value) ?? "{}"), "");
    return true;
  } catch {
    return false;
  }
}

interface RawRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

/** The whole answer, head and body. */
async function ask(path: string, { method, path: target, body }: RawRequest): Promise<string> {
  const parts: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const client = connect(path);
    client.on("data", (part) => parts.push(part)).once("close", () => resolve());
    client.on("error", () => {});
    client.setTimeout(10_000, () => reject(new Error(`no answer to ${method} ${target}`)));
    client.write(
      `${method} ${target} HTTP/1.1\r\nhost: mesh\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  });
  return Buffer.concat(parts).toString();
}

/** The client's fault, told as an error that says what to do, and nothing of our insides. */
function isRefusal(answer: string, what: string): void {
  assert.match(answer, /^HTTP\/1\.1 (?:4\d\d|503) /, `${what}: ${answer}`);
  const body = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  const json = body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1);
  const { error } = errorShape(JSON.parse(json), "");
  assert.match(error.message, /\S[.!?]$/, what);
  assert.doesNotMatch(answer, STACK_TRACE);
}

/** Asks for the events, and reads nothing but what the kernel takes. */
async function deafListener(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on("error", () => {});
  socket.pause();
  socket.write(`GET ${EVENTS_PATH} HTTP/1.1\r\nhost: mesh\r\n\r\n`);
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}
