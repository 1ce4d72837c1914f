/**
 * kill -9 at 50 random moments of init, join, up, rekey, down and leave, of the agent, of the command, or of both. Afterwards one more
 * command leads to a node that works or to none; and when it is down the host is as it was, with no process and no file left over.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { STATE_FILES } from "@mesh/core/config";
import { SeededRandom } from "@mesh/core/testing";
import { givenNumbers } from "./crash/given-numbers.ts";
import { hostPrint } from "./crash/host-print.ts";
import { commandLines, type KillMoment, killAll, type Victim } from "./crash/kill-moment.ts";
import { type MeshAgent, meshAgent, until } from "./lab/agent.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { statusOf } from "./lab/status-of.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";
import { ping } from "./wireguard/ping.ts";

const skip = labRefusal() ?? false;
const SEED = Number(process.env["MESH_CRASH_SEED"] ?? 1);
const NETWORK = "home";
const VICTIMS: readonly Victim[] = ["agent", "agent", "command", "both"];
/** Moments of each part; 50 in all. */
const MOMENTS = { init: 8, join: 10, up: 9, rekey: 7, down: 9, leave: 7 };
/** What a network's directory may hold when nothing runs. */
const FILES: ReadonlySet<string> = new Set([...Object.values(STATE_FILES), "agent.log", "agent.log.1"]);

crashTest("init", async ({ lab, moments, interrupt }) => {
  const agent = agentOf(lab, "a");
  const before = await hostPrint(agent.host);
  // The first start of all compiles the sources.
  await agent.init("first");
  await agent.down();
  const duration = await durationOf(() => agent.init(NETWORK));
  await agent.mesh(["down", "--network", NETWORK]);
  for (const [n, moment] of moments(duration).entries()) {
    const fresh = meshAgent(lab, "a", { name: "a", stateDir: join(lab.directory, `init-${n}`) });
    await interrupt(fresh, ["init", NETWORK], moment);
    await untilItSettles(fresh);
    // It is a member now, or it is not: then nothing stands in the way of the same command.
    if (!(await serves(fresh)) && (await fresh.mesh(["up"])).code !== 0) await fresh.init(NETWORK);
    assert.ok(await serves(fresh), show(moment));
    assert.equal((await statusOf(fresh, NETWORK)).self.number, 1);
    await leavesNothing(fresh, before, moment);
  }
});

crashTest("join", async ({ lab, moments, interrupt }) => {
  const admin = agentOf(lab, "a");
  await admin.init(NETWORK);
  const first = agentOf(lab, "b");
  const before = await hostPrint(first.host);
  const invite = await admin.invite();
  const duration = await durationOf(() => first.join(invite));
  await first.down();
  const numbers = new Map<string, number>();
  for (const [n, moment] of moments(duration).entries()) {
    const joiner = meshAgent(lab, "b", { name: `b${n}`, stateDir: join(lab.directory, `join-${n}`) });
    const line = await admin.invite();
    const joining = interrupt(joiner, ["join", line, "--name", joiner.name], moment);
    // At each third moment it is the admin that dies, between write and answer if it comes so.
    if (n % 3 === 2) {
      await sleep(moment.after / 2);
      await admin.kill9();
      await admin.up();
    }
    await joining;
    await untilItSettles(joiner);
    // The same invite, for one use, must still do: whoever was admitted with it is this node.
    if (!(await serves(joiner)) && (await joiner.mesh(["up"])).code !== 0) await joiner.join(line);
    await untilPingsPass(admin, joiner);
    const { id, number } = (await statusOf(joiner, NETWORK)).self;
    assert.ok(![...numbers].some(([other, taken]) => other !== id && taken === number), `number ${number} was given twice`);
    numbers.set(id, number);
    await leavesNothing(joiner, before, moment);
  }
  const given = givenNumbers(join(admin.stateDir, NETWORK));
  for (const [id, number] of numbers) assert.equal(given.get(number), id, `the ledger gives number ${number} to another node`);
});

crashTest("up", async ({ lab, moments, interrupt }) => {
  const [admin, member] = await twoMembers(lab);
  await member.down();
  const before = await hostPrint(member.host);
  const duration = await shortestOf(
    () => member.up(),
    () => member.down(),
  );
  await member.down();
  for (const moment of moments(duration)) {
    await interrupt(member, ["up"], moment);
    await untilItSettles(member);
    if (!(await serves(member))) await member.up();
    await untilPingsPass(admin, member);
    await leavesNothing(member, before, moment);
  }
});

/** The other side starts anew, so that a handshake is made at once; it would be made by time alone after two minutes. */
crashTest("rekey", async ({ lab, moments, kill }) => {
  const [admin, member] = await twoMembers(lab);
  const duration = await durationOf(async () => {
    await admin.down();
    await admin.up();
    await untilPingsPass(admin, member);
  });
  for (const moment of moments(duration)) {
    await admin.down();
    const rekeying = admin.up();
    await sleep(moment.after / 2);
    kill(member, "agent");
    await rekeying;
    await untilItSettles(member);
    await member.up();
    await untilPingsPass(admin, member);
  }
  await member.down();
  await nothingIsLeft(member);
});

crashTest("down", async ({ lab, moments, interrupt }) => {
  const [admin, member] = await twoMembers(lab);
  await member.down();
  const before = await hostPrint(member.host);
  await member.up();
  const duration = await shortestOf(
    () => member.down(),
    () => member.up(),
  );
  for (const moment of moments(duration)) {
    await member.up();
    await interrupt(member, ["down"], moment);
    await untilItSettles(member);
    if (!(await serves(member))) await member.up();
    await untilPingsPass(admin, member);
    await leavesNothing(member, before, moment);
  }
});

crashTest("leave", async ({ lab, moments, interrupt }) => {
  const [admin, member] = await twoMembers(lab);
  const before = await hostPrint(lab.host("c"));
  const duration = await durationOf(async () => assert.equal((await member.mesh(["leave", "--yes"])).code, 0));
  for (const [n, moment] of moments(duration).entries()) {
    const leaver = meshAgent(lab, "c", { name: `c${n}`, stateDir: join(lab.directory, `leave-${n}`) });
    await leaver.join(await admin.invite());
    await interrupt(leaver, ["leave", "--yes"], moment);
    await untilItSettles(leaver);
    // Still a member: it works. Not one any more: it joins again as a new node.
    if (!(await serves(leaver)) && (await leaver.mesh(["up"])).code !== 0) {
      await leaver.mesh(["clean"]);
      await leaver.join(await admin.invite());
    }
    await untilPingsPass(admin, leaver);
    await leavesNothing(leaver, before, moment);
  }
  givenNumbers(join(admin.stateDir, NETWORK));
});

interface CrashRun {
  readonly lab: Lab;
  /** Runs a command and kills in the middle of it. */
  readonly interrupt: (agent: MeshAgent, args: readonly string[], moment: KillMoment) => Promise<void>;
  readonly kill: (agent: MeshAgent, victim: Victim) => void;
  /** Given how long the command takes, when to kill whom. */
  readonly moments: (duration: number) => readonly KillMoment[];
}

function crashTest(part: keyof typeof MOMENTS, body: (run: CrashRun) => Promise<void>): void {
  const title = `kill -9 at ${MOMENTS[part]} moments of ${part}, seed ${SEED} (MESH_CRASH_SEED)`;
  test(title, { skip }, async (t) => {
    const random = SeededRandom.named(SEED, part);
    const moments = (duration: number): readonly KillMoment[] => {
      t.diagnostic(`${part} takes ${Math.round(duration)} ms`);
      const one = (): KillMoment => ({ victim: random.pick(VICTIMS) ?? "agent", after: Math.round(random.next() * duration) });
      const all = Array.from({ length: MOMENTS[part] }, one);
      t.diagnostic(all.map(show).join(", "));
      return all;
    };
    let hits = 0;
    const kill = (agent: MeshAgent, victim: Victim): void => {
      if (killAll(agent, victim) > 0) hits++;
    };
    const interrupt = async (agent: MeshAgent, args: readonly string[], { victim, after }: KillMoment): Promise<void> => {
      const command = agent.mesh(args);
      await sleep(after);
      kill(agent, victim);
      await command;
    };
    await withLab(t, routedCore(["a", "b", "c"]), (lab) => body({ lab, moments, interrupt, kill }));
    t.diagnostic(`${hits} of ${MOMENTS[part]} moments met a process`);
    assert.ok(hits >= MOMENTS[part] / 4, `only ${hits} moments met a process to kill`);
  });
}

function show({ victim, after }: KillMoment): string {
  return `${victim} after ${after} ms`;
}

function agentOf(lab: Lab, host: string): MeshAgent {
  return meshAgent(lab, host, { name: host, stateDir: join(lab.directory, host) });
}

async function twoMembers(lab: Lab): Promise<readonly [MeshAgent, MeshAgent]> {
  const [admin, member] = [agentOf(lab, "a"), agentOf(lab, "b")];
  await admin.init(NETWORK);
  await member.join(await admin.invite());
  await untilPingsPass(admin, member);
  return [admin, member];
}

async function durationOf(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** Of two: the shorter, so that on a busy machine few moments come too late. */
async function shortestOf(work: () => Promise<void>, undo: () => Promise<void>): Promise<number> {
  const first = await durationOf(work);
  await undo();
  return Math.min(first, await durationOf(work));
}

async function serves(agent: MeshAgent): Promise<boolean> {
  return await statusOf(agent, NETWORK).then(
    () => true,
    () => false,
  );
}

/** An agent whose command was killed goes on starting, stopping or leaving: until it serves for good or is gone. */
async function untilItSettles(agent: MeshAgent): Promise<void> {
  await until("it serves or is gone", async () => agent.pid() === undefined || (await staysServing(agent)) || "it does neither");
}

/** One that leaves serves on for as long as the others are told. */
async function staysServing(agent: MeshAgent): Promise<boolean> {
  return await statusOf(agent, NETWORK).then(
    ({ health }) => !health.some(({ text }) => text === "this node left the network"),
    () => false,
  );
}

async function untilPingsPass(from: MeshAgent, to: MeshAgent): Promise<void> {
  const { address4 = "" } = (await statusOf(to, NETWORK)).self;
  await until("a ping is answered", async () => (await ping(from.host, address4, { count: 1 })).length === 1 || "not answered");
}

async function leavesNothing(agent: MeshAgent, before: string, moment: KillMoment): Promise<void> {
  await agent.down();
  assert.equal(await hostPrint(agent.host), before, show(moment));
  await nothingIsLeft(agent);
}

async function nothingIsLeft(agent: MeshAgent): Promise<void> {
  const directory = join(agent.stateDir, NETWORK);
  const files = existsSync(directory) ? readdirSync(directory) : [];
  const left = { processes: commandLines(agent), files: files.filter((file) => !FILES.has(file)) };
  assert.deepEqual(left, { processes: [], files: [] });
}
