import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { assertGone } from "./lab/assert-gone.ts";
import type { Lab } from "./lab/lab.ts";
import { labRefusal, openLab } from "./lab/lab.ts";
import { listNamespaces, namespacePrefix, readRecords, sweepLabs } from "./lab/lab-record.ts";
import { runCommand } from "./lab/run-command.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const skip: string | false = labRefusal() ?? (findCommand("ping") === undefined && "ping is missing: apt-get install iputils-ping");
const skipCut: string | false = skip || (findCommand("nft") === undefined && "nft is missing: apt-get install nftables");
const HOSTS = ["host-a", "host-b", "host-c"];

test("each host reaches each other through the router, by IPv4 and IPv6, with the first packet", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    for (const from of HOSTS) {
      for (const to of HOSTS.filter((name) => name !== from)) {
        assert.ok(await pings(lab, from, lab.host(to).address4), `${from} → ${to} by IPv4`);
        assert.ok(await pings(lab, from, lab.host(to).address6), `${from} → ${to} by IPv6`);
      }
    }
    const trace = await lab.host("host-a").run("ping", ["-n", "-c", "1", "-t", "1", "-W", "2", lab.host("host-b").address4]);
    assert.match(trace.stdout, /From 198\.18\.1\.1 .*Time to live exceeded/);
  });
});

test("a silent cut drops packets and keeps the device up; healing restores both families", { skip: skipCut }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const target = lab.host("host-b");
    await lab.cut("host-a");
    assert.equal(await pings(lab, "host-a", target.address4), false);
    assert.equal(await pings(lab, "host-a", target.address6), false);
    assert.ok(await pings(lab, "host-c", target.address4), "the other links are whole");
    assert.match(await shown(lab, "host-a", ["link", "show", "eth0"]), /LOWER_UP/);
    await lab.heal("host-a");
    assert.ok(await pings(lab, "host-a", target.address4));
    assert.ok(await pings(lab, "host-a", target.address6));
  });
});

test("an unplugged link loses its carrier; plugged in again it is as it was", { skip: skipCut }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const before = await shown(lab, "host-a", ["route"]);
    await lab.cut("host-a", "unplugged");
    assert.match(await shown(lab, "host-a", ["link", "show", "eth0"]), /NO-CARRIER/);
    assert.equal(await pings(lab, "host-a", lab.host("host-b").address4), false);
    await lab.heal("host-a");
    assert.ok(await pings(lab, "host-a", lab.host("host-b").address4));
    assert.ok(await pings(lab, "host-a", lab.host("host-b").address6));
    assert.equal(await shown(lab, "host-a", ["route"]), before);
  });
});

test("a capture holds the packets of its link", {
  skip: skip || (findCommand("tcpdump") === undefined && "tcpdump is missing"),
}, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const capture = await lab.capture("host-a");
    assert.ok(capture !== undefined);
    assert.ok(await pings(lab, "host-a", lab.host("host-b").address4));
    await capture.stop();
    const { stdout } = await runCommand("tcpdump", ["-n", "-r", capture.file]);
    assert.match(stdout, /198\.18\.1\.2 > 198\.18\.2\.2: ICMP echo request/);
  });
});

test("a closed lab leaves no namespace, process or file, even when a process ignores SIGTERM", { skip }, async () => {
  const lab = await openLab(routedCore(HOSTS), { name: "close" });
  const stubborn = lab.host("host-a").spawn("sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
  await new Promise((resolve) => stubborn.stdout?.once("data", resolve));
  const pids = lab.host("host-a").pids();
  assert.ok(pids.length > 0);
  await lab.close();
  await lab.close();
  assertGone(lab);
  for (const pid of pids) assert.equal(existsSync(`/proc/${pid}/ns/net`) && (await isRunning(pid)), false, `process ${pid} is gone`);
});

test("a lab that cannot be built removes what it had made", { skip }, async () => {
  const before = ownLabs();
  const { nodes, links } = routedCore(HOSTS);
  const [first] = links;
  assert.ok(first !== undefined);
  await assert.rejects(openLab({ nodes, links: [...links, first] }, { name: "broken" }), /File exists/);
  assert.deepEqual(before, []);
  assert.deepEqual(ownLabs(), []);
});

for (const [how, ending] of Object.entries({
  "an uncaught error": "setTimeout(() => { throw new Error('on purpose'); })",
  "process.exit": "process.exit(3)",
  SIGTERM: "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)",
  SIGINT: "process.kill(process.pid, 'SIGINT'); setInterval(() => {}, 1000)",
})) {
  test(`a process that ends by ${how} takes its lab with it`, { skip }, async () => {
    const { id, directory, code } = await openElsewhere(ending);
    assert.notEqual(code, 0);
    assertGone({ id, directory });
  });
}

test("the sweeper removes the lab of a killed process and no other", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a"]), async (living) => {
    const dead = await openElsewhere("process.kill(process.pid, 'SIGKILL'); setInterval(() => {}, 1000)");
    assert.ok(
      listNamespaces().some((name) => name.startsWith(namespacePrefix(dead.id))),
      "SIGKILL leaves it",
    );
    assert.ok(sweepLabs().includes(dead.id));
    assertGone(dead);
    assert.equal(listNamespaces().filter((name) => name.startsWith(namespacePrefix(living.id))).length, 2);
  });
});

test("a failed test names the directory with what explains it", { skip }, async (t) => {
  let kept = "";
  await assert.rejects(
    withLab(t, routedCore(["host-a"]), async (lab) => {
      lab.onCollect(async () => {
        throw new Error("a collector that fails spoils nothing");
      });
      await lab.host("host-a").run("sh", ["-c", `echo hello > ${lab.directory}/agent.log`]);
      assert.equal(1, 2);
    }),
    (error: Error) => {
      kept = /Kept for a look: (.*)$/.exec(error.message)?.[1] ?? "";
      return error.cause instanceof assert.AssertionError;
    },
  );
  assert.match(await readFile(join(kept, "host-a.network.txt"), "utf8"), /198\.18\.1\.2\/24/);
  assert.equal(await readFile(join(kept, "files/agent.log"), "utf8"), "hello\n");
  await rm(kept, { recursive: true });
});

async function pings(lab: Lab, from: string, address: string): Promise<boolean> {
  return (await lab.host(from).run("ping", ["-n", "-c", "1", "-W", "1", address])).code === 0;
}

async function shown(lab: Lab, host: string, args: readonly string[]): Promise<string> {
  return (await lab.host(host).run("ip", args)).stdout;
}

/** Ids of the labs of this process. */
function ownLabs(): readonly string[] {
  return readRecords()
    .filter(({ ownerPid }) => ownerPid === process.pid)
    .map(({ id }) => id);
}

async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "State:\tX");
  return !/^State:\t[XZ]/m.test(status);
}

interface Elsewhere {
  readonly id: string;
  readonly directory: string;
  readonly code: number | null;
}

/** Opens a lab with a running process in another Node process, which then ends as `ending` says. */
async function openElsewhere(ending: string): Promise<Elsewhere> {
  const lab = new URL("./lab/", import.meta.url);
  const script = `
    import { openLab } from "${new URL("lab.ts", lab)}";
    import { routedCore } from "${new URL("topology.ts", lab)}";
    const lab = await openLab(routedCore(["host-a"]), { name: "elsewhere" });
    lab.host("host-a").spawn("sleep", ["600"]);
    console.log(JSON.stringify({ id: lab.id, directory: lab.directory }));
    ${ending};`;
  const { stdout, code } = await runCommand(process.execPath, ["--input-type=module", "-e", script]);
  return { ...(JSON.parse(stdout) as { id: string; directory: string }), code };
}
