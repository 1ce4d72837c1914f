/**
 * The unit that `mesh service install` writes, without systemd: its command line is run with exactly its capabilities, with
 * no new privileges, and where nothing can be written but what it may write; from a checkout whose path has spaces.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { renderUnit } from "../../packages/cli/src/unit-file.ts";
import { findCommand } from "../prepare-host.ts";
import { type MeshAgent, meshAgent, until } from "./lab/agent.ts";
import { type Lab, type LabHost, labRefusal } from "./lab/lab.ts";
import { exitOf } from "./lab/run-command.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const ROOT: string = join(import.meta.dirname, "../..");
const NETWORK = "lab-1";
const skip = labRefusal() ?? (findCommand("setpriv") === undefined ? "setpriv is missing: apt-get install util-linux" : false);

/** Bits of linux/capability.h. */
const CAPABILITY_BITS: Readonly<Record<string, number>> = { CAP_CHOWN: 0, CAP_NET_BIND_SERVICE: 10, CAP_NET_ADMIN: 12 };

interface UnitUnderTest {
  readonly words: readonly string[];
  readonly capabilities: readonly string[];
  /** Directories that it may write to. */
  readonly writable: readonly string[];
  readonly environment: readonly string[];
}

/** What systemd would read in the unit of this lab. */
function unitOf(lab: Lab, checkout: string): UnitUnderTest {
  const runtime = join(checkout, process.execPath.slice(ROOT.length));
  const command = join(checkout, "packages/cli/src/main.ts");
  const text = renderUnit({ runtime, command, stateRoot: join(lab.directory, "host-a"), isHidden: false });
  const lineOf = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1] ?? assert.fail(`no ${key} in the unit`);
  assert.equal(lineOf("NoNewPrivileges"), "yes");
  assert.equal(lineOf("ProtectSystem"), "strict");
  const unquoted = (line: string): readonly string[] =>
    [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) =>
      (quoted ?? plain ?? "").replaceAll("%i", NETWORK).replaceAll("%%", "%"),
    );
  // What systemd makes for it, under directories of the lab's own instead of /run and /var/cache.
  const [runtimes, caches] = [join(lab.directory, "run"), join(lab.directory, "cache")];
  assert.deepEqual([lineOf("RuntimeDirectory"), lineOf("CacheDirectory")], ["mesh", "mesh"]);
  return {
    words: unquoted(lineOf("ExecStart")),
    capabilities: lineOf("CapabilityBoundingSet").split(" "),
    writable: [...unquoted(lineOf("ReadWritePaths")), join(runtimes, "mesh"), join(caches, "mesh")],
    environment: lineOf("Environment").replaceAll("%t", runtimes).replaceAll("%C", caches).split(" "),
  };
}

/** As the unit says, in the host's namespace: `ip netns exec` gives the command a view of the mounts of its own. */
function runUnit(
  host: LabHost,
  checkout: string,
  { words, capabilities, writable, environment }: UnitUnderTest,
): ReturnType<LabHost["spawn"]> {
  const script = [
    "set -e",
    'mount --bind "$ROOT" "$CHECKOUT"',
    ...writable.map((path) => `mkdir -p "${path}" && mount --bind "${path}" "${path}"`),
    'mount -o remount,bind,ro "$CHECKOUT"',
    "mount -o remount,bind,ro /",
    'if [ -w "$CHECKOUT" ] || [ -w / ]; then echo "not read-only" >&2; exit 9; fi',
    'exec setpriv --bounding-set "$SET" --no-new-privs "$@"',
  ].join("\n");
  const set = ["-all", ...capabilities.map((name) => `+${name.replace("CAP_", "").toLowerCase()}`)].join(",");
  const env = {
    PATH: process.env["PATH"],
    ROOT,
    CHECKOUT: checkout,
    SET: set,
    ...Object.fromEntries(environment.map((entry) => entry.split("="))),
  };
  return host.spawn("sh", ["-c", script, "sh", ...words], { env });
}

/** A network of two, whose first node is down and has its checkout at a place with spaces. */
async function stoppedMesh(lab: Lab): Promise<{ readonly first: MeshAgent; readonly second: MeshAgent; readonly checkout: string }> {
  const [first, second] = ["host-a", "host-b"].map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
  assert.ok(first !== undefined && second !== undefined);
  await first.init(NETWORK);
  await second.join(await first.invite());
  await first.down();
  const checkout = join(lab.directory, "a checkout, 100%");
  await mkdir(checkout);
  return { first, second, checkout };
}

test("the agent runs with exactly the unit's rights, carries traffic, and undoes its changes when systemd ends it", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b"]), async (lab) => {
    const { first, second, checkout } = await stoppedMesh(lab);
    const before = await hostState(first.host);
    const unit = unitOf(lab, checkout);
    const service = runUnit(first.host, checkout, unit);
    const said: string[] = [];
    service.stderr?.on("data", (chunk: Buffer) => said.push(chunk.toString()));
    const ended = exitOf(service);
    await until("the agent serves", async () => (await first.mesh(["status"])).code !== 4 || said.join(""), 30_000);

    const pid = first.pid() ?? assert.fail("no agent");
    const facts = readFileSync(`/proc/${pid}/status`, "utf8");
    const mask = unit.capabilities.reduce((sum, name) => sum + 2 ** (CAPABILITY_BITS[name] ?? assert.fail(name)), 0);
    for (const set of ["CapBnd", "CapEff"])
      assert.equal(Number.parseInt(new RegExp(`${set}:\\s*(\\w+)`).exec(facts)?.[1] ?? "", 16), mask, set);
    assert.match(facts, /NoNewPrivs:\s*1/);
    assert.ok((await readFile(`/proc/${pid}/cmdline`, "utf8")).includes("packages/agent/src/main.ts"));

    const target = (await first.peers())[0]?.address4 ?? assert.fail("no peer");
    await until(
      "packets pass",
      async () => (await first.host.run("ping", ["-c", "1", "-W", "1", target])).code === 0 || "no answer",
      20_000,
    );
    await until("both ways", async () => ((await second.peers())[0]?.state === "alive" ? true : "not alive"));

    service.kill("SIGTERM");
    assert.equal(await ended, 0, said.join(""));
    assert.equal(first.pid(), undefined);
    assert.equal(await hostState(first.host), before);
  });
});

test("without the right to administer the network the agent ends with one sentence and leaves nothing", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a", "host-b"]), async (lab) => {
    const { first, checkout } = await stoppedMesh(lab);
    const before = await hostState(first.host);
    const unit = unitOf(lab, checkout);
    const service = runUnit(first.host, checkout, { ...unit, capabilities: unit.capabilities.filter((name) => name !== "CAP_NET_ADMIN") });
    const said: string[] = [];
    service.stderr?.on("data", (chunk: Buffer) => said.push(chunk.toString()));
    assert.equal(await exitOf(service), 1);
    assert.match(said.join(""), /^mesh: .*[Rr]oot is needed/m);
    assert.equal(first.pid(), undefined);
    assert.equal(await hostState(first.host), before);
  });
});

async function hostState(host: LabHost): Promise<string> {
  const commands = [
    ["ip", "-br", "addr"],
    ["ip", "-4", "route"],
    ["ip", "-6", "route"],
    ["ip", "rule"],
    ["nft", "list", "ruleset"],
  ] as const;
  const parts = await Promise.all(commands.map(([command, ...args]) => host.run(command, args)));
  return parts.map(({ stdout }) => stdout).join("");
}
