import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { renderService } from "../render/service.ts";
import type { CommandOutcome, Host } from "../surroundings.ts";
import { installService, removeService, type ServiceOptions } from "./service.ts";

let directory = "";
let ran: string[] = [];
let outcome: CommandOutcome = { code: 0, output: "" };

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "service-"));
  [ran, outcome] = [[], { code: 0, output: "" }];
  chmodSync(directory, 0o755);
  mkdirSync(join(directory, "mark"));
  mkdirSync(join(directory, "a checkout 100%"));
  for (const file of ["node", "main.ts"]) writeFileSync(join(directory, "a checkout 100%", file), "", { mode: 0o755 });
});

afterEach(() => rmSync(directory, { recursive: true }));

function options(changed: Partial<ServiceOptions> = {}): ServiceOptions {
  const host: Host = {
    command: join(directory, "a checkout 100%", "main.ts"),
    unitDirectory: join(directory, "system"),
    systemdMark: join(directory, "mark"),
    proc: "/proc",
    osRelease: "/etc/os-release",
    run: async (command, args) => {
      ran.push([command, ...args].join(" "));
      return outcome;
    },
  };
  const program = { runtime: join(directory, "a checkout 100%", "node"), entry: "unused" };
  return { network: "lab", stateRoot: "/var/lib/mesh", socket: join(directory, "lab.sock"), host, program, ...changed };
}

const unit = (): string => readFileSync(join(directory, "system", "mesh@.service"), "utf8");

function enabled(network: string): void {
  const wants = join(directory, "system", "multi-user.target.wants");
  mkdirSync(wants, { recursive: true });
  symlinkSync("../mesh@.service", join(wants, `mesh@${network}.service`));
}

test("install writes the unit, enables and starts the network's instance", async () => {
  const { changeable: _, ...view } = await installService(options());
  const file = join(directory, "system", "mesh@.service");
  assert.deepEqual(view, { version: 1, network: "lab", unit: "mesh@lab.service", file, outcome: "started" });
  assert.deepEqual(ran, ["systemctl daemon-reload", "systemctl enable --now mesh@lab.service"]);
  assert.equal(statSync(file).mode & 0o777, 0o644);
  const checkout = `${directory}/a checkout 100%%`;
  assert.ok(unit().includes(`\nExecStart="${checkout}/node" "${checkout}/main.ts" up --foreground --network %i\n`));
  assert.match(unit(), /^CapabilityBoundingSet=CAP_NET_ADMIN CAP_CHOWN CAP_NET_BIND_SERVICE$/m);
  await installService(options({ network: "home" }));
});

test("an agent that runs goes on: the unit is only enabled", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(directory, "lab.sock"), resolve));
  const { outcome } = await installService(options());
  await new Promise((resolve) => server.close(resolve));
  assert.deepEqual([outcome, ran.at(-1)], ["enabled", "systemctl enable mesh@lab.service"]);
});

test("another state directory is passed on and may be written to, and cannot be mixed with the default one", async () => {
  await installService(options({ stateRoot: "/srv/my mesh" }));
  assert.match(unit(), / up --foreground --state "\/srv\/my mesh" --network %i$/m);
  assert.match(unit(), /^ReadWritePaths="\/srv\/my mesh"$/m);
  await assert.rejects(installService(options()), { code: "usage/invalid", message: /for networks in another directory/ });
});

test("somebody else who could change what runs as root is said", {
  skip: process.getuid?.() !== 0 && "needs root, to give a file away",
}, async () => {
  const checkout = join(directory, "a checkout 100%");
  const { changeable } = await installService(options());
  assert.equal(changeable, undefined, "the test's own directory stands in a sticky one");
  chmodSync(join(checkout, "main.ts"), 0o775);
  assert.equal((await installService(options())).changeable, join(checkout, "main.ts"));
  chmodSync(join(checkout, "main.ts"), 0o755);
  chownSync(checkout, 1_000, 1_000);
  const view = await installService(options());
  assert.equal(view.changeable, checkout);
  assert.match(renderService(view), /^Caution: who may write to .*a checkout 100% becomes root/m);
});

test("a checkout that others may not enter adds the capability to read it", {
  skip: process.getuid?.() !== 0 && "needs root, to give a file away",
}, async () => {
  const checkout = join(directory, "a checkout 100%");
  chmodSync(checkout, 0o750);
  await installService(options());
  assert.ok(!unit().includes("CAP_DAC_READ_SEARCH"), "root's own");
  chownSync(checkout, 1_000, 1_000);
  await installService(options());
  assert.match(unit(), /^CapabilityBoundingSet=.* CAP_DAC_READ_SEARCH$/m);
  const open = (file: string): string => {
    mkdirSync(join(directory, "open"), { recursive: true });
    writeFileSync(join(directory, "open", file), "", { mode: 0o755 });
    return join(directory, "open", file);
  };
  const { host, program } = options();
  await installService(options({ host: { ...host, command: open("main.ts") } }));
  assert.match(unit(), / CAP_DAC_READ_SEARCH$/m, "the runtime is in there");
  await installService(options({ program: { ...program, runtime: open("node") } }));
  assert.match(unit(), / CAP_DAC_READ_SEARCH$/m, "the command is in there");
  await installService(options({ host: { ...host, command: open("main.ts") }, program: { ...program, runtime: open("node") } }));
  assert.ok(!unit().includes("CAP_DAC_READ_SEARCH"), "neither is");
});

test("remove stops and disables; the template goes with its last network; a second remove is fine", async () => {
  await installService(options());
  enabled("home");
  ran = [];
  assert.equal((await removeService(options())).outcome, "removed");
  assert.deepEqual(ran, ["systemctl disable --now mesh@lab.service", "systemctl daemon-reload"]);
  assert.ok(existsSync(join(directory, "system", "mesh@.service")));
  rmSync(join(directory, "system", "multi-user.target.wants"), { recursive: true });
  await removeService(options({ network: "home" }));
  assert.ok(!existsSync(join(directory, "system", "mesh@.service")));
  ran = [];
  await removeService(options());
  assert.deepEqual(ran, []);
});

test("no systemd, and a systemd that says no, are one sentence each", async () => {
  outcome = { code: 1, output: "Failed to enable unit: Access denied\nmore\n" };
  await assert.rejects(installService(options()), {
    code: "host/command-failed",
    message: "systemctl daemon-reload failed: Failed to enable unit: Access denied.",
  });
  outcome = { code: undefined, output: "" };
  await assert.rejects(installService(options()), { message: /could not be run/ });
  rmSync(join(directory, "mark"), { recursive: true });
  for (const act of [installService, removeService])
    await assert.rejects(act(options()), { code: "host/command-failed", message: /not run by systemd/, hint: /mesh up --foreground/ });
});

test("a user who may not write there is told so", { skip: process.getuid?.() !== 0 && "needs root, to become someone else" }, async () => {
  mkdirSync(join(directory, "system"));
  process.seteuid?.(65_534);
  try {
    await assert.rejects(installService(options()), { code: "host/not-root", hint: /sudo/ });
  } finally {
    process.seteuid?.(0);
  }
});

const analyze = spawnSync("systemd-analyze", ["--version"]).status === 0;
test("systemd-analyze finds nothing wrong with the unit", { skip: !analyze && "needs systemd-analyze" }, async () => {
  // Programs that can be run: verify looks whether they can.
  const { host, program } = options();
  const links = { runtime: join(directory, "a checkout 100%", "real node"), entry: program.entry };
  symlinkSync(process.execPath, links.runtime);
  for (const stateRoot of ["/var/lib/mesh", "/srv/my $HOME"]) {
    const unitDirectory = join(directory, stateRoot.replaceAll(/\W/g, "-"));
    const { file } = await installService(options({ host: { ...host, unitDirectory }, program: links, stateRoot }));
    const instance = file.replace("@", "@lab");
    symlinkSync(file, instance);
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", instance], { encoding: "utf8" });
    // What other units of this host lack is not this one's fault.
    const ours = (stdout + stderr).split("\n").filter((line) => line.includes("mesh@"));
    assert.deepEqual([status, ours], [0, []], stdout + stderr);
  }
});
