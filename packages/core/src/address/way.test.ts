import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "./ip.ts";
import { formatWay, sameWay, type Way } from "./way.ts";

const endpoint = { ip: "192.0.2.1" as Ip, port: 51_820 };
const relay = { from: 4, to: 7, pass: 9 };
const ways: readonly Way[] = [
  { endpoint },
  { endpoint: { ...endpoint, port: 1 } },
  { endpoint, socket: 3 },
  { endpoint, relay },
  { endpoint, relay: { ...relay, from: 5 } },
  { endpoint, relay: { ...relay, to: 5 } },
  { endpoint, relay: { ...relay, pass: 5 } },
  { endpoint, socket: 3, relay },
];

test("two ways are one when nothing of them differs, and no socket is the first", () => {
  for (const a of ways) for (const b of ways) assert.equal(sameWay(a, structuredClone(b)), a === b, `${formatWay(a)} ${formatWay(b)}`);
  assert.equal(sameWay({ endpoint }, { endpoint, socket: 0 }), true);
  assert.deepEqual([sameWay(undefined, undefined), sameWay(undefined, { endpoint })], [true, false]);
});

test("a way is written by what tells it from others; its pass is nobody's business", () => {
  const texts = ways.map(formatWay);
  assert.equal(texts[0], "192.0.2.1:51820");
  assert.equal(texts[3], "192.0.2.1:51820 4>7");
  assert.equal(texts[7], "192.0.2.1:51820%3 4>7");
  assert.equal(formatWay({ endpoint, socket: 0 }), texts[0]);
});
