import assert from "node:assert/strict";
import { type ChildProcessByStdio, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { describe, type TestContext, test } from "node:test";
import { DATAPATH_COUNTERS, type DatapathCounter } from "@mesh/core/ports";
import { openDatapath } from "@mesh/datapath";
import { eventually } from "../../packages/datapath/src/suite/eventually.ts";
import { App, ip, OUR_V4, PEER_V4, Rig } from "../../packages/datapath/src/suite/rig.ts";
import { assertSame, runScenarios } from "./twin/compare-engines.ts";
import type { StepTranscript } from "./twin/transcript.ts";
import { twoHosts } from "./twin/two-hosts.ts";

const IN_OWN_NAMESPACE = "MESH_TEST_OWN_NAMESPACE";
/** One seed instead of all. */
const ONE_SEED = process.env["MESH_COMPARE_SEED"];
const SEEDS = ONE_SEED === undefined ? Array.from({ length: 20 }, (_, i) => i + 1) : [Number(ONE_SEED)];
const EVENTS = 500;

// As datapath.test.ts: in a network namespace that ends with its process.
if (process.getuid?.() !== 0) {
  test("the twin", { skip: "needs root, to make a network namespace and a TUN device" }, () => {});
} else if (process.env[IN_OWN_NAMESPACE] === undefined) {
  const command = 'ip link set lo up && exec "$0" "$@"';
  const self = [process.execPath, ...process.execArgv, import.meta.filename];
  const env = { ...process.env, [IN_OWN_NAMESPACE]: "1" };
  const { status } = spawnSync("unshare", ["--net", "sh", "-c", command, ...self], { stdio: "inherit", env });
  process.exit(status ?? 1);
} else {
  describe("native and twin, packet by packet", comparison);
  describe("a host with the twin and one with the native engine", () => twoHosts("twin", "native"));
  describe("the relay that holds the device", relay);
  describe("which engine is opened", choice);
}

function comparison(): void {
  const options = { seeds: SEEDS, events: EVENTS };
  const both = Promise.all([runScenarios("native", options), runScenarios("twin", options)]);
  both.catch(() => {}); // every test says so
  for (const seed of SEEDS) {
    test(`the same bytes, exceptions and counters, seed ${seed}`, async () => {
      const [native, twin] = await both;
      try {
        assertSame(native.get(seed) ?? [], twin.get(seed) ?? []);
      } catch (error) {
        const command = `MESH_COMPARE_SEED=${seed} npx -y pnpm@10.34.9 exec node --test test/e2e/twin.test.ts`;
        throw new Error(`${error instanceof Error ? error.message : String(error)}\n\nrepeat: ${command}`, { cause: error });
      }
    });
  }
  test("all that can happen has happened", { skip: ONE_SEED === undefined ? false : "one seed does not show everything" }, async () => {
    const [native] = await both;
    const ends = [...native.values()].flatMap((steps) => steps.at(-1) ?? []);
    // A matter of time, or of a device that is down: the suite's.
    const elsewhere: ReadonlySet<DatapathCounter> = new Set([
      "tunWriteErrors",
      "exceptionsLost",
      "handshakeCookieSent",
      "sourceOverBudget",
    ]);
    for (const counter of DATAPATH_COUNTERS) {
      const total = ends.reduce((sum, { counters }) => sum + counters[counter], 0);
      assert.equal(total > 0, !elsewhere.has(counter), `${counter}: ${total}`);
    }
    const count = (of: (step: StepTranscript) => number): number => [...native.values()].flat().reduce((sum, step) => sum + of(step), 0);
    assert.ok(count(({ datagrams }) => datagrams.flat().length) > 1_000);
    assert.ok(count(({ delivered }) => delivered.length) > 500);
    assert.ok(count(({ handedOver }) => handedOver.length) > 200);
    assert.ok(count(({ confirmed }) => confirmed.length) > 50);
    assert.ok(count(({ wanted }) => wanted.length) > 20);
  });
}

const TUN_NAME = "meshtwin9";

function relay(): void {
  for (const signal of ["SIGKILL", "SIGTERM", "SIGINT"] as const) {
    test(`when its owner ends by ${signal}, device and relay are gone`, async (t) => {
      const owner = await startOwner(t);
      assert.match(ip("-o", "link"), new RegExp(TUN_NAME));
      const pid = relayOf(TUN_NAME);
      assert.ok(pid !== undefined);
      owner.kill(signal);
      await once(owner, "exit");
      await eventually("the relay is gone", () => relayOf(TUN_NAME) === undefined);
      assert.doesNotMatch(ip("-o", "link"), new RegExp(TUN_NAME));
    });
  }

  test("a signal for the whole group leaves the ending to its owner", async (t) => {
    const owner = await startOwner(t);
    const pid = relayOf(TUN_NAME);
    assert.ok(pid !== undefined);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE"] as const) process.kill(pid, signal);
    owner.stdin.write("are you well?\n");
    assert.equal(String(await once(owner.stdout, "data")), "well\n");
    assert.equal(relayOf(TUN_NAME), pid);
  });

  test("a relay that is killed is an engine that failed", async (t) => {
    const rig = await Rig.open(t, openTwin);
    process.kill(relayOf(rig.path.info.tunName) ?? 0, "SIGKILL");
    await eventually("the engine fails", () => rig.all("engine-failed").length === 1);
    assert.deepEqual(rig.all("engine-failed"), [{ type: "engine-failed", reason: "TUN device: SIGKILL" }]);
    await rig.path.close();
  });

  test("what a relay that stands still cannot take is dropped and counted, and memory is bounded", async (t) => {
    const rig = await Rig.open(t, openTwin);
    const app = await App.open(t, OUR_V4);
    const session = rig.install(0, "initiator");
    const pid = relayOf(rig.path.info.tunName) ?? 0;
    process.kill(pid, "SIGSTOP");
    const total = 6_000; // of 1,400 B: four times what may wait
    const text = "x".repeat(1_372);
    const before = process.memoryUsage().external + process.memoryUsage().arrayBuffers;
    for (let i = 0; i < total; i++) await rig.send(session.seal(app.packetFrom(PEER_V4, text)));
    await eventually("all are received", () => rig.path.readTraffic(0).receivedPackets === total);
    const { tunWriteErrors } = rig.path.readCounters();
    assert.ok(tunWriteErrors > total / 2, `${tunWriteErrors} of ${total} were dropped`);
    const waits = process.memoryUsage().external + process.memoryUsage().arrayBuffers - before;
    assert.ok(waits < 60_000_000, `${waits} B wait`);
    process.kill(pid, "SIGCONT");
    const size = app.packetFrom(PEER_V4, text).length;
    await eventually("what waited is delivered", () => rig.deliveredBytes() === (total - tunWriteErrors) * size);
    assert.equal(rig.path.readCounters().tunWriteErrors, tunWriteErrors);
  });

  test("a burst that comes while its owner does something else leaves when that is done", async (t) => {
    const rig = await Rig.open(t, openTwin);
    const session = rig.install(0, "initiator");
    const burst = 200;
    // From another process, because this one is busy.
    const program = `const s = require("dgram").createSocket("udp4"); let n = 0;
      for (let i = 0; i < ${burst}; i++) s.send(Buffer.alloc(100, i), 7, "${PEER_V4}", () => ++n === ${burst} && s.close());`;
    spawnSync(process.execPath, ["-e", program]);
    for (let i = 0; i < burst; i++) assert.equal((await rig.nextPacket(session)).payload[0], i);
  });
}

function choice(): void {
  test("without a built engine it is the twin; asked for, the native one is refused in words", (t) => {
    const packages = packagesWithoutEngine(t);
    const program = `
      import { uptime } from "node:os";
      import { bootTime, openDatapath } from ${JSON.stringify(join(packages, "datapath/src/index.ts"))};
      const options = { tunName: "meshtwin8", mtu: 1420, udpPort: 0, onExceptions() {} };
      const path = openDatapath(options);
      const at = bootTime();
      const facts = { backend: path.info.backend, apart: Math.abs(at - uptime() * 1000), step: path.now() - at };
      await path.close();
      try { openDatapath({ ...options, backend: "native" }); } catch (error) { facts.code = error.code; facts.hint = error.hint; }
      console.log(JSON.stringify(facts));`;
    const { backend, apart, step, code, hint } = JSON.parse(run(program)) as Record<string, string & number>;
    assert.equal(backend, "twin");
    assert.ok(Number(apart) < 100 && Number(step) >= 0 && Number(step) < 100, `${apart} ${step}`);
    assert.equal(code, "datapath/unavailable");
    assert.match(String(hint), /build\.mjs/);
  });

  test("with it, it is the native one, unless the twin is asked for", async (t) => {
    const options = { tunName: "meshtwin8", mtu: 1420, udpPort: 0, onExceptions: () => {} };
    for (const [backend, expected] of [[undefined, "native"] as const, ["native", "native"] as const, ["twin", "twin"] as const]) {
      const path = openDatapath({ ...options, ...(backend !== undefined && { backend }) });
      t.after(() => path.close());
      assert.equal(path.info.backend, expected);
      await path.close();
    }
  });

  test("without perl the twin says what to install, and keeps no port", () => {
    const program = `
      import { openDatapath } from "@mesh/datapath";
      try { openDatapath({ tunName: "meshtwin8", mtu: 1420, udpPort: 0, onExceptions() {}, backend: "twin" }); }
      catch ({ code, hint }) { console.log(JSON.stringify({ code, hint })); }`;
    const { code, hint } = JSON.parse(run(program, { PATH: "/nonexistent" })) as Record<string, string>;
    assert.equal(code, "datapath/unavailable");
    assert.match(hint ?? "", /g\+\+/);
    assert.match(hint ?? "", /perl/);
  });

  test("without root it says so", () => {
    const program = `
      import { openDatapath } from "@mesh/datapath";
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      try { openDatapath({ tunName: "meshtwin8", mtu: 1420, udpPort: 0, onExceptions() {}, backend: "twin" }); }
      catch ({ code, message }) { console.log(JSON.stringify({ code, message })); }`;
    const { code, message } = JSON.parse(run(program)) as Record<string, string>;
    assert.equal(code, "host/not-root", message);
  });
}

function openTwin(options: Parameters<typeof openDatapath>[0]): ReturnType<typeof openDatapath> {
  return openDatapath({ ...options, backend: "twin" });
}

/** A process with a twin that answers a line with "well". */
async function startOwner(t: TestContext): Promise<ChildProcessByStdio<Writable, Readable, null>> {
  const program = `
    import { openDatapath } from "@mesh/datapath";
    openDatapath({ tunName: "${TUN_NAME}", mtu: 1420, udpPort: 0, onExceptions: (batch) => console.log(batch), backend: "twin" });
    console.log("open");
    process.stdin.on("data", () => console.log("well"));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["pipe", "pipe", "inherit"],
    cwd: import.meta.dirname,
  });
  t.after(async () => {
    child.kill("SIGKILL");
    await eventually("its relay is gone", () => relayOf(TUN_NAME) === undefined);
  });
  assert.equal(String(await once(child.stdout, "data")), "open\n");
  return child;
}

/** The process that holds the device, by its arguments. */
function relayOf(device: string): number | undefined {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const found = pids.find((pid) => {
    const [command, script, name] = argumentsOf(pid);
    return command === "perl" && script?.endsWith("tun-relay.pl") === true && name === device;
  });
  return found === undefined ? undefined : Number(found);
}

function argumentsOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it has ended
  }
}

/** The datapath's package with one source edited, so that no engine is built of it; core as it is. */
function packagesWithoutEngine(t: TestContext): string {
  const packages = mkdtempSync(join(tmpdir(), "mesh-twin-test-"));
  t.after(() => rmSync(packages, { recursive: true, force: true }));
  const original = join(import.meta.dirname, "../../packages");
  for (const name of ["src", "native", "build.mjs", "package.json"])
    cpSync(join(original, "datapath", name), join(packages, "datapath", name), { recursive: true });
  mkdirSync(join(packages, "datapath/node_modules/@mesh"), { recursive: true });
  symlinkSync(join(original, "core"), join(packages, "datapath/node_modules/@mesh/core"));
  appendFileSync(join(packages, "datapath/native/engine/limits.h"), "\n");
  return packages;
}

/** What a program says. */
function run(program: string, env: Readonly<Record<string, string>> = {}): string {
  return execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    cwd: import.meta.dirname,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
}
