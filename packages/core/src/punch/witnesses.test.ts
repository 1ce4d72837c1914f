import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { MAX_ASKED, Witnesses } from "./witnesses.ts";

const IP = "203.0.113.5" as Ip;
const VICTIM = "198.51.100.99" as Ip;
const [a, b, c] = ["a", "b", "c"].map(idOf);
const PEER = 7;

function asked(inMesh = 3): Witnesses {
  const witnesses = new Witnesses();
  assert.ok(a !== undefined && b !== undefined);
  witnesses.ask(PEER, { relays: [a, b], inMesh, now: 0 });
  return witnesses;
}

function say(witnesses: Witnesses, by: typeof a, ip: Ip, now = 1): void {
  assert.ok(by !== undefined);
  witnesses.located(by, { number: PEER, ip }, now);
}

test("two who were asked must see the peer there; the same one twice is one", () => {
  const witnesses = asked();
  say(witnesses, a, IP);
  say(witnesses, a, IP);
  assert.ok(!witnesses.confirm(PEER, IP, 2));
  assert.deepEqual(witnesses.silent(PEER), [b]);
  say(witnesses, b, IP);
  assert.ok(witnesses.confirm(PEER, IP, 2));
  assert.ok(!witnesses.confirm(PEER, VICTIM, 2));
  assert.ok(!witnesses.confirm(PEER + 1, IP, 2), "another peer");
});

test("one is enough where the mesh has no second one to ask", () => {
  const witnesses = asked(1);
  say(witnesses, a, IP);
  assert.ok(witnesses.confirm(PEER, IP, 2));
});

test("who was not asked is not heard, and who contradicts itself keeps its first word", () => {
  const witnesses = asked();
  say(witnesses, c, VICTIM);
  say(witnesses, a, IP);
  say(witnesses, a, VICTIM);
  say(witnesses, b, VICTIM);
  assert.ok(!witnesses.confirm(PEER, VICTIM, 2));
  assert.ok(!witnesses.confirm(PEER, IP, 2));
});

test("words lose their worth after 30 s; private addresses and IPv6 have none", () => {
  const witnesses = asked();
  for (const one of [a, b]) say(witnesses, one, IP);
  assert.ok(!witnesses.confirm(PEER, IP, 30_000));
  for (const ip of ["192.168.1.5", "2001:db8::5"] as Ip[]) {
    const others = asked();
    for (const one of [a, b]) say(others, one, ip);
    assert.ok(!others.confirm(PEER, ip, 2), ip);
  }
});

test("no more are asked than are of use", () => {
  const relays = Array.from({ length: 10 }, (_, i) => idOf(`r${i}`));
  assert.equal(new Witnesses().ask(PEER, { relays, inMesh: 10, now: 0 }).length, MAX_ASKED);
});
