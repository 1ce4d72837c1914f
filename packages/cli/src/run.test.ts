import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { ErrorView, NetcheckView, PingView, StatusView, WhyView } from "@mesh/core/api";
import { netcheck, why } from "./render/path-views-fixture.ts";
import { CommandBench, NOW, status } from "./run-fixture.ts";
import type { Surroundings } from "./surroundings.ts";

const pong: PingView = { node: "b", address: "10.77.2.1", answered: true, path: "direct 198.51.100.2:1", rttMs: 1, session: true };

let bench: CommandBench;

beforeEach(() => {
  bench = new CommandBench();
});

afterEach(async () => await bench.close());

test("status: exit code 0 when all is well or a warning, 3 with an error", async () => {
  let health: StatusView["health"] = [];
  await bench.serve({ "/v1/status": () => ({ ...status, health }) });
  const fine = await bench.mesh("status");
  assert.equal(fine.code, 0);
  assert.match(fine.stdout, /^lab .*health: all is well\n$/s);
  assert.equal(fine.stderr, "");
  health = [{ level: "warning", text: "w" }];
  assert.equal((await bench.mesh("status")).code, 0);
  health = [...health, { level: "error", text: "e" }];
  assert.equal((await bench.mesh("status")).code, 3);
  const json = await bench.mesh("status --json");
  assert.equal(json.code, 3);
  assert.deepEqual(JSON.parse(json.stdout), { ...status, health });
});

test("peers and routes print their part, as text and as data", async () => {
  await bench.serve({ "/v1/status": () => status, "/v1/routes": () => ({ version: 1, routes: [] }) });
  assert.match((await bench.mesh("peers")).stdout, /^NODE .*\na .*this node/);
  assert.deepEqual(JSON.parse((await bench.mesh("peers --json")).stdout), { version: 1, self: status.self, peers: [] });
  assert.match((await bench.mesh("routes")).stdout, /^PREFIX /);
  assert.deepEqual(JSON.parse((await bench.mesh("routes --json")).stdout), { version: 1, routes: [] });
});

test("invite: its line alone on standard output, all words elsewhere", async () => {
  let asked = "";
  const view = { invite: "mesh1abc", expiresAt: NOW + 3_600_000, uses: 5, reachableAt: ["198.51.100.1:4100"] };
  await bench.serve({
    "/v1/invite": (body) => {
      asked = body;
      return view;
    },
  });
  const { code, stdout, stderr } = await bench.mesh("invite --uses 5 --ttl 1h");
  assert.deepEqual([code, stdout, JSON.parse(asked)], [0, "mesh1abc\n", { uses: 5, ttlSeconds: 3_600 }]);
  assert.ok(stderr.includes("5 nodes") && !stderr.includes("mesh1abc"));
  const json = await bench.mesh("invite --json");
  assert.deepEqual([JSON.parse(json.stdout), json.stderr, asked], [view, "", "{}"]);
});

test("ping: a line for each probe as it comes, the time between them, 3 when none was answered", async () => {
  let answered = true;
  let asked = 0;
  await bench.serve({
    "/v1/ping": (body) => {
      assert.equal(body, '{"target":"b"}');
      asked++;
      return { ...pong, answered };
    },
  });
  const seen: number[] = [];
  const fine = await bench.mesh("ping b --count 2 --interval 70ms", {}, () => seen.push(asked));
  assert.deepEqual([fine.code, fine.waits, seen.slice(0, 2)], [0, [70], [1, 2]]);
  assert.equal(fine.stdout.split("\n").length, 4);
  answered = false;
  assert.equal((await bench.mesh("ping b --count 1")).code, 3);
  const json = await bench.mesh("ping b --count 2 --json");
  assert.equal(json.code, 3);
  const unanswered = { ...pong, answered };
  assert.deepEqual(JSON.parse(json.stdout), { version: 1, sent: 2, answered: 0, pings: [unanswered, unanswered] });
});

test("ping --until-direct: ends with the first probe that went straight; 3 when none did", async () => {
  const relayed: PingView = { ...pong, path: "relayed by c", relay: "c" };
  const straight: PingView = { ...pong, endpoint: "198.51.100.2:1" };
  let views: PingView[] = [];
  await bench.serve({ "/v1/ping": () => views.shift() ?? relayed });
  views = [relayed, { ...straight, answered: false }, straight, straight];
  const found = await bench.mesh("ping b --until-direct --interval 70ms");
  assert.deepEqual([found.code, found.waits, views.length], [0, [70, 70], 1]);
  assert.match(found.stdout, /^b \(10\.77\.2\.1\): relayed by c in 1\.0 ms\n/);
  assert.match(found.stdout, /\nDirect from probe 3 on, after 0\.0 s\n$/);
  views = [];
  const never = await bench.mesh("ping b --until-direct --count 2");
  assert.equal(never.code, 3);
  assert.match(never.stdout, /\nNo direct path after 2 probes\. See why: mesh why b\n$/);
  views = [relayed, straight, straight];
  const json = await bench.mesh("ping b --count 3 --json");
  assert.deepEqual([json.code, JSON.parse(json.stdout).direct, JSON.parse(json.stdout).sent], [0, { probe: 2, afterMs: 0 }, 3]);
});

test("why: asks for what was typed; 3 where there is no path", async () => {
  let asked = "";
  let kind: WhyView["path"]["kind"] = "relay";
  await bench.serve({
    "/v1/why": (body) => {
      asked = body;
      return { ...why, path: { ...why.path, kind } };
    },
  });
  const fine = await bench.mesh("why 10.77.3.0/24");
  assert.deepEqual([fine.code, asked], [0, '{"target":"10.77.3.0/24"}']);
  assert.match(fine.stdout, /^laptop-c {2}10\.77\.3\.0\/24/);
  kind = "none";
  const json = await bench.mesh("why laptop-c --json");
  assert.deepEqual([json.code, JSON.parse(json.stdout)], [3, { ...why, path: { ...why.path, kind } }]);
});

test("netcheck: 3 when nobody answers by UDP, or with an error in the health", async () => {
  let view: NetcheckView = netcheck;
  await bench.serve({ "/v1/netcheck": () => view });
  const fine = await bench.mesh("netcheck");
  assert.equal(fine.code, 0);
  assert.match(fine.stdout, /^udp /);
  assert.deepEqual(JSON.parse((await bench.mesh("netcheck --json")).stdout), netcheck);
  view = { ...netcheck, udp: { state: "unknown", answeredBy: 0 } };
  assert.equal((await bench.mesh("netcheck")).code, 0);
  view = { ...netcheck, udp: { state: "silent", answeredBy: 0 } };
  assert.equal((await bench.mesh("netcheck")).code, 3);
  view = { ...netcheck, health: [{ level: "error", text: "e" }] };
  assert.equal((await bench.mesh("netcheck")).code, 3);
});

test("down: asks once and waits until nobody serves the socket", async () => {
  let asked = 0;
  await bench.serve({
    "/v1/down": () => {
      asked++;
      setImmediate(() => setImmediate(() => void bench.stopServing()));
      return {};
    },
  });
  const { code, stdout } = await bench.mesh("down");
  assert.deepEqual([code, stdout, asked], [0, "The agent of lab is stopped.\n", 1]);
  assert.equal((await bench.mesh("down")).code, 4);
});

test("down: an agent that stays is an error after 30 s", async () => {
  await bench.serve({ "/v1/down": () => ({}) });
  const { code, stderr, waits } = await bench.mesh("down");
  assert.equal(code, 1);
  assert.match(stderr, /did not stop within 30 s/);
  assert.equal(
    waits.reduce((sum, wait) => sum + wait, 0),
    30_000,
  );
});

test("errors: what and what to do on standard error, or the view on standard output", async () => {
  const text = await bench.mesh("status");
  assert.deepEqual([text.code, text.stdout], [1, ""]);
  assert.match(text.stderr, /^mesh: This host is in no network yet: there is none in .+\.\n {6}Make one with/);
  const json = await bench.mesh("status --json");
  assert.deepEqual([json.code, json.stderr], [1, ""]);
  const { error }: ErrorView = JSON.parse(json.stdout);
  assert.deepEqual([error.code, error.details], ["state/missing", { directory: bench.stateRoot }]);
});

test("errors: 2 for a wrong line, 4 for no agent, 1 for what the agent says", async () => {
  assert.equal((await bench.mesh("sttaus")).code, 2);
  assert.equal((await bench.mesh("sttaus --json")).code, 2);
  await bench.serve({ "/v1/ping": () => ({ error: { code: "peer/unknown", message: "There is no node b.", hint: "See mesh peers." } }) });
  const unknown = await bench.mesh("ping b");
  assert.deepEqual([unknown.code, unknown.stderr], [1, "mesh: There is no node b.\n      See mesh peers.\n"]);
  await bench.stopServing();
  const down = await bench.mesh("status");
  assert.deepEqual([down.code, down.stderr], [4, "mesh: The agent of this network is not running.\n      Start it with: mesh up\n"]);
});

test("help and version need no network", async () => {
  assert.match((await bench.mesh("help")).stdout, /mesh join <invite>/);
  assert.match((await bench.mesh("join --help")).stdout, /other users.*\n.*standard input/);
  assert.match((await bench.mesh("--version")).stdout, /^mesh \d+\.\d+\.\d+\n$/);
});

test("colour only on a terminal, and not against NO_COLOR", async () => {
  await bench.serve({ "/v1/status": () => status });
  let text = "";
  const write = (more: string): void => {
    text += more;
  };
  const terminal = { isTerminal: true, write };
  await bench.mesh("status", { stdout: terminal });
  assert.ok(text.includes("\x1b["));
  text = "";
  await bench.mesh("status", { stdout: terminal, env: { MESH_STATE: bench.stateRoot, NO_COLOR: "1" } });
  assert.ok(text.length > 0 && !text.includes("\x1b"));
});

test("init shows progress, the network, the own address and what comes next, and leaves the agent", async () => {
  bench.writeAgent();
  const { code, stdout, stderr, argumentsHidden } = await bench.mesh("init office --cidr 10.77.0.0/16 --udp-port 5");
  assert.deepEqual([code, stderr, argumentsHidden], [0, "  0.0 s  made a key\n", false]);
  assert.match(stdout, /^Network office is made, 10\.77\.0\.0\/16\. This node is a, 10\.77\.1\.1 .*mesh invite/s);
  assert.deepEqual(bench.orders(), [{ command: "init", stateRoot: bench.stateRoot, network: "office", udpPort: 5, cidr: "10.77.0.0/16" }]);
  assert.ok(!process.getActiveResourcesInfo().includes("ProcessWrap"), "this process would wait for the agent");
  assert.equal((await bench.mesh("status")).code, 0);
});

test("up finds its network and prints the status as data", async () => {
  bench.writeAgent();
  bench.makeNetwork("only");
  const { code, stdout, stderr } = await bench.mesh("up --json");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(JSON.parse(stdout).network.name, "only");
  assert.deepEqual(bench.orders(), [{ command: "up", stateRoot: bench.stateRoot, network: "only" }]);
});

test("up without a network starts nothing", async () => {
  bench.writeAgent();
  assert.equal((await bench.mesh("up")).code, 1);
  assert.ok(!existsSync(join(bench.stateRoot, "pids")));
});

for (const given of ["as argument", "on standard input"]) {
  test(`join takes the invite ${given}, hides it and never prints it`, async () => {
    bench.writeAgent();
    const invite = "mesh1secret";
    const openInput = (): ReturnType<Surroundings["openInput"]> => ({
      isTerminal: true,
      async *[Symbol.asyncIterator]() {
        yield `${invite}\n`;
      },
    });
    const typed = given === "as argument";
    const { code, stdout, stderr, argumentsHidden } = await (typed ? bench.mesh(`join ${invite}`) : bench.mesh("join -", { openInput }));
    assert.deepEqual([code, argumentsHidden], [0, true]);
    assert.ok(!(stdout + stderr).includes(invite));
    assert.equal(stderr.startsWith("Paste the invite"), !typed);
    assert.match(stdout, /^Network joined is joined/);
    assert.deepEqual(bench.orders(), [{ command: "join", stateRoot: bench.stateRoot, invite }]);
  });
}

test("an interruption while starting stops the agent and says so", async () => {
  bench.writeAgent();
  let words = "";
  const stderr = {
    isTerminal: false,
    write: (text: string) => {
      words += text;
      bench.endRequest?.("SIGINT");
    },
  };
  const { code } = await bench.mesh("init", { stderr });
  assert.equal(code, 1);
  assert.match(words, /mesh: Interrupted: the agent was stopped/);
  assert.equal(readFileSync(join(bench.stateRoot, "signals"), "utf8"), "SIGTERM\n");
  assert.equal(bench.endRequest, undefined);
});

test("in the foreground the command stays, passes the request to end on once, and ends as the agent ends", async () => {
  for (const [signal, expected] of [
    ["SIGTERM", 0],
    ["SIGINT", 1],
  ] as const) {
    bench.writeAgent();
    const { code } = await bench.mesh("init --foreground", {}, () => setImmediate(() => bench.endRequest?.(signal)));
    assert.equal(code, expected);
    assert.equal(readFileSync(join(bench.stateRoot, "signals"), "utf8"), `${signal}\n`);
    rmSync(join(bench.stateRoot, "signals"));
    rmSync(join(bench.stateRoot, "home"), { recursive: true });
  }
});
