import assert from "node:assert/strict";
import { test } from "node:test";
import { type Endpoint, formatEndpoint, parseEndpoint } from "../address/endpoint.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { LinkTargets } from "./link-targets.ts";
import type { NodeEffect } from "./node-effect.ts";

const at = (...texts: readonly string[]): readonly Endpoint[] => texts.map((text) => parseEndpoint(text) ?? assert.fail(text));
const told = (effects: readonly NodeEffect[]): readonly string[] =>
  effects.map((effect) => (effect.type === "connect" ? effect.endpoints.map(formatEndpoint).join(" ") : effect.type));
const NODE = idOf("a");

test("only changes are told, and nothing where there is nothing to dial", () => {
  const targets = new LinkTargets();
  assert.deepEqual(told(targets.want(NODE, [])), []);
  assert.deepEqual(told(targets.want(NODE, at("192.0.2.1:5000"))), ["192.0.2.1:5000"]);
  assert.deepEqual(told(targets.want(NODE, at("192.0.2.1:5000"))), []);
});

test("where a connection by TCP begins is dialled first, and not any more when it is gone", () => {
  let stream: Endpoint | undefined;
  const targets = new LinkTargets(() => stream);
  targets.want(NODE, at("192.0.2.1:5000"));
  [stream] = at("127.0.0.1:7000");
  assert.deepEqual(told(targets.relink(NODE)), ["127.0.0.1:7000 192.0.2.1:5000"]);
  assert.deepEqual(told(targets.want(NODE, at("192.0.2.2:5000"))), ["127.0.0.1:7000 192.0.2.2:5000"]);
  stream = undefined;
  assert.deepEqual(told(targets.relink(NODE)), ["192.0.2.2:5000"]);
});

test("a member of which nothing else is known is let go of with its connection", () => {
  let [stream] = at("127.0.0.1:7000") as readonly (Endpoint | undefined)[];
  const targets = new LinkTargets(() => stream);
  assert.deepEqual(told(targets.relink(NODE)), ["127.0.0.1:7000"]);
  stream = undefined;
  assert.deepEqual(told(targets.relink(NODE)), ["disconnect"]);
});
