import assert from "node:assert/strict";
import { test } from "node:test";
import { api, MAX_INVITE_SECONDS, MAX_INVITE_USES } from "./contract.ts";
import { EVENTS_PATH, METRICS_PATH } from "./events.ts";

test("paths are told apart, and what changes something is a POST", () => {
  const calls = Object.values(api);
  const paths: readonly string[] = [...calls.map(({ path }) => path), EVENTS_PATH, METRICS_PATH];
  assert.equal(new Set(paths).size, paths.length);
  assert.deepEqual(
    Object.entries(api)
      .filter(([, { method }]) => method === "GET")
      .map(([name]) => name),
    ["status", "routes"],
  );
});

test("an invite has bounds, and a misspelt option is an error", () => {
  const { request } = api.invite;
  assert.deepEqual(request({}, ""), {});
  assert.deepEqual(request({ uses: MAX_INVITE_USES, ttlSeconds: MAX_INVITE_SECONDS }, ""), { uses: 1_000, ttlSeconds: 2_592_000 });
  for (const value of [{ uses: 0 }, { uses: 1_001 }, { ttlSeconds: 0 }, { ttlSeconds: 2_592_001 }, { ttl: 60 }, { uses: "1" }, [], null])
    assert.throws(() => request(value, ""));
});

test("calls without arguments take none, the others nothing that they do not know", () => {
  for (const { request } of [api.status, api.routes, api.netcheck, api.down]) {
    assert.deepEqual(request({}, ""), {});
    assert.throws(() => request({ force: true }, ""));
  }
  for (const { request } of [api.ping, api.why]) {
    assert.throws(() => request({}, ""), /target must be a text/);
    assert.throws(() => request({ target: "b", count: 1 }, ""));
  }
  assert.deepEqual(api.leave.request({ force: true }, ""), { force: true });
  for (const value of [{ force: "yes" }, { forced: true }]) assert.throws(() => api.leave.request(value, ""));
});
