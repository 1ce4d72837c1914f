import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { LaunchOrder } from "@mesh/core/config";
import { type LaunchOptions, type LaunchStep, launchAgent, runAgent } from "./launch.ts";

let directory = "";
let steps: LaunchStep[] = [];
let timers: (() => void)[] = [];
let interrupter = new AbortController();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "launch-"));
  steps = [];
  timers = [];
  interrupter = new AbortController();
});

afterEach(() => {
  const file = join(directory, "pids");
  const pids = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").map(Number) : [];
  for (const pid of pids) endProcess(pid);
  rmSync(directory, { recursive: true });
});

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

/** What every pretended agent begins with; it notes its process number so that none is left behind. */
const BEGINNING = `
import { appendFileSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { spawn } from "node:child_process";
const here = import.meta.dirname;
appendFileSync(here + "/pids", process.pid + "\\n");
const say = (progress) => writeSync(3, JSON.stringify(progress) + "\\n");
const order = () => JSON.parse(readFileSync(0, "utf8"));
const stay = () => setInterval(() => {}, 1e6);
`;

function write(script: string): string {
  const entry = join(directory, "agent.mjs");
  writeFileSync(entry, BEGINNING + script);
  return entry;
}

function options(script: string, changed: Partial<LaunchOptions> = {}): LaunchOptions {
  return {
    program: { runtime: process.execPath, entry: write(script) },
    env: process.env,
    clock: {
      wallNow: () => 0,
      after: (_milliseconds, fn) => {
        timers.push(fn);
        return () => {};
      },
    },
    foreground: false,
    onStep: (step) => steps.push(step),
    interrupted: interrupter.signal,
    ...changed,
  };
}

function order(more: Partial<LaunchOrder> = {}): LaunchOrder {
  return { command: "up", stateRoot: directory, network: "lab", ...more };
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** proc(5), stat: the sixth field; the second, in brackets, may hold spaces. */
function sessionOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3]);
}

function agentPid(): number {
  return Number(readFileSync(join(directory, "pids"), "utf8").split("\n")[0]);
}

test("the order arrives whole, progress comes as it is made, and the agent serves on", async () => {
  const long = order({ command: "join", invite: "x".repeat(30_000) });
  const agent = await launchAgent(
    long,
    options(`
      writeFileSync(here + "/order", JSON.stringify(order()));
      say({ type: "step", text: "one", ms: 1 });
      writeSync(3, '{"type":"step",');
      writeSync(3, '"text":"two","ms":2.5}\\n{"type":"step","text":"three","ms":3,"newer":true}\\n{"type":"ready",');
      writeSync(3, '"network":"lab","socket":"/s","ms":4}\\n');
      stay();
    `),
  );
  assert.deepEqual(JSON.parse(readFileSync(join(directory, "order"), "utf8")), long);
  assert.deepEqual(
    steps.map(({ text }) => text),
    ["one", "two", "three"],
  );
  assert.deepEqual([agent.network, agent.socket], ["lab", "/s"]);
  assert.ok(lives(agentPid()));
  assert.equal(sessionOf(agentPid()), agentPid(), "the terminal's signals would reach it");
  await agent.stop();
  assert.deepEqual(await agent.ended, { code: null, signal: "SIGTERM" });
});

test("neither arguments nor environment of the agent hold the invite", async () => {
  const agent = await launchAgent(
    order({ command: "join", invite: "mesh1secret" }),
    options(`
      order();
      writeFileSync(here + "/seen", readFileSync("/proc/self/cmdline", "utf8") + readFileSync("/proc/self/environ", "utf8"));
      say({ type: "ready", network: "lab", socket: "/s", ms: 1 });
      stay();
    `),
  );
  assert.ok(!readFileSync(join(directory, "seen"), "utf8").includes("mesh1secret"));
  await agent.stop();
});

test("the agent's own failure is thrown, once the agent has ended", async () => {
  const failing = options(`
    say({ type: "failed", error: { code: "datapath/port-taken", message: "UDP port 5 is taken.", hint: "Take another.", details: { port: 5 } } });
    process.on("exit", () => writeFileSync(here + "/undone", ""));
    setTimeout(() => process.exit(1), 20);
  `);
  await assert.rejects(launchAgent(order(), failing), {
    code: "datapath/port-taken",
    message: "UDP port 5 is taken.",
    hint: "Take another.",
    details: { port: 5 },
  });
  assert.ok(existsSync(join(directory, "undone")));
});

test("a sudden death is told with its reason and the log", async () => {
  const dying = options('say({ type: "step", text: "one", ms: 1 }); throw new TypeError("no such engine.");');
  const log = join(directory, "lab", "agent.log");
  await assert.rejects(launchAgent(order(), dying), {
    code: "agent/start-failed",
    message: "The agent ended while it was starting (exit code 1): TypeError: no such engine.",
    details: { log },
    hint: new RegExp(log),
  });
  assert.equal(steps.length, 1);
});

test("where only the invite knows the network, its log is told without a name", async () => {
  const { network: _, ...joining } = order({ command: "join", invite: "mesh1secret" });
  await assert.rejects(launchAgent(joining, options("process.exit(7);")), {
    code: "agent/start-failed",
    details: {},
    hint: `Its log may say more: agent.log in the directory of its network, in ${directory}`,
  });
});

test("where the network has a log, the runtime's last words are in it, and found among its lines", async () => {
  mkdirSync(join(directory, "lab"));
  const log = join(directory, "lab", "agent.log");
  writeFileSync(log, "Error: of the last time\n");
  const dying = options(`
    appendFileSync(here + "/lab/agent.log", JSON.stringify({ level: 50, msg: "Error: mine" }) + "\\n");
    throw new Error("of today");
  `);
  await assert.rejects(launchAgent(order(), dying), { message: /\(exit code 1\): Error: of today\.$/ });
  assert.match(readFileSync(log, "utf8"), /^Error: of the last time\n\{.*\}\n.*Error: of today\n/s);
  const silent = options('appendFileSync(here + "/lab/agent.log", JSON.stringify({ msg: "mine" }) + "\\n"); process.exit(7);');
  await assert.rejects(launchAgent(order(), silent), { message: /\(exit code 7\)\.$/ });
});

test("a death without a word, one by a signal, and one before the order is read are told too", async () => {
  await assert.rejects(launchAgent(order(), options("process.exit(7);")), {
    message: "The agent ended while it was starting (exit code 7).",
  });
  await assert.rejects(launchAgent(order(), options('process.kill(process.pid, "SIGKILL");')), { message: /\(SIGKILL\)\.$/ });
  await assert.rejects(launchAgent(order({ invite: "x".repeat(1_000_000) }), options("process.exit(7);")), { message: /exit code 7/ });
  const nowhere = { program: { runtime: join(directory, "none"), entry: "x" } };
  await assert.rejects(launchAgent(order(), options("", nowhere)), { code: "agent/start-failed", message: /could not be run/ });
});

test("a failure that was told just before the end is not lost, however much was told before it", async () => {
  const failing = options(`
    for (let i = 0; i < 1_000; i++) say({ type: "step", text: "x".repeat(100), ms: i });
    say({ type: "failed", error: { code: "host/not-root", message: "m" } });
    process.exit(1);
  `);
  await assert.rejects(launchAgent(order(), failing), { code: "host/not-root" });
  assert.equal(steps.length, 1_000);
});

test("a process that the dead agent left behind, and that holds its channel, is not waited for", async () => {
  const leaving = options(`
    const child = spawn("sleep", ["60"], { detached: true, stdio: ["ignore", "ignore", "ignore", 3] });
    appendFileSync(here + "/pids", child.pid + "\\n");
    setTimeout(() => process.exit(3), 20);
  `);
  const clock = {
    wallNow: () => 0,
    after: (milliseconds: number, fn: () => void) => {
      const waiting = milliseconds < 1_000 ? setImmediate(fn) : undefined;
      return () => clearImmediate(waiting);
    },
  };
  await assert.rejects(launchAgent(order(), { ...leaving, clock }), { message: /exit code 3/ });
});

test("an interruption ends the agent, after what it has to undo", async () => {
  const starting = options(`
    process.on("SIGTERM", () => setTimeout(() => { writeFileSync(here + "/undone", ""); process.exit(0); }, 20));
    say({ type: "step", text: "one", ms: 1 });
    stay();
  `);
  const launch = launchAgent(order(), { ...starting, onStep: () => interrupter.abort() });
  await assert.rejects(launch, { code: "agent/start-failed", message: /Interrupted/ });
  assert.ok(existsSync(join(directory, "undone")));
  assert.ok(!lives(agentPid()));
});

test("an agent that does not end when asked is killed", async () => {
  const stubborn = options(`
    process.on("SIGTERM", () => say({ type: "step", text: "no", ms: 2 }));
    say({ type: "step", text: "one", ms: 1 });
    stay();
  `);
  const onStep = ({ text }: LaunchStep): void => {
    if (text === "one") interrupter.abort();
    else for (const fire of [...timers]) fire();
  };
  await assert.rejects(launchAgent(order(), { ...stubborn, onStep }), { message: /Interrupted/ });
  assert.ok(!lives(agentPid()));
});

test("an interruption before the start starts nothing", async () => {
  interrupter.abort();
  await assert.rejects(launchAgent(order(), options("stay();")), { message: /Interrupted/ });
  assert.ok(!existsSync(join(directory, "pids")));
});

test("an agent that says nothing for 30 s is stopped, and told with its process number and log; each word gives it 30 s more", async () => {
  const waits: number[] = [];
  const clock = {
    wallNow: () => 0,
    after: (milliseconds: number, fn: () => void) => {
      waits.push(milliseconds);
      // Time passes at the second word's wait.
      const waiting = waits.length === 2 ? setImmediate(fn) : undefined;
      return () => clearImmediate(waiting);
    },
  };
  const silent = options('say({ type: "step", text: "one", ms: 1 }); stay();', { clock });
  const log = join(directory, "lab", "agent.log");
  mkdirSync(join(directory, "lab"));
  writeFileSync(log, "");
  await assert.rejects(launchAgent(order(), silent), (error: Error & { hint?: string }) => {
    assert.equal(error.message, `The agent, process ${agentPid()}, said nothing for 30 s while it was starting, and was stopped.`);
    assert.ok(error.hint?.includes(log));
    return true;
  });
  assert.deepEqual(waits.slice(0, 2), [30_000, 30_000]);
  assert.ok(!lives(agentPid()));
  waits.length = 1;
  rmSync(log);
  await assert.rejects(launchAgent(order(), options("stay();", { clock })), {
    hint: `It has written no log: can directories be made in ${directory}?`,
  });
});

test("an order that is carried out and done: by its end, or by the end after it said ready", async () => {
  const cleaning = order({ command: "clean" });
  await runAgent(cleaning, options('say({ type: "step", text: "removed mesh0", ms: 1 });'));
  assert.deepEqual(
    steps.map(({ text }) => text),
    ["removed mesh0"],
  );
  await runAgent(cleaning, options('say({ type: "ready", network: "lab", socket: "/s", ms: 2 });'));
  await assert.rejects(runAgent(cleaning, options('say({ type: "failed", error: { code: "host/not-root", message: "m" } });')), {
    code: "host/not-root",
  });
  await assert.rejects(runAgent(cleaning, options('throw new Error("no journal.");')), {
    code: "agent/start-failed",
    message: "The agent ended before it was done (exit code 1): Error: no journal.",
  });
});

for (const [what, words] of [
  ["words", "hello"],
  ["progress of no kind", '{"type":"dance"}'],
  ["half a message", '{"type":"ready"}'],
  ["a line without end", "x".repeat(70_000)],
] as const) {
  test(`an agent that says ${what} is stopped`, async () => {
    const script = `writeSync(3, ${JSON.stringify(words)}${words.length > 1_000 ? "" : ' + "\\n"'}); stay();`;
    await assert.rejects(launchAgent(order(), options(script)), { code: "agent/start-failed", message: /could not be read/ });
    assert.ok(!lives(agentPid()));
  });
}

test("when the command has ended the agent goes on, whatever it writes to its error output and its channel", async () => {
  const entry = write(`
    process.on("uncaughtException", (error) => { writeFileSync(here + "/broken", String(error)); process.exit(1); });
    say({ type: "ready", network: "lab", socket: "/s", ms: 1 });
    const wait = setInterval(() => {
      if (!readFileSync("/proc/self/status", "utf8").includes("PPid:\\t" + process.env.COMMAND_PID + "\\n")) {
        clearInterval(wait);
        console.error("a warning");
        console.log("a word");
        try { writeSync(3, "late"); } catch {}
        setTimeout(() => writeFileSync(here + "/goes-on", ""), 50);
        stay();
      }
    }, 5);
  `);
  const command = join(directory, "command.ts");
  writeFileSync(
    command,
    `
    import { launchAgent } from ${JSON.stringify(new URL("./launch.ts", import.meta.url).href)};
    const agent = await launchAgent({ command: "up", stateRoot: ${JSON.stringify(directory)}, network: "lab" }, {
      program: { runtime: process.execPath, entry: ${JSON.stringify(entry)} },
      env: { ...process.env, COMMAND_PID: String(process.pid) },
      clock: { wallNow: () => 0, after: (ms, fn) => { const timer = setTimeout(fn, ms); return () => clearTimeout(timer); } },
      foreground: false, onStep: () => {}, interrupted: new AbortController().signal,
    });
    agent.release();
  `,
  );
  const child = spawn(process.execPath, [command], { stdio: "ignore" });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(code, 0);
  while (!existsSync(join(directory, "goes-on"))) {
    assert.ok(!existsSync(join(directory, "broken")), "the agent broke");
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(lives(agentPid()));
});
