import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIp, parsePrefix } from "@mesh/core/ports";
import { SimClock } from "@mesh/core/testing";
import { pino } from "pino";
import { Guard } from "./guard.ts";
import type { GuardPlan } from "./guard-rules.ts";
import type { CommandOutcome } from "./ip-command.ts";
import { NftCommand, type NftTable } from "./nft-command.ts";

const PLAN: GuardPlan = {
  device: "mesh0",
  index: 7,
  addresses: [parseIp("10.77.2.1") ?? assert.fail()],
  routes: [parsePrefix("10.77.0.0/16") ?? assert.fail()],
};

/** A kernel with one table: what was loaded, and what others put into it. */
class OneTable extends NftCommand {
  rules: string[] = [];
  /** Done once, between a load and the look that follows it. */
  inBetween: (() => void) | undefined;
  /** What this kernel makes of a rule. */
  translate = (rule: string): string => rule;

  constructor() {
    super("nft", new SimClock());
  }

  override load(script: string): Promise<CommandOutcome> {
    this.rules = script
      .split("\n")
      .filter((line) => line.includes("comment"))
      .map((line) => this.translate(line));
    this.inBetween?.();
    this.inBetween = undefined;
    return Promise.resolve({ ok: true, output: "" });
  }

  override table(): Promise<NftTable> {
    const objects = this.rules.map((rule) => ({ rule: { expr: rule, comment: /comment "(.*)"/.exec(rule)?.[1] } }));
    return Promise.resolve({ ok: true, objects });
  }
}

async function loaded(): Promise<{ kernel: OneTable; guard: Guard; todo: () => Promise<string> }> {
  const kernel = new OneTable();
  const guard = new Guard(kernel, pino({ level: "silent" }));
  await guard.load(PLAN);
  const todo = async (): Promise<string> => (await guard.look(PLAN)).todo;
  assert.equal(await todo(), "nothing");
  return { kernel, guard, todo };
}

test("a rule that somebody puts in while the table is mended is found at the next look", async () => {
  const { kernel, guard, todo } = await loaded();
  kernel.rules = [];
  kernel.inBetween = () => kernel.rules.unshift("accept");
  await guard.load(PLAN);
  assert.equal(await todo(), "load");
  await guard.load(PLAN);
  assert.equal(await todo(), "nothing");
});

test("a kernel that makes something else of the same script is believed the second time", async () => {
  const { kernel, guard, todo } = await loaded();
  kernel.translate = (rule) => rule.replace("lo", "loopback");
  await guard.load(PLAN);
  assert.equal(await todo(), "load");
  await guard.load(PLAN);
  assert.equal(await todo(), "nothing");
});
