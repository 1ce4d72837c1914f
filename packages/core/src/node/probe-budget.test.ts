import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Millis, minutes, seconds } from "../time/millis.ts";
import { at, datagramsOf, FarPeer, PeersWorld } from "./peers-fixture.ts";
import { ProbeBudget, type ProbeReason } from "./probe-budget.ts";

const E = at("203.0.113.200", 5_353);
/** PINGs to all candidates in a punch (path/path-state.ts). */
const PUNCH: readonly Millis[] = [0, 20, 50, 100, 200, 300, 500, 800, 1_500];
const START = 1_000_000;

function ask(budget: ProbeBudget, now: Millis, to = E, reason: ProbeReason = "searching"): boolean {
  const isAfforded = budget.affords(to, reason, now);
  if (isAfforded) budget.sent(to, reason, now);
  return isAfforded;
}

/** PINGs that leave when every 10 ms somebody wants to send one, from the one instant to the other. */
function flood(
  budget: ProbeBudget,
  from: Millis,
  to: Millis,
  options: { readonly port?: (i: number) => number; ip?: string } = {},
): number {
  let sent = 0;
  for (let now = from; now < to; now += 10)
    if (ask(budget, now, at(options.ip ?? E.ip, options.port?.((now - from) / 10) ?? E.port))) sent++;
  return sent;
}

describe("an address that never answered", () => {
  test("a punch goes through: 3 PINGs that open our NAT, then 9, and one for each that comes from there", () => {
    const budget = new ProbeBudget();
    for (const after of [0, 20, 50]) assert.ok(ask(budget, START + after, E, "opening"));
    for (const after of PUNCH) assert.ok(ask(budget, START + 80 + after), `${after} ms`);
    assert.ok(ask(budget, START + 1_600, E, "triggered"));
  });

  test("12 at once and 2 a second, for three rounds; then one each for seven; then one in 5 minutes", () => {
    const budget = new ProbeBudget();
    assert.equal(flood(budget, START, START + 1_000), 13);
    assert.equal(flood(budget, START + 1_000, START + 9_000), 16);
    assert.equal(flood(budget, START + 9_000, START + 30_000), 7);
    assert.equal(flood(budget, START + 30_000, START + minutes(10)), 1);
    assert.equal(flood(budget, START + minutes(10), START + minutes(60)), 10);
  });

  test("rounds of one are an opening and a PING that arrives, if both are wanted", () => {
    const budget = new ProbeBudget();
    flood(budget, START, START + 9_000);
    const round = (now: Millis): readonly boolean[] => [
      ask(budget, now, E, "opening"),
      ask(budget, now + 20, E, "opening"),
      ask(budget, now + 80),
      ask(budget, now + 100),
    ];
    assert.deepEqual(round(START + 20_000), [true, false, true, false]);
    assert.deepEqual(round(START + 40_000), [true, false, true, false]);
  });

  test("what comes from there is answered by a PING all the same, 2 a second at most", () => {
    const budget = new ProbeBudget();
    flood(budget, START, START + 60_000);
    let triggered = 0;
    for (let now = START + 61_000; now < START + 71_000; now += 10) if (ask(budget, now, E, "triggered")) triggered++;
    assert.ok(triggered >= 20 && triggered <= 12 + 20, `${triggered}`);
  });

  test("another port of the same host is another address, within what the host gets", () => {
    const budget = new ProbeBudget();
    const sent = flood(budget, START, START + minutes(10), { port: (i) => 1_024 + (i % 60_000) });
    assert.ok(sent >= 300 && sent <= 300 + 12 + 120, `${sent}`);
    assert.equal(flood(budget, START + minutes(10), START + minutes(11), { ip: "203.0.113.201" }) >= 30, true, "others are not held back");
  });

  test("a host with IPv6 has its whole /64, and no more", () => {
    const budget = new ProbeBudget();
    const within = (prefix: string): number => {
      let sent = 0;
      for (let i = 0; i < 1_000; i++) if (ask(budget, START, at(`${prefix}::${(i + 1).toString(16)}`))) sent++;
      return sent;
    };
    assert.equal(within("2001:db8:1:1"), 100);
    assert.equal(within("2001:db8:1:2"), 100);
  });

  test("a control link there, or addresses of our own that changed, make it as good as new", () => {
    const linked = new ProbeBudget();
    flood(linked, START, START + 60_000);
    linked.forgive(E.ip, START + 61_000);
    assert.ok(flood(linked, START + 62_000, START + 65_000) >= 12);
    const moved = new ProbeBudget();
    flood(moved, START, START + 60_000);
    assert.ok(moved.beginAnew(START + 61_000));
    assert.ok(flood(moved, START + 62_000, START + 65_000) >= 12);
  });

  test("a network that changes every few seconds makes it asked anew three times, and once in ten minutes", () => {
    const budget = new ProbeBudget();
    let sent = 0;
    for (let now = START; now < START + minutes(60); now += seconds(10)) {
      budget.beginAnew(now);
      sent += flood(budget, now, now + seconds(10));
    }
    assert.ok(sent <= 9 * (3 * 18 + 7) + 12, `${sent}`);
  });

  test("in whose name ever new ports are sent from: 50 at once and one a second, until it answers", () => {
    const budget = new ProbeBudget();
    let sent = 0;
    for (let i = 0; i < 6_000; i++) if (ask(budget, START + i * 10, at(E.ip, 1_024 + i), "triggered")) sent++;
    assert.ok(sent >= 50 && sent <= 50 + 60, `${sent}`);
    budget.answered(E, START + 60_000);
    assert.ok(ask(budget, START + 60_000, at(E.ip, 1_023), "triggered"));
  });
});

describe("an address that answered", () => {
  test("is free for 10 minutes", () => {
    const budget = new ProbeBudget();
    budget.answered(E, START);
    assert.equal(flood(budget, START, START + 10_000), 1_000);
  });

  test("then has 12 at once and 2 a second, however long it is silent", () => {
    const budget = new ProbeBudget();
    budget.answered(E, START);
    const later = START + minutes(20);
    assert.equal(flood(budget, later, later + 1_000), 13);
    assert.ok(flood(budget, later + minutes(1), later + minutes(1) + 1_000) >= 12);
  });

  test("answers for its host, not for its other ports", () => {
    const budget = new ProbeBudget();
    budget.answered(E, START);
    let sent = 0;
    for (let i = 0; i < 1_000; i++) if (ask(budget, START + 1, at(E.ip, 2_000 + i))) sent++;
    assert.equal(sent, 1_000);
    assert.equal(flood(budget, START + 2, START + 1_002, { port: () => 9 }), 13);
  });
});

test("8,192 addresses are remembered, and those asked last", () => {
  const budget = new ProbeBudget();
  flood(budget, START, START + 60_000);
  const name = (count: number): void => {
    for (let i = 0; i < count; i++) budget.sent(at(`198.51.${i >> 8}.${i & 255}`), "searching", START + 60_000);
  };
  name(8_191);
  assert.equal(ask(budget, START + 60_001), false);
  name(8_192);
  assert.equal(ask(budget, START + 60_001), true);
});

test("the whole host: 600 at once, 300 a second, 5,000 in any minute", () => {
  const budget = new ProbeBudget();
  const take = (from: Millis, to: Millis): number => {
    let taken = 0;
    for (let now = from; now < to; now++) if (budget.takeOfHost(now)) taken++;
    return taken;
  };
  assert.equal(take(START, START + 500), 500);
  assert.ok(take(START + 500, START + 1_500) <= 600);
  let busiest = 0;
  for (let minute = 1; minute <= 5; minute++) busiest = Math.max(busiest, take(START + minutes(minute), START + minutes(minute + 1)));
  assert.ok(busiest <= 5_000 && busiest > 2_000, `${busiest}`);
});

test("fifty members that name one address for 10 minutes earn it no more than one does", () => {
  const members = Array.from({ length: 50 }, (_, i) => new FarPeer(10 + i));
  const world = new PeersWorld(members);
  for (const member of members)
    for (const { bytes } of datagramsOf(world.receive({ endpoint: member.endpoint }, member.ping()))) member.receive(bytes);
  let arrived = 0;
  const count = (effects: Parameters<typeof datagramsOf>[0]): void => {
    for (const { way } of datagramsOf(effects)) if (way.endpoint.ip === E.ip) arrived++;
  };
  for (let second = 0; second < 600; second++) {
    count(world.until(world.now + seconds(1)));
    for (const member of members.slice((second % 2) * 25, (second % 2) * 25 + 25)) {
      count(world.receive({ endpoint: member.endpoint }, member.offer([E])));
      if (second % 5 === 0) count(world.publish(member, { reflexive: [E], isReachable: true }));
      count(world.peers.want(member.node, world.now));
    }
  }
  assert.ok(arrived >= 12 && arrived <= 3 * 18 + 7 + 2, `${arrived} PINGs`);
  assert.ok(world.count("probe.heldBack") > 10_000);
});
