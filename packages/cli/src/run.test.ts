import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { ErrorView, PingView, StatusView } from "@mesh/core/api";
import { type ExitCode, run } from "./run.ts";
import type { EndSignal, Surroundings } from "./surroundings.ts";

const NOW = Date.UTC(2026, 10, 23, 9, 30);

const status: StatusView = {
  version: 1,
  network: { name: "lab", id: "n", prefix4: "10.77.0.0/16", prefix6: "fd4e::/48" },
  self: {
    name: "a",
    id: "11".repeat(32),
    number: 1,
    role: "admin",
    holdsRoot: false,
    address4: "10.77.1.1",
    address6: "fd4e::1",
    subnet4: "10.77.1.0/24",
    subnet6: "fd4e:0:0:1::/64",
    seenAs: [],
    startedAt: NOW,
  },
  tunnel: { device: "mesh0", mtu: 1420, udpPort: 51_820, backend: "native" },
  control: { listen: [], links: 0 },
  peers: [],
  health: [],
  counters: {},
};

const pong: PingView = { node: "b", address: "10.77.2.1", answered: true, path: "direct 198.51.100.2:1", rttMs: 1, session: true };

type Answers = Readonly<Record<string, (body: string) => unknown>>;

let stateRoot = "";
let server: Server | undefined;
let endRequest: ((signal: EndSignal) => void) | undefined;

beforeEach(() => {
  stateRoot = mkdtempSync(join(tmpdir(), "run-"));
});

afterEach(async () => {
  await stopServing();
  const pids = join(stateRoot, "pids");
  if (existsSync(pids)) for (const pid of readFileSync(pids, "utf8").trim().split("\n")) endProcess(Number(pid));
  rmSync(stateRoot, { recursive: true });
});

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

function makeNetwork(name = "lab"): string {
  mkdirSync(join(stateRoot, name));
  writeFileSync(join(stateRoot, name, "node.state"), "");
  return join(stateRoot, name, "api.sock");
}

/** Pretends to be the agent of a new network; an answer that is an ErrorView has status 500. */
async function serve(answers: Answers): Promise<void> {
  const listening = createServer((request, response) => {
    let body = "";
    request.on("data", (text: Buffer) => {
      body += text.toString();
    });
    request.on("end", () => {
      const view = answers[request.url ?? ""]?.(body);
      response.statusCode = typeof view === "object" && view !== null && "error" in view ? 500 : 200;
      response.end(JSON.stringify(view));
    });
  });
  server = listening;
  const socket = makeNetwork();
  await new Promise<void>((resolve) => listening.listen(socket, resolve));
}

async function stopServing(): Promise<void> {
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
}

interface Ran {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds that were waited for. */
  readonly waits: readonly number[];
  readonly argumentsHidden: boolean;
}

async function mesh(line: string, changed: Partial<Surroundings> = {}, onOutput: (stdout: string) => void = () => {}): Promise<Ran> {
  const waits: number[] = [];
  let [stdout, stderr, argumentsHidden] = ["", "", false];
  const surroundings: Surroundings = {
    env: { MESH_STATE: stateRoot, HERE: stateRoot },
    directory: "/",
    stdout: {
      isTerminal: false,
      write: (text) => {
        stdout += text;
        onOutput(stdout);
      },
    },
    stderr: {
      isTerminal: false,
      write: (text) => {
        stderr += text;
      },
    },
    clock: {
      wallNow: () => NOW,
      after: (milliseconds, fn) => {
        waits.push(milliseconds);
        const waiting = milliseconds < 5_000 ? setImmediate(fn) : undefined;
        return () => clearImmediate(waiting);
      },
    },
    agent: { runtime: process.execPath, entry: join(stateRoot, "agent.mjs") },
    openInput: () => assert.fail("reads no input"),
    onEndRequest: (fn) => {
      endRequest = fn;
      return () => {
        endRequest = undefined;
      };
    },
    hideArguments: () => {
      argumentsHidden = true;
    },
    ...changed,
  };
  const code = await run(line.split(" "), surroundings);
  return { code, stdout, stderr, waits, argumentsHidden };
}

test("status: exit code 0 when all is well or a warning, 3 with an error", async () => {
  let health: StatusView["health"] = [];
  await serve({ "/v1/status": () => ({ ...status, health }) });
  const fine = await mesh("status");
  assert.equal(fine.code, 0);
  assert.match(fine.stdout, /^lab .*health: all is well\n$/s);
  assert.equal(fine.stderr, "");
  health = [{ level: "warning", text: "w" }];
  assert.equal((await mesh("status")).code, 0);
  health = [...health, { level: "error", text: "e" }];
  assert.equal((await mesh("status")).code, 3);
  const json = await mesh("status --json");
  assert.equal(json.code, 3);
  assert.deepEqual(JSON.parse(json.stdout), { ...status, health });
});

test("peers and routes print their part, as text and as data", async () => {
  await serve({ "/v1/status": () => status, "/v1/routes": () => ({ version: 1, routes: [] }) });
  assert.match((await mesh("peers")).stdout, /^NODE .*\na .*this node/);
  assert.deepEqual(JSON.parse((await mesh("peers --json")).stdout), { version: 1, self: status.self, peers: [] });
  assert.match((await mesh("routes")).stdout, /^PREFIX /);
  assert.deepEqual(JSON.parse((await mesh("routes --json")).stdout), { version: 1, routes: [] });
});

test("invite: its line alone on standard output, all words elsewhere", async () => {
  let asked = "";
  const view = { invite: "mesh1abc", expiresAt: NOW + 3_600_000, uses: 5, reachableAt: ["198.51.100.1:4100"] };
  await serve({
    "/v1/invite": (body) => {
      asked = body;
      return view;
    },
  });
  const { code, stdout, stderr } = await mesh("invite --uses 5 --ttl 1h");
  assert.deepEqual([code, stdout, JSON.parse(asked)], [0, "mesh1abc\n", { uses: 5, ttlSeconds: 3_600 }]);
  assert.ok(stderr.includes("5 nodes") && !stderr.includes("mesh1abc"));
  const json = await mesh("invite --json");
  assert.deepEqual([JSON.parse(json.stdout), json.stderr, asked], [view, "", "{}"]);
});

test("ping: a line for each probe as it comes, the time between them, 3 when none was answered", async () => {
  let answered = true;
  let asked = 0;
  await serve({
    "/v1/ping": (body) => {
      assert.equal(body, '{"target":"b"}');
      asked++;
      return { ...pong, answered };
    },
  });
  const seen: number[] = [];
  const fine = await mesh("ping b --count 2 --interval 70ms", {}, () => seen.push(asked));
  assert.deepEqual([fine.code, fine.waits, seen.slice(0, 2)], [0, [70], [1, 2]]);
  assert.equal(fine.stdout.split("\n").length, 4);
  answered = false;
  assert.equal((await mesh("ping b --count 1")).code, 3);
  const json = await mesh("ping b --count 2 --json");
  assert.equal(json.code, 3);
  const unanswered = { ...pong, answered };
  assert.deepEqual(JSON.parse(json.stdout), { version: 1, sent: 2, answered: 0, pings: [unanswered, unanswered] });
});

test("down: asks once and waits until nobody serves the socket", async () => {
  let asked = 0;
  await serve({
    "/v1/down": () => {
      asked++;
      setImmediate(() => setImmediate(() => void stopServing()));
      return {};
    },
  });
  const { code, stdout } = await mesh("down");
  assert.deepEqual([code, stdout, asked], [0, "The agent of lab is stopped.\n", 1]);
  assert.equal((await mesh("down")).code, 4);
});

test("down: an agent that stays is an error after 10 s", async () => {
  await serve({ "/v1/down": () => ({}) });
  const { code, stderr, waits } = await mesh("down");
  assert.equal(code, 1);
  assert.match(stderr, /did not stop within 10 s/);
  assert.equal(
    waits.reduce((sum, wait) => sum + wait, 0),
    10_000,
  );
});

test("errors: what and what to do on standard error, or the view on standard output", async () => {
  const text = await mesh("status");
  assert.deepEqual([text.code, text.stdout], [1, ""]);
  assert.match(text.stderr, /^mesh: This host is in no network yet: there is none in .+\.\n {6}Make one with/);
  const json = await mesh("status --json");
  assert.deepEqual([json.code, json.stderr], [1, ""]);
  const { error }: ErrorView = JSON.parse(json.stdout);
  assert.deepEqual([error.code, error.details], ["state/missing", { directory: stateRoot }]);
});

test("errors: 2 for a wrong line, 4 for no agent, 1 for what the agent says", async () => {
  assert.equal((await mesh("sttaus")).code, 2);
  assert.equal((await mesh("sttaus --json")).code, 2);
  await serve({ "/v1/ping": () => ({ error: { code: "peer/unknown", message: "There is no node b.", hint: "See mesh peers." } }) });
  const unknown = await mesh("ping b");
  assert.deepEqual([unknown.code, unknown.stderr], [1, "mesh: There is no node b.\n      See mesh peers.\n"]);
  await stopServing();
  const down = await mesh("status");
  assert.deepEqual([down.code, down.stderr], [4, "mesh: The agent of this network is not running.\n      Start it with: mesh up\n"]);
});

test("help and version need no network", async () => {
  assert.match((await mesh("help")).stdout, /mesh join <invite>/);
  assert.match((await mesh("join --help")).stdout, /other users.*\n.*standard input/);
  assert.match((await mesh("--version")).stdout, /^mesh \d+\.\d+\.\d+\n$/);
});

test("colour only on a terminal, and not against NO_COLOR", async () => {
  await serve({ "/v1/status": () => status });
  let text = "";
  const write = (more: string): void => {
    text += more;
  };
  const terminal = { isTerminal: true, write };
  await mesh("status", { stdout: terminal });
  assert.ok(text.includes("\x1b["));
  text = "";
  await mesh("status", { stdout: terminal, env: { MESH_STATE: stateRoot, NO_COLOR: "1" } });
  assert.ok(text.length > 0 && !text.includes("\x1b"));
});

/** An agent that serves one status, says ready, and notes orders and signals. */
function writeAgent(): void {
  const script = `
import { appendFileSync, mkdirSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
const here = process.env.HERE;
appendFileSync(here + "/pids", process.pid + "\\n");
const order = readFileSync(0, "utf8");
appendFileSync(here + "/orders", order);
const network = JSON.parse(order).network ?? "joined";
mkdirSync(here + "/" + network, { recursive: true });
appendFileSync(here + "/" + network + "/node.state", "");
const socket = here + "/" + network + "/api.sock";
const status = ${JSON.stringify(status)};
status.network.name = network;
const say = (progress) => writeSync(3, JSON.stringify(progress) + "\\n");
process.on("SIGTERM", () => { appendFileSync(here + "/signals", "SIGTERM\\n"); process.exit(0); });
process.on("SIGINT", () => { appendFileSync(here + "/signals", "SIGINT\\n"); process.exit(5); });
say({ type: "step", text: "made a key", ms: 30 });
createServer((request, response) => response.end(JSON.stringify(status))).listen(socket, () => say({ type: "ready", network, socket, ms: 60 }));
`;
  writeFileSync(join(stateRoot, "agent.mjs"), script);
}

function orders(): readonly unknown[] {
  return readFileSync(join(stateRoot, "orders"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("init shows progress, the network, the own address and what comes next, and leaves the agent", async () => {
  writeAgent();
  const { code, stdout, stderr, argumentsHidden } = await mesh("init office --cidr 10.77.0.0/16 --udp-port 5");
  assert.deepEqual([code, stderr, argumentsHidden], [0, "  0.0 s  made a key\n", false]);
  assert.match(stdout, /^Network office is made, 10\.77\.0\.0\/16\. This node is a, 10\.77\.1\.1 .*mesh invite/s);
  assert.deepEqual(orders(), [{ command: "init", stateRoot, network: "office", udpPort: 5, cidr: "10.77.0.0/16" }]);
  assert.ok(!process.getActiveResourcesInfo().includes("ProcessWrap"), "this process would wait for the agent");
  assert.equal((await mesh("status")).code, 0);
});

test("up finds its network and prints the status as data", async () => {
  writeAgent();
  makeNetwork("only");
  const { code, stdout, stderr } = await mesh("up --json");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(JSON.parse(stdout).network.name, "only");
  assert.deepEqual(orders(), [{ command: "up", stateRoot, network: "only" }]);
});

test("up without a network starts nothing", async () => {
  writeAgent();
  assert.equal((await mesh("up")).code, 1);
  assert.ok(!existsSync(join(stateRoot, "pids")));
});

for (const given of ["as argument", "on standard input"]) {
  test(`join takes the invite ${given}, hides it and never prints it`, async () => {
    writeAgent();
    const invite = "mesh1secret";
    const openInput = (): ReturnType<Surroundings["openInput"]> => ({
      isTerminal: true,
      async *[Symbol.asyncIterator]() {
        yield `${invite}\n`;
      },
    });
    const typed = given === "as argument";
    const { code, stdout, stderr, argumentsHidden } = await (typed ? mesh(`join ${invite}`) : mesh("join -", { openInput }));
    assert.deepEqual([code, argumentsHidden], [0, true]);
    assert.ok(!(stdout + stderr).includes(invite));
    assert.equal(stderr.startsWith("Paste the invite"), !typed);
    assert.match(stdout, /^Network joined is joined/);
    assert.deepEqual(orders(), [{ command: "join", stateRoot, invite }]);
  });
}

test("an interruption while starting stops the agent and says so", async () => {
  writeAgent();
  let words = "";
  const stderr = {
    isTerminal: false,
    write: (text: string) => {
      words += text;
      endRequest?.("SIGINT");
    },
  };
  const { code } = await mesh("init", { stderr });
  assert.equal(code, 1);
  assert.match(words, /mesh: Interrupted: the agent was stopped/);
  assert.equal(readFileSync(join(stateRoot, "signals"), "utf8"), "SIGTERM\n");
  assert.equal(endRequest, undefined);
});

test("in the foreground the command stays, passes the request to end on once, and ends as the agent ends", async () => {
  for (const [signal, expected] of [
    ["SIGTERM", 0],
    ["SIGINT", 1],
  ] as const) {
    writeAgent();
    const { code } = await mesh("init --foreground", {}, () => setImmediate(() => endRequest?.(signal)));
    assert.equal(code, expected);
    assert.equal(readFileSync(join(stateRoot, "signals"), "utf8"), `${signal}\n`);
    rmSync(join(stateRoot, "signals"));
    rmSync(join(stateRoot, "home"), { recursive: true });
  }
});
