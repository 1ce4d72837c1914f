import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Way } from "../address/way.ts";
import type { PeerSlot, RelayTable } from "../ports/datapath.ts";
import type { Millis } from "../time/millis.ts";
import { endpoint } from "./engine-fixture.ts";
import { RelayDesk, type RelayRequest } from "./relay-desk.ts";

const PASS = 0xfeed_f00d;
const members = [
  { slot: 1, number: 10, pass: PASS },
  { slot: 2, number: 20, pass: 2 },
  { slot: 3, number: 30, pass: 3 },
] as const;
const SENDER: Way = { endpoint: endpoint("192.0.2.1") };
const RECEIVER: Way = { endpoint: endpoint("192.0.2.2"), socket: 4 };
const TABLE: RelayTable = { members, bytesPerSecond: 1_000_000 };
const BURST = 250_000;
const request: RelayRequest = { from: SENDER, header: { from: 10, to: 20, pass: PASS }, carried: new Uint8Array(88) };

function openDesk(ways: Readonly<Record<PeerSlot, Way>> = { 1: SENDER, 2: RECEIVER }, table: RelayTable | undefined = TABLE): RelayDesk {
  const desk = new RelayDesk((slot) => ways[slot]);
  if (table !== undefined) desk.setTable(table, 0);
  return desk;
}

function word(desk: RelayDesk, change: Partial<RelayRequest> = {}, now: Millis = 0): string {
  const verdict = desk.judge({ ...request, ...change }, now);
  return verdict.pass ? "pass" : verdict.counter;
}

function header(change: Partial<RelayRequest["header"]>): Partial<RelayRequest> {
  return { header: { ...request.header, ...change } };
}

describe("who is relayed for", () => {
  test("a member that shows its pass, from where its own packets go, to the receiver's first way", () => {
    assert.deepEqual(openDesk().judge(request, 0), { pass: true, way: RECEIVER });
  });

  test("nobody before there is a table, and nobody after an empty one", () => {
    const desk = openDesk({ 1: SENDER, 2: RECEIVER }, { members: [], bytesPerSecond: 1_000 });
    assert.equal(word(desk), "relayNotAllowed");
    assert.equal(word(new RelayDesk(() => SENDER)), "relayNotAllowed");
  });

  for (const [what, change] of [
    ["a sender that is no member", header({ from: 11 })],
    ["a receiver that is none", header({ to: 21 })],
    ["number 0", header({ from: 0 })],
    ["itself", header({ to: 10 })],
    ["a pass of nobody", header({ pass: 0 })],
    ["another member's pass", header({ pass: 2 })],
    ["another member's name", { from: SENDER, header: { from: 20, to: 10, pass: 2 } }],
    ["another port", { from: { endpoint: endpoint("192.0.2.1", 1) } }],
    ["another address", { from: { endpoint: endpoint("192.0.2.3") } }],
    ["what asks to be relayed again", { carried: Uint8Array.of(0x22, 0x6d, 0x73, 0x68) }],
    ["what was relayed before", { carried: Uint8Array.of(0x23, 0x6d, 0x73, 0x68, 1) }],
  ] satisfies readonly (readonly [string, Partial<RelayRequest>])[]) {
    test(`not for ${what}`, () => assert.equal(word(openDesk(), change), "relayNotAllowed"));
  }

  test("by whichever socket it comes", () => assert.equal(word(openDesk(), { from: { ...SENDER, socket: 9 } }), "pass"));

  test("a sender whose packets go by a relay, or nowhere, is not where it says", () => {
    const relay = { from: 1, to: 2, pass: 3 };
    assert.equal(word(openDesk({ 1: { ...SENDER, relay }, 2: RECEIVER })), "relayNotAllowed");
    assert.equal(word(openDesk({ 2: RECEIVER })), "relayNotAllowed");
  });

  test("a receiver that has no way, or none that is straight, is not reached by one hop", () => {
    const relay = { from: 1, to: 2, pass: 3 };
    assert.equal(word(openDesk({ 1: SENDER })), "relayNoWay");
    assert.equal(word(openDesk({ 1: SENDER, 2: { ...RECEIVER, relay } })), "relayNoWay");
  });
});

describe("how much", () => {
  const whole = request.carried.length + 12;
  const takenAtOnce = (desk: RelayDesk, now: Millis): number => {
    let count = 0;
    while (word(desk, {}, now) === "pass") count++;
    assert.equal(word(desk, {}, now), "relayOverLimit");
    return count * whole;
  };

  test("a quarter of a second's bytes at once, headers included, then as many as the rate allows", () => {
    const desk = openDesk();
    assert.equal(takenAtOnce(desk, 0), BURST);
    assert.equal(takenAtOnce(desk, 10), 10_000);
    assert.equal(takenAtOnce(desk, 1_000_000), BURST);
  });

  test("64 KiB at once however slow the rate; nothing at rate 0", () => {
    assert.equal(takenAtOnce(openDesk(undefined, { members, bytesPerSecond: 1 }), 0), Math.floor(65_536 / whole) * whole);
    assert.equal(takenAtOnce(openDesk(undefined, { members, bytesPerSecond: 0 }), 0), 0);
  });

  test("each sender has its own", () => {
    const desk = openDesk();
    takenAtOnce(desk, 0);
    assert.equal(word(desk, { from: RECEIVER, header: { from: 20, to: 10, pass: 2 } }), "pass");
  });

  test("what is not passed on costs nothing", () => {
    const desk = openDesk();
    for (let i = 0; i < 10_000; i++) word(desk, header({ to: 30 }));
    assert.equal(takenAtOnce(desk, 0), BURST);
  });

  test("a new table leaves it as it is for a slot that stays, whatever its number; a slot that was away begins anew", () => {
    const desk = openDesk();
    takenAtOnce(desk, 0);
    desk.setTable({ ...TABLE, members: [{ slot: 1, number: 11, pass: 1 }, ...members.slice(1)] }, 0);
    assert.equal(word(desk, header({ from: 11, pass: 1 })), "relayOverLimit");
    assert.equal(word(desk), "relayNotAllowed");
    desk.setTable({ ...TABLE, members: members.slice(1) }, 0);
    desk.setTable(TABLE, 0);
    assert.equal(takenAtOnce(desk, 0), BURST);
    desk.setTable({ members, bytesPerSecond: 2_000_000 }, 0);
    assert.equal(takenAtOnce(desk, 10), 20_000);
  });
});

test("a table that cannot be changes nothing", () => {
  const [first, second] = members;
  for (const wrong of [
    { members: [{ ...first, slot: 16_384 }] },
    { members: [{ ...first, slot: -1 }] },
    { members: [{ ...first, number: 0 }] },
    { members: [{ ...first, number: 65_536 }] },
    { members: [{ ...first, pass: 2 ** 32 }] },
    { members: [{ ...first, pass: -1 }] },
    { members: [first, { ...second, number: first.number }] },
    { members: [first, { ...second, slot: first.slot }] },
    ...[-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY].map((bytesPerSecond) => ({ bytesPerSecond })),
  ]) {
    const desk = openDesk();
    assert.throws(() => desk.setTable({ ...TABLE, ...wrong }, 0), RangeError, JSON.stringify(wrong));
    assert.equal(word(desk), "pass");
  }
});
