import assert from "node:assert/strict";
import { test } from "node:test";
import { MeshError } from "@mesh/core/errors";
import type { CommandResult, NodeCommand } from "@mesh/core/node";
import { seconds } from "@mesh/core/ports";
import { type NodeCalls, nodeHandlers } from "./node-handlers.ts";

interface Called {
  readonly handlers: ReturnType<typeof nodeHandlers>;
  readonly commands: NodeCommand[];
  /** Ends of the agent that were asked for. */
  readonly ends: string[];
}

function answering(result: CommandResult): Called {
  const commands: NodeCommand[] = [];
  const ends: string[] = [];
  const agent: NodeCalls = {
    view: () => assert.fail("no view is asked for"),
    command: async (command) => {
      commands.push(command);
      return result;
    },
    down: () => ends.push("down"),
    left: () => ends.push("left"),
    fail: () => ends.push("failed"),
  };
  return { handlers: nodeHandlers(agent), commands, ends };
}

test("an invite of which nothing is said gets the default uses and time", async () => {
  const { handlers, commands } = answering({ type: "invite", invite: "invite" as never });
  assert.equal(await handlers.invite({}), "invite");
  await handlers.invite({ uses: 3, ttlSeconds: 60 });
  assert.deepEqual(commands[1], { type: "invite", uses: 3, ttl: seconds(60) });
  const [first] = commands;
  assert.ok(first?.type === "invite" && first.uses > 0 && first.ttl > seconds(60));
});

test("who leaves is told how many heard it, and then the agent ends and forgets", async () => {
  const leave = { network: "home", told: 2 };
  const { handlers, ends } = answering({ type: "leave", leave });
  assert.deepEqual([await handlers.leave({}), ends], [leave, ["left"]]);
});

test("a refusal is thrown and ends nothing; a decision that could not be written ends the agent, which stays a member", async () => {
  const refused = answering({ type: "failed", error: new MeshError("leave/holds-root", "It holds the root key.", {}) });
  await assert.rejects(refused.handlers.leave({}), { code: "leave/holds-root" });
  assert.deepEqual(refused.ends, []);
  const unwritten = answering({ type: "failed", error: new MeshError("state/unwritable", "The disk is full.", { file: "node" } as never) });
  await assert.rejects(unwritten.handlers.leave({}), { code: "state/unwritable" });
  assert.deepEqual(unwritten.ends, ["failed"]);
});

test("down ends the agent; a result of another type is a bug", async () => {
  const { handlers, ends } = answering({ type: "leave", leave: { network: "home", told: 0 } });
  assert.deepEqual([await handlers.down({}), ends], [{}, ["down"]]);
  await assert.rejects(handlers.ping({ target: "b" }), TypeError);
});
