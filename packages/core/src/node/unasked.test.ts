import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { minutes } from "../time/millis.ts";
import { Unasked } from "./unasked.ts";

const STRANGER = "198.51.100.7" as Ip;
const own = (...ips: readonly string[]): readonly Endpoint[] => ips.map((ip) => ({ ip: ip as Ip, port: 5_000 }));
const reachable = (): Unasked => {
  const unasked = new Unasked();
  unasked.heard(STRANGER, 0);
  return unasked;
};

test("a PING from a public address that nothing was sent to proves it, once", () => {
  for (const ip of [STRANGER, "2001:db8::7" as Ip]) {
    const unasked = new Unasked();
    assert.equal(unasked.isReachable, false);
    assert.deepEqual([unasked.heard(ip, 0), unasked.isReachable, unasked.heard(ip, 1)], [true, true, false]);
  }
});

test("one from a site's own address proves nothing: there is no NAT between", () => {
  const unasked = new Unasked();
  for (const ip of ["10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"]) assert.equal(unasked.heard(ip as Ip, 0), false, ip);
  assert.equal(unasked.isReachable, false);
});

test("one from where something was sent proves nothing for 6 min, from whatever port: that opened the way", () => {
  for (const [after, isProof] of [
    [0, false],
    [minutes(6), false],
    [minutes(6) + 1, true],
  ] as const) {
    const unasked = new Unasked();
    unasked.sent(STRANGER, 1_000);
    assert.equal(unasked.heard(STRANGER, 1_000 + after), isProof, `${after} ms`);
  }
  const unasked = new Unasked();
  unasked.sent(STRANGER, 0);
  unasked.sent(STRANGER, minutes(6));
  assert.equal(unasked.heard(STRANGER, minutes(7)), false, "the latest counts");
  assert.equal(unasked.heard("198.51.100.8" as Ip, minutes(7)), true);
});

test("a host that moves behind a NAT is not reachable any more; with a public address it stays so", () => {
  const [moved, stays, dual] = [reachable(), reachable(), reachable()];
  moved.moved(own("192.168.1.5", "fd00::5"));
  stays.moved(own("192.0.2.5"));
  dual.moved(own("192.168.1.5", "2001:db8::5"));
  assert.deepEqual([moved.isReachable, stays.isReachable, dual.isReachable], [false, true, true]);
  assert.equal(moved.heard(STRANGER, 1), true, "a new proof counts");
});

test("of more than 4,096 addresses sent to, the one sent to longest ago is forgotten", () => {
  const unasked = new Unasked();
  const ip = (i: number): Ip => `198.18.${i >> 8}.${i & 255}` as Ip;
  for (let i = 0; i <= 4_096; i++) unasked.sent(ip(i), 0);
  assert.equal(unasked.heard(ip(1), 1), false);
  assert.equal(unasked.heard(ip(0), 1), true);
});
