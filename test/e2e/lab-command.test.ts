import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { assertGone } from "./lab/assert-gone.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { labRefusal, openLab, reopenLab } from "./lab/lab.ts";
import { readRecords, removeLab, sweepLabs } from "./lab/lab-record.ts";
import { NAMED_INTERNETS, planNamed } from "./lab/named-internets.ts";
import { type CommandResult, runCommand } from "./lab/run-command.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const COMMAND: string = join(import.meta.dirname, "lab/command.ts");
const skip: string | false =
  (labRefusal() ?? compilerRefusal()) ||
  (findCommand("nft") === undefined && "nft is missing: apt-get install nftables") ||
  (isSomebodysUp() && "somebody's lab is up: pnpm lab down");

test("pnpm lab: an internet comes up, is entered, cut, healed and slowed by later commands, and goes", { skip }, async (t) => {
  await refused(["shell", "laptop-a"], /^no lab is up: pnpm lab up <demo\|lan\|/);
  await refused(["down"], /^no lab is up$/);
  t.after(() => {
    for (const record of kept()) removeLab(record);
  });
  const up = await lab(["up", "demo"]);
  assert.equal(up.code, 0, up.stderr);
  assert.match(up.stdout, /host laptop-a +behind gw-home-a +192\.168\.1\.10\n/);
  const [record] = kept();
  assert.ok(record !== undefined);
  assert.ok(!sweepLabs().includes(record.id), "its maker has ended, and it stays");
  const relay = reopenLab(record).host("relay-1").address4;
  const pings = async (): Promise<boolean> => (await lab(["shell", "laptop-a", "--", "ping", "-c", "1", "-W", "1", relay])).code === 0;

  assert.ok(await pings());
  const typed = await lab(["shell", "laptop-b"], "ip -br address show eth0; echo $MESH_STATE; command -v mesh; exit 7");
  assert.equal(typed.code, 7, typed.stderr);
  assert.match(typed.stdout, /192\.168\.2\.11\/24 .*\n.*state-laptop-b\n.*\/mesh\n/);

  assert.equal((await lab(["cut", "home-a"])).code, 0);
  assert.equal(await pings(), false);
  assert.match((await lab(["list"])).stdout, /link home-a .*cut {2}delay=5ms\n/);
  assert.equal((await lab(["heal", "home-a"])).code, 0);
  assert.equal((await lab(["cut", "laptop-a", "unplugged"])).code, 0);
  assert.match((await lab(["list"])).stdout, /link laptop-a .*cut\n/);
  assert.equal((await lab(["heal", "laptop-a"])).code, 0);
  assert.ok(await pings());

  const wire = await lab(["wire", "home-b", "back", "delay=80ms", "loss=2%"]);
  assert.match(wire.stdout, /^there +delay=5ms; .*\nback +delay=80ms loss=2%; \d+ frames/);
  const took = /time=([\d.]+)/.exec((await lab(["shell", "laptop-b", "ping", "-c", "4", "-W", "1", relay])).stdout)?.[1];
  assert.ok(Number(took) >= 95, `5 + 5 + 5 + 80 ms, and ${took} ms were seen`);

  await refused(["up", "lan"], /^a lab is up already, demo: /);
  await refused(["shell", "nobody"], /^no node nobody in this lab, only /);
  await refused(["cut", "nothing"], /^no link nothing in this lab, only /);
  await refused(["wire", "laptop-a", "delay=1"], /^laptop-a is a plain link/);
  await refused(["wire", "home-a", "loss=200%"], /^loss is 2, and must be from 0 to 1$/);
  await refused(["wire", "home-a", "speed=3"], /^a wire does not know speed=3; it knows /);

  const second = await openLab(routedCore(["host-a"]), { name: "second" });
  second.keep("second");
  await refused(["heal", "home-a"], /^two labs are up, /);
  const down = await lab(["down"]);
  assert.equal(down.code, 0, down.stderr);
  assertGone(record);
  assertGone(second);
});

test("a kept lab whose namespaces are gone is swept, as after a reboot", { skip }, async () => {
  const lost = await openLab(routedCore(["host-a"]), { name: "lost" });
  lost.keep("lost");
  assert.ok(!sweepLabs().includes(lost.id));
  for (const name of ["host-a", "core"]) await runCommand("ip", ["netns", "delete", lost.host(name).namespace]);
  assert.ok(sweepLabs().includes(lost.id));
  assertGone(lost);
});

for (const name of Object.keys(NAMED_INTERNETS)) {
  test(`topology ${name}: every host reaches the public node`, { skip }, async (t) => {
    const internet = planNamed(name);
    assert.ok(internet !== undefined);
    await withLab(t, internet.topology, async (built) => {
      for (const host of internet.homes.keys()) {
        const { code } = await built.host(host).run("ping", ["-n", "-c", "1", "-W", "2", built.host("relay-1").address4]);
        assert.equal(code, 0, host);
      }
    });
  });
}

const MISUSES: readonly (readonly string[])[] = [
  [],
  ["fly"],
  ["up"],
  ["up", "demo", "lan"],
  ["list", "all"],
  ["cut"],
  ["wire"],
  ["shell"],
  ["heal", "a", "b"],
];

for (const words of MISUSES) {
  test(`pnpm lab ${words.join(" ")}: one line says how it is used`, async () => {
    const { code, stderr } = await lab(words);
    assert.equal(code, 2);
    assert.match(stderr, /^usage: pnpm lab up .*\n$/);
  });
}

test("pnpm lab up with an unknown topology names those that there are", async () => {
  await refused(["up", "constructor"], /^there is no topology constructor, only demo, lan, cgn, double, v6$/);
});

function isSomebodysUp(): boolean {
  sweepLabs();
  return kept().length > 0;
}

function kept(): ReturnType<typeof readRecords> {
  return readRecords().filter((record) => record.kept !== undefined);
}

function lab(words: readonly string[], input = ""): Promise<CommandResult> {
  return runCommand(process.execPath, [COMMAND, ...words], { input, timeout: 60_000 });
}

/** With one line, as `pattern` says. */
async function refused(words: readonly string[], pattern: RegExp): Promise<void> {
  const { code, stderr } = await lab(words);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^[^\n]+\n$/);
  assert.match(stderr.trimEnd(), pattern);
}
