import assert from "node:assert/strict";
import { test } from "node:test";
import { flag, list, number, object, oneOf, openObject, optional, record, type Shape, ShapeError, text, wholeNumber } from "./shape.ts";

const server = object({ host: text, port: wholeNumber(1, 65_535), tags: optional(list(oneOf("a", "b"), 2)) });
const shape: Shape<unknown> = object({ name: text, on: flag, ratio: number, servers: list(server), counts: optional(record(number)) });
const good = {
  name: "n",
  on: false,
  ratio: 0.5,
  servers: [
    { host: "h", port: 1 },
    { host: "", port: 65_535, tags: ["a", "b"] },
  ],
  counts: { x: 1 },
};

test("what fits is read as it is, absent options stay absent", () => {
  assert.deepEqual(shape(good, ""), good);
  assert.deepEqual(Object.keys(server({ host: "h", port: 1, tags: undefined }, "") as object), ["host", "port"]);
});

const wrong: Readonly<Record<string, unknown>> = {
  "value must be an object": [],
  "name must be a text": { ...good, name: 1 },
  "on must be true or false": { ...good, on: 0 },
  "ratio must be a number": { ...good, ratio: Number.NaN },
  "servers must be a list of at most 100000": { ...good, servers: {} },
  "servers[1].port must be a whole number from 1 to 65535": { ...good, servers: [good.servers[0], { host: "h", port: 1.5 }] },
  "servers[0].tags[1] must be one of a, b": { ...good, servers: [{ host: "h", port: 1, tags: ["a", "c"] }] },
  "servers[0].tags must be a list of at most 2": { ...good, servers: [{ host: "h", port: 1, tags: ["a", "a", "a"] }] },
  "counts.x must be a number": { ...good, counts: { x: "1" } },
  "counts must be an object": { ...good, counts: null },
  "servers[0].host must be a text": { ...good, servers: [{ port: 1 }] },
  "serves must be left out: there is no such field": { ...good, serves: [] },
  "__proto__ must be left out: there is no such field": JSON.parse('{ "__proto__": { "name": "n" } }'),
};
for (const [message, value] of Object.entries(wrong)) {
  test(message, () =>
    assert.throws(
      () => shape(value, ""),
      (error) => error instanceof ShapeError && error.message === message,
    ),
  );
}

test("names every object inherits are not its keys", () => {
  assert.deepEqual(Object.keys(openObject({ toString: optional(text) })({}, "") as object), []);
  assert.throws(() => object({})({ constructor: 1 }, ""), ShapeError);
});

test("an open object leaves out what it does not know", () => {
  assert.deepEqual(openObject({ a: number })({ a: 1, b: 2 }, ""), { a: 1 });
});

test("keys of a record cannot change what an object is", () => {
  const read = record(number)(JSON.parse('{ "__proto__": 1, "a": 2 }'), "");
  assert.deepEqual(Object.entries(read), [
    ["__proto__", 1],
    ["a", 2],
  ]);
  assert.equal(Object.getPrototypeOf(read), Object.prototype);
});
