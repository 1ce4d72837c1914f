import assert from "node:assert/strict";
import { test } from "node:test";
import { type NodeId, nodeId, nodeKey, parseNodeId, shortId } from "./node-id.ts";

const key = Uint8Array.from({ length: 32 }, (_, i) => i * 8);

test("an id is the key in hex and gives it back", () => {
  const id = nodeId(key);
  assert.equal(id.length, 64);
  assert.deepEqual(nodeKey(id), key);
  assert.equal(parseNodeId(id), id);
  assert.equal(shortId(id), "00081018");
});

test("64 digits in lower case, nothing else", () => {
  const id = nodeId(key);
  for (const text of ["", id.slice(2), `${id}00`, id.slice(1), id.toUpperCase(), id.replace("0", "g"), ` ${id.slice(1)}`])
    assert.equal(parseNodeId(text), undefined, text);
});

test("what is no id is a programmer error", () => {
  assert.throws(() => nodeKey("00" as NodeId), TypeError);
});
