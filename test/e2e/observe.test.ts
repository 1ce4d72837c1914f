/** Watching real agents: events, metrics, the report, and what commands say of an agent that hangs. */
import assert from "node:assert/strict";
import { appendFile, readFile, stat } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import type { EventView } from "@mesh/core/api";
import { type MeshAgent, meshAgent, until, untilAllAlive } from "./lab/agent.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { exitOf } from "./lab/run-command.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const ROOT: string = join(import.meta.dirname, "../..");
const NETWORK = "lab";
const skip = labRefusal() ?? false;

async function meshOfTwo(lab: Lab): Promise<readonly [MeshAgent, MeshAgent]> {
  const [first, second] = ["host-a", "host-b"].map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
  assert.ok(first !== undefined && second !== undefined);
  await first.init(NETWORK);
  await second.join(await first.invite());
  await untilAllAlive([first, second]);
  return [first, second];
}

function socketOf({ stateDir }: MeshAgent): string {
  return join(stateDir, NETWORK, "api.sock");
}

/** The answer to one GET. A socket is a file: it is reached from outside the namespace too. */
async function get(agent: MeshAgent, path: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    request({ socketPath: socketOf(agent), path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve(text)).on("error", reject);
    })
      .on("error", reject)
      .end();
  });
}

/** `mesh status --watch` as a person starts it in a pipe. */
function watch(
  agent: MeshAgent,
  flags: readonly string[],
): { readonly text: () => string; readonly ended: Promise<number | null>; end(): void } {
  const env = { PATH: process.env["PATH"], HOME: process.env["HOME"], MESH_STATE: agent.stateDir };
  const child = agent.host.spawn(join(ROOT, "mesh"), ["status", "--watch", ...flags], { env });
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  return { text: () => text, ended: exitOf(child), end: () => child.kill("SIGINT") };
}

test("a peer that stops is an event in a moment, watchers end with 0 on Ctrl-C and with 4 with the agent", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b"]), async (lab) => {
    const [first, second] = await meshOfTwo(lab);
    const people = watch(first, []);
    const script = watch(first, ["--json"]);
    await until("both have the status", async () => (people.text().includes("health:") && script.text().includes("\n")) || "not yet");
    await second.down();
    await until(
      "the change is told",
      async () => /host-b: .*(?:suspect|failed|left|link down|gone)/.test(people.text()) || people.text(),
      30_000,
    );
    const events = script
      .text()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as EventView);
    assert.equal(events[0]?.type, "status");
    assert.ok(events.slice(1).some((event) => event.type.startsWith("peer-") && "name" in event && event.name === "host-b"));
    people.end();
    assert.equal(await people.ended, 0);
    await first.down();
    assert.equal(await script.ended, 4);
  });
});

test("metrics of a working agent", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b"]), async (lab) => {
    const [first] = await meshOfTwo(lab);
    const address = (await first.peers())[0]?.address4 ?? "";
    await until(
      "packets pass",
      async () => (await first.host.run("ping", ["-c", "2", "-i", "0.2", "-W", "1", address])).code === 0 || "no answer",
    );
    const text = await get(first, "/metrics");
    assert.match(text, /^mesh_peers\{state="alive"\} 1$/m);
    assert.match(text, /^mesh_peer_sent_bytes_total\{peer="host-b",node="[0-9a-f]{16}"\} [1-9]\d*$/m);
    assert.match(text, /^mesh_peer_session_age_seconds\{peer="host-b",.*\} \d/m);
    assert.match(text, /^mesh_process_resident_bytes [1-9]\d{7,}$/m);
    assert.match(text, /^mesh_info\{network="lab",node="host-a",.*backend="(native|twin)"\} 1$/m);
  });
});

test("a report holds what helps, and no key or invite that a log line or the state has", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b"]), async (lab) => {
    const [first] = await meshOfTwo(lab);
    const directory = join(first.stateDir, NETWORK);
    const invite = await first.invite();
    const keys = await Promise.all(["identity.key", "root.key"].map((file) => readFile(join(directory, file))));
    // Magic, version, name and length come before the 32 bytes, a digest of 32 behind them: store/document-frame.ts.
    const seeds = keys.map((file) => file.subarray(-64, -32));
    const spelt = seeds.flatMap((seed) => (["hex", "base64", "base64url"] as const).map((form) => seed.toString(form)));
    await appendFile(
      join(directory, "agent.log"),
      `${[...spelt, invite].map((secret) => JSON.stringify({ msg: "planted", reason: secret })).join("\n")}\n`,
    );
    for (const flags of [[], ["--redact"]]) {
      const file = join(lab.directory, `report-${flags.length}.txt`);
      const { code, stderr } = await first.mesh(["report", file, ...flags]);
      assert.equal(code, 0, stderr);
      const text = await readFile(file, "utf8");
      assert.equal((await stat(file)).mode & 0o777, 0o600);
      for (const secret of [...spelt, invite])
        assert.ok(!text.includes(secret.slice(0, 24)) && !text.includes(secret.slice(-24)), "a secret is in the report");
      assert.equal(text.match(/"msg":"planted"/g)?.length, 7);
      assert.match(text, /^mesh_links \d/m);
      assert.equal(text.includes("host-b"), flags.length === 0);
    }
  });
});

test("of an agent that hangs, commands tell process and log, and go on when it does", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b"]), async (lab) => {
    const [first] = await meshOfTwo(lab);
    const pid = first.pid() ?? assert.fail("no agent");
    process.kill(pid, "SIGSTOP");
    try {
      const { code, stderr } = await first.mesh(["status"]);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`The agent, process ${pid}, did not answer as it should: .* within 10 s: the process is stopped`));
      assert.ok(stderr.includes(`kill -CONT ${pid}`) && stderr.includes(join(first.stateDir, NETWORK, "agent.log")), stderr);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await until("it answers again", async () => (await first.mesh(["status"])).code !== 1 || "no answer");
  });
});
