import assert from "node:assert/strict";
import { test } from "node:test";
import { distinctEndpoints, formatEndpoint, parseEndpoint, sameEndpoint } from "./endpoint.ts";

test("endpoints of both families come back from their text", () => {
  for (const text of ["192.0.2.1:51820", "[2001:db8::1]:1", "0.0.0.0:65535", "[::]:443"]) {
    const endpoint = parseEndpoint(text);
    assert.ok(endpoint !== undefined, text);
    assert.equal(formatEndpoint(endpoint), text);
  }
  assert.deepEqual(parseEndpoint("[::ffff:192.0.2.1]:80"), { ip: "192.0.2.1", port: 80 });
});

test("anything else is refused", () => {
  const texts =
    "|:|192.0.2.1|192.0.2.1:|192.0.2.1:0|192.0.2.1:65536|192.0.2.1:080|192.0.2.1:+1|192.0.2.1:1 |2001:db8::1:80|[2001:db8::1]|[192.0.2.1]:80|[]:80|[::1%lo]:80|host:80|[::1]:80:80";
  for (const text of texts.split("|")) assert.equal(parseEndpoint(text), undefined, text);
});

test("the same endpoint has the same address and port; absent is the same as absent", () => {
  const a = parseEndpoint("192.0.2.1:1");
  assert.ok(sameEndpoint(a, parseEndpoint("192.0.2.1:1")));
  assert.equal(sameEndpoint(a, parseEndpoint("192.0.2.1:2")), false);
  assert.equal(sameEndpoint(a, parseEndpoint("192.0.2.2:1")), false);
  assert.equal(sameEndpoint(a, undefined), false);
  assert.ok(sameEndpoint(undefined, undefined));
});

test("distinct endpoints are each there once, in the order in which they come first", () => {
  const all = "192.0.2.1:1 [2001:db8::1]:1 192.0.2.1:2 192.0.2.1:2 [2001:db8:0::1]:1 [::ffff:192.0.2.1]:1".split(" ").flatMap((text) => {
    const endpoint = parseEndpoint(text);
    return endpoint === undefined ? [] : [endpoint];
  });
  assert.equal(all.length, 6);
  assert.deepEqual(distinctEndpoints(all).map(formatEndpoint), ["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.1:2"]);
  assert.deepEqual(distinctEndpoints([]), []);
});
