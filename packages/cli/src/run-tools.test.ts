import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { EventView, StatusView } from "@mesh/core/api";
import { CommandBench, NOW, status } from "./run-fixture.ts";
import type { Input, Surroundings } from "./surroundings.ts";

Object.assign(process.env, { TZ: "UTC" });

let bench: CommandBench;

beforeEach(() => {
  bench = new CommandBench();
});

afterEach(async () => await bench.close());

function typed(text: string, isTerminal = true): () => Input {
  return () => ({
    isTerminal,
    async *[Symbol.asyncIterator]() {
      yield text;
    },
  });
}

/** An agent that goes when it was asked to leave, and notes what it was asked. */
async function serveLeaving(asked: string[]): Promise<void> {
  await bench.serve({
    "/v1/leave": (body) => {
      asked.push(body);
      setImmediate(() => setImmediate(() => void bench.stopServing()));
      return { network: "lab", told: 2 };
    },
  });
}

test("leave asks on a terminal, says what was done, and waits until the agent is gone", async () => {
  const asked: string[] = [];
  await serveLeaving(asked);
  const no = await bench.mesh("leave", { openInput: typed("n\n") });
  assert.deepEqual([no.code, no.stdout, asked.length], [1, "", 0]);
  assert.match(no.stderr, /\[y\/N\] Nothing was done\.\n$/);
  const ended = await bench.mesh("leave", { openInput: typed("") });
  assert.deepEqual([ended.code, asked.length], [1, 0]);
  const yes = await bench.mesh("leave", { openInput: typed("y\n") });
  assert.equal(yes.code, 0);
  assert.match(yes.stdout, /^This node has left lab\. 2 members were told/);
  assert.deepEqual(asked, ["{}"]);
  assert.equal((await bench.mesh("leave --yes")).code, 4);
});

test("leave asks nobody with --yes, and does nothing without it where nobody can answer", async () => {
  const asked: string[] = [];
  await serveLeaving(asked);
  const json = await bench.mesh("leave --yes --force --json");
  assert.deepEqual([json.code, JSON.parse(json.stdout), asked], [0, { version: 1, network: "lab", told: 2 }, ['{"force":true}']]);
  await serveLeaving(asked);
  const piped = await bench.mesh("leave", { openInput: typed("y\n", false) });
  assert.deepEqual([piped.code, piped.stdout, asked.length], [2, "", 1]);
  assert.match(piped.stderr, /--yes/);
});

test("leave of a node that holds the root key is refused in the agent's words, and one that stays is told", async () => {
  const error = { code: "leave/holds-root", message: "This node holds the only copy of the root key.", hint: "Add --force." };
  await bench.serve({ "/v1/leave": () => ({ error }) });
  const refused = await bench.mesh("leave --yes");
  assert.deepEqual([refused.code, refused.stderr], [1, "mesh: This node holds the only copy of the root key.\n      Add --force.\n"]);
  await bench.stopServing();
  await bench.serve({ "/v1/leave": () => ({ network: "lab", told: 0 }) });
  const stays = await bench.mesh("leave --yes");
  assert.equal(stays.code, 1);
  assert.match(
    stays.stderr,
    new RegExp(`The agent, process ${process.pid}, was asked to stop, but it did not stop within 30 s\\.\n.*agent\\.log`),
  );
});

test("clean lets an agent undo what is left, and refuses while one runs", async () => {
  bench.makeNetwork();
  bench.writeAgent();
  const cleaned = await bench.mesh("clean --log-level debug");
  assert.deepEqual([cleaned.code, cleaned.stdout], [0, "Nothing of lab is left on this host now.\n"]);
  assert.equal(cleaned.stderr, "  0.0 s  removed mesh0\n");
  assert.deepEqual(bench.orders(), [{ command: "clean", stateRoot: bench.stateRoot, network: "lab", logLevel: "debug" }]);
  const json = await bench.mesh("clean --json");
  assert.deepEqual([json.stderr, JSON.parse(json.stdout)], ["", { version: 1, network: "lab", steps: ["removed mesh0"] }]);

  await bench.serve({});
  const running = await bench.mesh("clean");
  assert.deepEqual([running.code, bench.orders().length], [1, 2]);
  assert.match(running.stderr, /^mesh: The agent of lab is running.*\n.*mesh down/);
});

test("clean without a network starts nothing", async () => {
  bench.writeAgent();
  assert.equal((await bench.mesh("clean")).code, 1);
  assert.ok(!existsSync(join(bench.stateRoot, "pids")));
});

test("service installs and removes by the words given, as text and as data", async () => {
  bench.makeNetwork();
  writeFileSync(join(bench.stateRoot, "agent.mjs"), "");
  const installed = await bench.mesh("service install");
  assert.deepEqual([installed.code, installed.stderr], [0, ""]);
  assert.match(installed.stdout, /^systemd runs lab now, and at every boot, as mesh@lab\.service/);
  assert.deepEqual(bench.hostCommands, ["systemctl daemon-reload", "systemctl enable --now mesh@lab.service"]);
  const file = join(bench.stateRoot, "units", "mesh@.service");
  const removed = await bench.mesh("service remove --json");
  assert.deepEqual(JSON.parse(removed.stdout), { version: 1, network: "lab", unit: "mesh@lab.service", file, outcome: "removed" });
  const none = await bench.mesh("service install", { host: { ...hostOf(), systemdMark: "/nowhere" } });
  assert.deepEqual([none.code, none.stdout], [1, ""]);
  assert.match(none.stderr, /^mesh: This host is not run by systemd/);
});

function hostOf(): Surroundings["host"] {
  return {
    command: "x",
    unitDirectory: join(bench.stateRoot, "units"),
    systemdMark: bench.stateRoot,
    proc: "/proc",
    osRelease: "/etc/os-release",
    run: async () => bench.hostOutcome,
  };
}

test("completion prints the script, or it as data", async () => {
  const { stdout } = await bench.mesh("completion bash");
  assert.match(stdout, /^# bash completion for mesh\n/);
  assert.deepEqual(JSON.parse((await bench.mesh("completion bash --json")).stdout), { version: 1, shell: "bash", script: stdout });
});

const seed = createHash("sha256").update("seed").digest();
const root = createHash("sha256").update("root").digest();
const invite = `mesh1${Buffer.concat([seed, root]).toString("base64url")}`;
const peer: StatusView["peers"][number] = {
  name: "laptop-b",
  id: createHash("sha256").update("public").digest("hex"),
  number: 2,
  role: "member",
  address4: "10.77.2.1",
  address6: "fd4e::2",
  subnet4: "10.77.2.0/24",
  subnet6: "fd4e::/64",
  state: "alive",
  path: "direct 198.51.100.9:5",
  receivedBytes: 0,
  sentBytes: 0,
  linked: true,
};

/** A network whose log and state are full of what must not get out. */
async function serveSecrets(): Promise<void> {
  await bench.serve({
    "/v1/status": () => ({ ...status, peers: [peer] }),
    "/v1/routes": () => ({ version: 1, routes: [] }),
    "/metrics": () => 'mesh_peers{state="alive"} 1\nmesh_x{peer="laptop-b"} 5\n',
  });
  const directory = join(bench.stateRoot, "lab");
  writeFileSync(join(directory, "identity.key"), Buffer.concat([Buffer.from("meshdoc\0"), seed, Buffer.alloc(32, 7)]));
  writeFileSync(join(directory, "root.key"), Buffer.concat([Buffer.from("meshdoc\0"), root, Buffer.alloc(32, 7)]));
  const secrets = [seed, root].flatMap((key) => (["hex", "base64", "base64url"] as const).map((form) => key.toString(form)));
  const entries = secrets.map((secret, i) =>
    JSON.stringify({ level: "info", msg: `line ${i}`, reason: `it said ${secret}, to laptop-b at 198.51.100.9` }),
  );
  const many = Array.from({ length: 600 }, (_, i) => JSON.stringify({ level: "info", msg: `older ${i}` }));
  writeFileSync(join(directory, "agent.log.1"), `${many.join("\n")}\n`);
  writeFileSync(
    join(directory, "agent.log"),
    `${[...entries, JSON.stringify({ msg: invite }), `Error: bad key ${secrets[0]}`].join("\n")}\n`,
  );
}

function assertNoSecrets(text: string): void {
  for (const key of [seed, root])
    for (const form of ["hex", "base64", "base64url"] as const) {
      const spelt = key.toString(form);
      for (let i = 0; i + 16 <= spelt.length; i++) assert.ok(!text.includes(spelt.slice(i, i + 16)), `${form} from ${i}`);
    }
  assert.ok(!text.includes(invite.slice(0, 15)) && !text.includes(invite.slice(-15)), "invite");
}

test("report: everything in one file of 0600, and no secret that stood in the log or in the state", async () => {
  await serveSecrets();
  bench.hostOutcome = { code: 0, output: "ActiveState=active\n" };
  const { code, stdout } = await bench.mesh("report");
  assert.equal(code, 0);
  const file = join(bench.stateRoot, "mesh-report-lab-20261123T093000.txt");
  assert.ok(stdout.startsWith(`${file} is written. No keys are in it.`));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, "utf8");
  assertNoSecrets(text);
  for (const part of [
    "version  ",
    "kernel   ",
    "ActiveState=active",
    "identity.key",
    `"id": "${peer.id}"`,
    '"routes": []',
    'mesh_peers{state="alive"} 1',
    "==== /proc/net/udp\n",
    "==== log\n",
    "198.51.100.9",
    "laptop-b",
  ])
    assert.ok(text.includes(part), part);
  const log = text.slice(text.indexOf("==== log\n")).trimEnd().split("\n").slice(1);
  assert.deepEqual([log.length, JSON.parse(log[0] ?? "").msg], [500, "older 108"]);

  const again = await bench.mesh("report");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /could not be written to .*: it exists already\.\n.*mesh report <file>/);
});

test("report --redact: neither public addresses nor names, each with its word, and the file that was named", async () => {
  await serveSecrets();
  const json = await bench.mesh("report out.txt --redact --json");
  const file = join(bench.stateRoot, "out.txt");
  const text = readFileSync(file, "utf8");
  assert.deepEqual(JSON.parse(json.stdout), { version: 1, network: "lab", file, bytes: Buffer.byteLength(text), redacted: true });
  assertNoSecrets(text);
  assert.doesNotMatch(text, /198\.51\.100\.9|laptop-b|\blab\b|==== \/proc\/net\/(?:udp|route)/);
  assert.match(text, /"path": "direct public-address-1:5"/);
  assert.match(text, /to node-2 at public-address-1/);
  assert.match(text, /mesh_x\{peer="node-2"\} 5/);
  assert.match(text, /==== \/proc\/net\/snmp\n/);
});

test("report --redact of an agent that does not run knows the names from its log", async () => {
  bench.makeNetwork();
  writeFileSync(join(bench.stateRoot, "lab", "agent.log"), '{"level":"info","name":"laptop-b","msg":"control link up"}\nto laptop-b\n');
  assert.equal((await bench.mesh("report r.txt --redact")).code, 0);
  const text = readFileSync(join(bench.stateRoot, "r.txt"), "utf8");
  assert.match(text, /"name":"node-1"/);
  assert.doesNotMatch(text, /laptop-b/);
});

test("report of an agent that does not run says so in its place, and is written all the same", async () => {
  bench.makeNetwork();
  bench.hostOutcome = { code: undefined, output: "" };
  assert.equal((await bench.mesh("report r.txt")).code, 0);
  const text = readFileSync(join(bench.stateRoot, "r.txt"), "utf8");
  assert.match(text, /==== status\nagent\/not-running: /);
  assert.match(text, /==== unit\nsystemd does not run this host/);
  assert.match(text, /==== log\nThere is none/);
  mkdirSync(join(bench.stateRoot, "empty"));
  assert.equal((await bench.mesh("report /nowhere/r.txt")).code, 1);
  assert.deepEqual(readdirSync(join(bench.stateRoot, "empty")), []);
});

const begin: EventView = { version: 1, at: NOW, type: "status", status };
const change: EventView = { version: 1, at: NOW, type: "peer-state", name: "b", id: "bb", from: "alive", to: "failed" };

/** Serves events; what is written to `stream` later comes later. */
async function serveEvents(onListener: (stream: ServerResponse) => void): Promise<void> {
  await bench.serve({
    "/v1/status": () => ({ ...status, counters: { asked: 1 } }),
    "/v1/events": (_, stream) => {
      stream.write(`${JSON.stringify(begin)}\n`);
      onListener(stream);
      return undefined;
    },
  });
}

test("status --watch writes the status and a line for each change, and ends with 0 when it is told to", async () => {
  await serveEvents((stream) => {
    const line = `${JSON.stringify(change)}\n`;
    stream.write(`{"version":1,"at":1,"type":"of-a-newer-agent"}\n${line.slice(0, 30)}`);
    setImmediate(() => stream.write(line.slice(30)));
  });
  const { code, stdout, stderr } = await bench.mesh("status --watch", {}, (text) => {
    if (text.includes("failed")) bench.endRequest?.("SIGINT");
  });
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^lab .*health: all is well\n\n09:30:00 {2}b: alive → failed\n$/s);
  assert.equal(bench.endRequest, undefined);
});

test("status --watch --json writes the events as they are, and 4 is the code when the agent ends", async () => {
  await serveEvents((stream) => stream.end(`${JSON.stringify(change)}\n`));
  const { code, stdout } = await bench.mesh("status --watch --json");
  assert.equal(code, 4);
  const [first, second, ...rest] = stdout.split("\n");
  assert.deepEqual([JSON.parse(first ?? ""), JSON.parse(second ?? "")], [begin, change]);
  assert.equal(JSON.parse(rest.join("\n")).error.code, "agent/not-running");
});

test("status --watch: a killed agent is an ended one, and one that cannot give events is said to", async () => {
  await serveEvents((stream) => {
    stream.write('{"version":1,"at"');
    setImmediate(() => stream.destroy());
  });
  const killed = await bench.mesh("status --watch");
  assert.equal(killed.code, 4);
  assert.match(killed.stderr, /^mesh: The agent has ended\.\n/);
  await bench.stopServing();
  await bench.serve({ "/v1/events": () => ({ error: { code: "agent/failed", message: "16 clients follow the events already." } }) });
  const full = await bench.mesh("status --watch");
  assert.deepEqual([full.code, full.stdout], [1, ""]);
});

test("status --watch on a terminal draws in place, and anew with what the agent says after a change", async () => {
  await serveEvents((stream) => setImmediate(() => stream.write(`${JSON.stringify(change)}\n`)));
  let text = "";
  let draws = 0;
  const terminal = {
    isTerminal: true,
    rows: 4,
    write: (more: string) => {
      text += more;
      draws++;
      if (draws === 2) bench.endRequest?.("SIGINT");
    },
  };
  const { code, waits } = await bench.mesh("status --watch", { stdout: terminal, env: { MESH_STATE: bench.stateRoot, NO_COLOR: "1" } });
  assert.equal(code, 0);
  assert.equal(text.split("\x1b[H").length, 3);
  assert.match(text, /and \d+ more lines/);
  assert.ok(waits.includes(2_000));
});
