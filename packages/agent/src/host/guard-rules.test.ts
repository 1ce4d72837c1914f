import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Ip, type Prefix, parseIp, parsePrefix } from "@mesh/core/ports";
import { type GuardPlan, guardScript, isOurTable, tableContent } from "./guard-rules.ts";

const ip = (text: string): Ip => parseIp(text) ?? assert.fail(text);
const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);

const PLAN: GuardPlan = {
  device: "mesh0",
  index: 7,
  addresses: [ip("10.77.2.1"), ip("fd00:77::1")],
  routes: [prefix("10.77.0.0/16"), prefix("fd00:77::/48")],
};

describe("guardScript", () => {
  test("replaces the table whole; what comes by the tunnel or from the host itself is through first", () => {
    const lines = guardScript(PLAN).split("\n");
    assert.deepEqual(lines.slice(0, 6), [
      "table inet mesh_mesh0",
      "delete table inet mesh_mesh0",
      "table inet mesh_mesh0 {",
      "  chain guard {",
      "    type filter hook prerouting priority -300; policy accept;",
      '    iifname { "lo", "mesh0" } accept comment "mesh guard of device 7"',
    ]);
    assert.deepEqual(
      lines.slice(6, 9).map((line) => line.trim()),
      [
        'ip daddr { 10.77.2.1 } fib daddr type local counter drop comment "mesh guard: to this node, not by the tunnel"',
        'ip saddr { 10.77.0.0/16 } fib saddr oifname "mesh0" counter drop comment "mesh guard: from the mesh, not by the tunnel"',
        'ip saddr { 10.77.2.1 } fib saddr type local fib daddr type != { multicast, broadcast } counter drop comment "mesh guard: from this node itself"',
      ],
    );
    assert.equal(lines.filter((line) => line.includes("drop")).length, 6);
  });

  test("every rule that drops asks the routing table, so that it is nothing without the tunnel", () => {
    for (const line of guardScript(PLAN).split("\n")) if (line.includes("drop")) assert.match(line, / fib (daddr type local|saddr) /);
  });

  test("a family without an address has no rule, even where its prefix is routed", () => {
    const script = guardScript({ ...PLAN, addresses: [ip("fd00:77::1")] });
    assert.doesNotMatch(script, /ip (saddr|daddr)/);
    assert.equal(guardScript({ ...PLAN, addresses: [] }).includes("drop"), false);
  });

  test("of prefixes that lie in each other the outermost stands, once", () => {
    const routes = ["10.77.4.0/24", "10.77.0.0/16", "10.77.0.0/16", "10.78.0.0/16"].map(prefix);
    assert.match(guardScript({ ...PLAN, routes }), /ip saddr \{ 10\.77\.0\.0\/16, 10\.78\.0\.0\/16 \}/);
  });
});

describe("a table of nftables", () => {
  const chain = { chain: { name: "guard", handle: 1 } };
  const rule = (comment: string | undefined, packets: number, handle: number): object => ({
    rule: { handle, ...(comment === undefined ? {} : { comment }), expr: [{ counter: { packets, bytes: packets * 60 } }, { drop: null }] },
  });

  test("is ours when it bears the mark, or when nothing is left in it", () => {
    assert.ok(isOurTable([{ table: {} }, chain, rule("mesh guard of device 7", 0, 2)] as never));
    assert.ok(isOurTable([chain, rule("mesh guard of device 7", 0, 2)] as never, 7));
    assert.ok(!isOurTable([chain, rule("mesh guard of device 7", 0, 2)] as never, 8));
    assert.ok(isOurTable([{ table: {} }, chain]));
    assert.ok(!isOurTable([chain, rule(undefined, 0, 2)] as never));
    assert.ok(!isOurTable([chain, rule("mesh guardian", 0, 2)] as never));
  });

  test("is equal whatever it counted, and not when a rule differs", () => {
    const content = (...objects: object[]): string => tableContent(objects as never);
    assert.equal(content(chain, rule("a", 1, 2)), content({ chain: { name: "guard", handle: 9 } }, rule("a", 7, 3)));
    assert.notEqual(content(chain, rule("a", 1, 2)), content(chain, rule("b", 1, 2)));
    assert.notEqual(content(chain, rule("a", 1, 2)), content(chain));
  });
});
