import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { test } from "node:test";
import type { LaunchOrder } from "@mesh/core/config";
import { formatInvite } from "../../core/src/membership/invite.ts";
import { crypto, idOf, SampleNetwork } from "../../core/src/membership/sample-network-fixture.ts";
import { startAgent } from "./agent.ts";
import { LaunchChannel } from "./runtime/launch-channel.ts";
import { ManualClock } from "./runtime/manual-clock-fixture.ts";

const invite = formatInvite(crypto, {
  statement: new SampleNetwork().statementBytes,
  issuer: idOf("admin"),
  seed: new Uint8Array(32),
  expiresWallAt: 5,
  uses: 1,
  members: [],
});

/** As a user who is not root: it ends before it touches anything. */
function join(more: Partial<LaunchOrder>): Promise<void> {
  const never = (): never => assert.fail("not to be used");
  return startAgent({
    order: { command: "join", stateRoot: "/nowhere", invite, ...more },
    clock: new ManualClock(),
    channel: new LaunchChannel(undefined, () => 0),
    process: { on: never, off: never, exit: never, geteuid: () => 1_000 },
  });
}

test("an invite for another network than the one that is named is not used", async () => {
  await assert.rejects(join({ network: "office" }), {
    code: "usage/invalid",
    message: "This invite is for the network home, not for office.",
    hint: /Leave out --network/,
  });
  for (const order of [{}, { network: "home" }]) await assert.rejects(join(order), { code: "host/not-root" });
});

/** Starts `up` where there is no membership, to its end. */
async function upWithoutMembership(stateRoot: string): Promise<{ readonly told: string; readonly exitCode: number }> {
  const lines: string[] = [];
  const exited = Promise.withResolvers<number>();
  await startAgent({
    order: { command: "up", stateRoot, network: "home" },
    clock: new ManualClock(),
    channel: new LaunchChannel({ write: (line) => void lines.push(line), close: () => {} }, () => 0),
    process: { on: () => {}, off: () => {}, exit: exited.resolve, geteuid: () => 0 },
  });
  return { told: lines.join(""), exitCode: await exited.promise };
}

test("a start that fails removes the state directory it made, and never one that was there before", async (t) => {
  const stateRoot = mkdtempSync(joinPath(tmpdir(), "mesh-agent-"));
  t.after(() => rmSync(stateRoot, { recursive: true }));
  const first = await upWithoutMembership(stateRoot);
  assert.match(first.told, /"failed".*"state\/missing"/);
  assert.equal(first.exitCode, 1);
  assert.equal(existsSync(joinPath(stateRoot, "home")), false);

  mkdirSync(joinPath(stateRoot, "home"), { mode: 0o700 });
  await upWithoutMembership(stateRoot);
  assert.deepEqual(readdirSync(joinPath(stateRoot, "home")), ["agent.log"]);
});
