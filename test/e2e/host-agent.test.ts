/** A whole agent as a guest: what it leaves behind however it ends, and a disk that refuses while it runs. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { assertSame, everythingIn, run } from "./host-fixture.ts";
import { type MeshAgent, meshAgent, until } from "./lab/agent.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { namespacePrefix } from "./lab/lab-record.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const HOST = "host-a";
const skip = labRefusal() ?? false;

function agentOn(lab: Lab, stateDir: string): { readonly agent: MeshAgent; readonly now: () => readonly string[] } {
  const namespace = namespacePrefix(lab.id) + HOST;
  return { agent: meshAgent(lab, HOST, { name: HOST, stateDir }), now: () => everythingIn(namespace) };
}

async function deviceGone(now: () => readonly string[]): Promise<void> {
  // The kernel takes a moment to dismantle a dead process's device.
  await until("the device is gone", async () => !now().some((line) => line.includes("mesh0")) || "still there", 2_000);
}

/** Of a process that was killed: the tunnel is gone with it, the table is not. */
function withoutGuard(lines: readonly string[]): boolean {
  return !lines.some((line) => line.includes("table inet mesh_"));
}

test("links, addresses, routes, rules, nftables and sysctls are as before: after down, after kill -9 and clean, after kill -9, up and down", {
  skip,
}, async (t) => {
  await withLab(t, routedCore([HOST]), async (lab) => {
    const { agent, now } = agentOn(lab, join(lab.directory, HOST));
    const before = now();
    await agent.init("test");
    assert.ok(!withoutGuard(now()), "it guards");
    await agent.down();
    assertSame(now(), before);

    await agent.up();
    await agent.kill9();
    await until("the device is gone", async () => !now().some((line) => line.includes("mesh0:")) || "still there", 2_000);
    assert.ok(!withoutGuard(now()), "kill -9 leaves the table");
    const cleaned = await agent.mesh(["clean"]);
    assert.equal(cleaned.code, 0, cleaned.stderr);
    assertSame(now(), before);
    assert.equal((await agent.mesh(["clean"])).code, 0, "a second time there is nothing to do");

    await agent.up();
    await agent.kill9();
    await agent.up();
    await agent.down();
    assertSame(now(), before);
  });
});

const chattr = findCommand("chattr");
const REFUSALS: Readonly<Record<string, { readonly says: RegExp; refuse(state: string): void; relent(state: string): void }>> = {
  full: { says: /the disk is full/, refuse: fill, relent: (state) => rmSync(join(state, "filler")) },
  // As a read-only mount is for root; one with open files cannot be made read-only from outside.
  immutable: {
    says: /permission is denied/,
    refuse: (state) => run("chattr", "+i", join(state, "test")),
    relent: (state) => run("chattr", "-i", join(state, "test")),
  },
};

for (const [what, { says, refuse, relent }] of Object.entries(REFUSALS))
  test(`a state directory whose disk becomes ${what} under a running agent is said, stops nothing but promises, and it comes back as who it was`, {
    skip: skip || (chattr === undefined && "needs chattr"),
  }, async (t) => {
    await withLab(t, routedCore([HOST]), async (lab) => {
      const stateDir = join(lab.directory, HOST);
      await mkdir(stateDir);
      run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", stateDir);
      try {
        const { agent, now } = agentOn(lab, stateDir);
        const before = now();
        await agent.init("test");
        const { self } = await agent.status();
        refuse(stateDir);
        const { code } = await agent.mesh(["invite"]);
        assert.notEqual(code, 0, "an invite that is not durable is none");
        const [trouble] = (await agent.status()).health;
        assert.equal(trouble?.level, "error");
        assert.match(trouble?.text ?? "", says);
        await agent.mesh(["down"]);
        await until("it ends", async () => agent.pid() === undefined || "it runs", 10_000);
        await deviceGone(now);
        assertSame(now(), before);
        const log = readFileSync(join(stateDir, "test", "agent.log"), "utf8");
        // On a full disk the log may have had no room either.
        if (what !== "full") assert.match(log, says);
        const refused = await agent.mesh(["up"]);
        assert.equal(refused.code, 1);
        assert.match(refused.stderr, says);
        await deviceGone(now);

        relent(stateDir);
        const left = readdirSync(join(stateDir, "test")).filter((name) => name.endsWith(".new"));
        assert.deepEqual(left, [], "nothing half-written");
        await agent.up();
        const after = await agent.status();
        assert.deepEqual({ ...after.self, startedAt: 0 }, { ...self, startedAt: 0 });
        await agent.invite();
        await agent.down();
        await until("nothing there is open", async () => spawnSync("mount", ["-o", "remount,ro", stateDir]).status === 0 || "busy");
        const readOnly = await agent.mesh(["up"]);
        assert.equal(readOnly.code, 1);
        assert.match(readOnly.stderr, /host-a\/test cannot be made or used: the file system is read-only/);
        assertSame(now(), before);
      } finally {
        run("umount", "--lazy", stateDir);
      }
    });
  });

/** To the last page: what the agent wrote before is all there is. */
function fill(state: string): void {
  const file = join(state, "filler");
  for (let size = 64 * 1024; size > 0; size -= 1024) {
    try {
      writeFileSync(file, new Uint8Array(size));
      break;
    } catch {}
  }
}
