import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import type { Way } from "../address/way.ts";
import type { PortPlan } from "../wire/probe.ts";
import type { NodeEffect } from "./node-effect.ts";
import { at, datagramsOf, FarPeer, OWN_NUMBER, PeersWorld } from "./peers-fixture.ts";

/** x claims to dig; y and z relay. */
const [x, y, z] = [new FarPeer(2), new FarPeer(3), new FarPeer(4)];
const REAL = "203.0.113.77" as Ip;
const VICTIM = "203.0.113.99" as Ip;

const by = (relay: FarPeer, from: FarPeer): Way => ({ endpoint: relay.endpoint, relay: { from: from.number, to: OWN_NUMBER, pass: 0 } });

/** We are behind a NAT whose ports stay; x is relayed by y. */
function relayedWorld(): PeersWorld {
  const world = new PeersWorld([x, y, z]);
  for (const relay of [y, z]) world.find(relay, { isRelay: true });
  const sought = [...world.publish(x, { homes: [y.node], reflexive: [] }), ...world.peers.want(x.node, world.now)];
  answerByRelay(world, sought);
  assert.equal(world.stateOf(x), "relayed");
  return world;
}

/** And x has asked for a search. */
function askedWorld(): PeersWorld {
  const world = relayedWorld();
  const asked = datagramsOf(world.receive(by(y, x), x.frame({ type: "punch", step: "ask" })));
  const said = asked.flatMap(({ way, bytes }) => (way.relay === undefined ? [] : [x.receive(bytes)]));
  assert.ok(said.some((body) => body.type === "punch" && body.step === "ready"));
  return world;
}

function dig(world: PeersWorld, ip: Ip, kind: PortPlan["kind"] = "range"): readonly NodeEffect[] {
  const ports: PortPlan = { kind, ip, first: 20_000, delta: 1, count: kind === "one" ? 1 : 2_000 };
  return world.receive(by(y, x), x.frame({ type: "punch", step: "plan", ports }));
}

function witness(world: PeersWorld, relay: FarPeer, ip: Ip): readonly NodeEffect[] {
  return world.receive({ endpoint: relay.endpoint }, relay.frame({ type: "located", number: x.number, ip }));
}

/** User data goes to x and comes from it. */
function talk(world: PeersWorld): readonly NodeEffect[] {
  const { now } = world;
  const stamps = { dataSentAt: now, dataReceivedAt: now, authenticatedSentAt: now, authenticatedReceivedAt: now, sendCounter: 1 };
  return world.peers.traffic([{ slot: world.slotOf(x), stamps }], now);
}

/** So many datagrams to this address. */
function countTo(ip: Ip, effects: readonly NodeEffect[]): number {
  return datagramsOf(effects).filter(({ way }) => way.endpoint.ip === ip).length;
}

test("a scan goes where two others see the peer, at 250 a second and 1,800 in all", () => {
  const world = askedWorld();
  const effects = [...dig(world, REAL), ...witness(world, y, REAL)];
  assert.equal(countTo(REAL, [...effects, ...world.until(world.now + 300)]), 0, "one witness of two");
  const begun = [...witness(world, z, REAL), ...world.until(world.now + 1_000)];
  assert.ok(Math.abs(countTo(REAL, begun) - 250) <= 4, `${countTo(REAL, begun)} in the first second`);
  assert.equal(countTo(REAL, [...begun, ...world.until(world.now + 30_000)]), 1_800);
});

test("a member that names a victim's address makes nobody scan it", () => {
  const world = askedWorld();
  const effects = [...dig(world, VICTIM), ...witness(world, y, REAL), ...witness(world, z, REAL)];
  assert.equal(countTo(VICTIM, [...effects, ...world.until(world.now + 30_000)]), 0);
});

test("nor does a relay of its choice that says the same, nor its own word for itself", () => {
  const world = askedWorld();
  const effects = [...dig(world, VICTIM), ...witness(world, y, VICTIM), ...witness(world, z, REAL)];
  effects.push(...world.receive(by(y, x), x.frame({ type: "located", number: x.number, ip: VICTIM })));
  assert.equal(countTo(VICTIM, [...effects, ...world.until(world.now + 30_000)]), 0);
});

test("a fresh port may be claimed anywhere: eight PINGs to one place, none to a system service or into the mesh", () => {
  for (const [ip, port, most] of [
    [VICTIM, 20_000, 8],
    [VICTIM, 22, 0],
    ["10.77.3.1", 20_000, 0],
  ] as const) {
    const world = relayedWorld();
    const ports: PortPlan = { kind: "one", ip: ip as Ip, first: port, delta: 1, count: 1 };
    const effects = [...world.receive(by(y, x), x.frame({ type: "punch", step: "fresh", ports }))];
    const isOpened = effects.some(({ type }) => type === "open-sockets");
    if (isOpened) effects.push(...world.peers.socketsOpened([1], world.now));
    for (const { way, bytes } of datagramsOf(effects)) {
      const outcome = way.socket === 1 && way.endpoint.ip === y.endpoint.ip ? y.receive(bytes, at("203.0.113.5", 40_001)) : undefined;
      if (outcome?.type === "ping") effects.push(...world.receive({ endpoint: y.endpoint, socket: 1 }, outcome.pong));
    }
    assert.equal(isOpened, most > 0);
    const sent = countTo(ip as Ip, [...effects, ...world.until(world.now + 10_000)]);
    assert.ok(sent <= most && (most === 0 || sent > 0), `${sent} to ${ip}:${port}`);
  }
});

test("an answer with a fresh port is a claim like any other: nothing goes into the mesh, to this host or to a system service", () => {
  for (const [ip, port, most] of [
    [VICTIM, 20_000, 8],
    [VICTIM, 22, 0],
    ["10.77.3.1", 20_000, 0],
    ["127.0.0.1", 20_000, 0],
  ] as const) {
    const world = relayedWorld();
    const sought = Array.from({ length: 6 }, () => [...talk(world), ...world.until(world.now + 500, [y])]).flat();
    assert.ok(sought.some(({ type }) => type === "open-sockets"));
    const sampled = world.peers.socketsOpened([1], world.now);
    for (const { way, bytes } of datagramsOf(sampled)) {
      const outcome = way.socket === 1 && way.endpoint.ip === y.endpoint.ip ? y.receive(bytes, at("203.0.113.5", 40_001)) : undefined;
      if (outcome?.type === "ping") world.receive({ endpoint: y.endpoint, socket: 1 }, outcome.pong);
    }
    const ports: PortPlan = { kind: "one", ip: ip as Ip, first: port, delta: 1, count: 1 };
    const effects = world.receive(by(y, x), x.frame({ type: "punch", step: "fresh-answer", ports }));
    const sent = countTo(ip as Ip, [...effects, ...world.until(world.now + 10_000)]);
    assert.ok(sent <= most && (most === 0 || sent > 0), `${sent} to ${ip}:${port}`);
  }
});

/** What x is told of searches. */
function stepsTo(effects: readonly NodeEffect[]): readonly string[] {
  return datagramsOf(effects).flatMap(({ way, bytes }) => {
    const body = way.relay?.to === x.number ? x.receive(bytes) : undefined;
    return body?.type === "punch" ? [body.step] : [];
  });
}

test("a peer that asks and does nothing then has the one place for searches less and less often", () => {
  const world = relayedWorld();
  const begun: number[] = [];
  for (const startedAt = world.now; world.now < startedAt + 600_000; ) {
    const effects = world.receive(by(y, x), x.frame({ type: "punch", step: "ask" }));
    if (stepsTo(effects).includes("ready") && !stepsTo(effects).includes("no")) begun.push(world.now);
    world.until(world.now + 1_000, [y, z]);
  }
  assert.ok(begun.length >= 3 && begun.length <= 12, `${begun.length} searches in ten minutes`);
  const gaps = begun.slice(1).map((at, i) => at - (begun[i] ?? 0));
  assert.ok((gaps.at(-1) ?? 0) > 60_000, gaps.join());
});

test("a peer that offers fresh ports again and again makes us open a socket every 25 s, and is told no between", () => {
  const world = relayedWorld();
  const ports: PortPlan = { kind: "one", ip: VICTIM, first: 20_000, delta: 1, count: 1 };
  let opened = 0;
  let refused = 0;
  for (const startedAt = world.now; world.now < startedAt + 120_000; ) {
    const effects = world.receive(by(y, x), x.frame({ type: "punch", step: "fresh", ports }));
    opened += effects.filter(({ type }) => type === "open-sockets").length;
    refused += stepsTo(effects).filter((step) => step === "no").length;
    world.until(world.now + 500, [y, z]);
  }
  assert.ok(opened >= 3 && opened <= 5, `${opened} opened`);
  assert.ok(refused > 10, `${refused} refused`);
});

/** x answers by y what comes to it by y. */
function answerByRelay(world: PeersWorld, effects: readonly NodeEffect[]): void {
  for (const { way, bytes } of datagramsOf(effects)) {
    const outcome = way.relay?.to === x.number ? x.receive(bytes, y.endpoint) : undefined;
    if (outcome?.type === "ping") world.receive(by(y, x), outcome.pong);
  }
}

test("a peer that answers with port after port and is busy then makes nobody scan: a search a minute, seven PINGs each", () => {
  for (const answers of [true, false]) {
    const world = relayedWorld();
    const effects: NodeEffect[] = [];
    let sockets = 0;
    for (const startedAt = world.now; world.now < startedAt + 600_000; ) {
      const sought = [...talk(world), ...world.until(world.now + 250, [y])];
      answerByRelay(world, sought);
      if (sought.some(({ type }) => type === "open-sockets")) {
        const socket = ++sockets;
        for (const { way, bytes } of datagramsOf(world.peers.socketsOpened([socket], world.now))) {
          const outcome = way.socket === socket ? y.receive(bytes, at("203.0.113.5", 40_000 + socket)) : undefined;
          if (outcome?.type === "ping") sought.push(...world.receive({ endpoint: y.endpoint, socket }, outcome.pong));
        }
        const ports: PortPlan = { kind: "one", ip: VICTIM, first: 20_000 + socket, delta: 1, count: 1 };
        if (answers) sought.push(...world.receive(by(y, x), x.frame({ type: "punch", step: "fresh-answer", ports })));
        sought.push(...world.until(world.now + 1_500, [y]), ...world.receive(by(y, x), x.frame({ type: "punch", step: "busy" })));
      }
      effects.push(...sought);
    }
    assert.ok(sockets >= 8 && sockets <= 20, `${sockets} searches`);
    const sent = countTo(VICTIM, effects);
    assert.ok(answers ? sent >= 8 && sent <= 80 : sent === 0, `${sent} PINGs to the victim`);
  }
});

test("after a search in vain the peer is told no for ten minutes", () => {
  const world = askedWorld();
  dig(world, REAL);
  for (const relay of [y, z]) witness(world, relay, REAL);
  world.until(world.now + 20_000, [y, z]);
  assert.deepEqual(stepsTo(world.receive(by(y, x), x.frame({ type: "punch", step: "ask" }))), ["no"]);
});

test("a member says where it reaches another one for as long as that may be true: three minutes after it was heard last", () => {
  const world = new PeersWorld([x, y]);
  world.find(x);
  world.find(y, { isRelay: true });
  const locatedBy = (): readonly string[] =>
    datagramsOf(world.receive({ endpoint: y.endpoint }, y.frame({ type: "locate", number: x.number }))).flatMap(({ bytes }) => {
      const body = y.receive(bytes);
      return body.type === "located" ? [`${body.number} ${body.ip}`] : [];
    });
  assert.deepEqual(locatedBy(), [`${x.number} ${x.endpoint.ip}`]);
  world.until(world.now + 170_000, [x, y]);
  assert.equal(world.stateOf(x), "dormant");
  assert.deepEqual(locatedBy(), [`${x.number} ${x.endpoint.ip}`]);
  world.until(world.now + 120_000, [y]);
  assert.deepEqual(locatedBy(), []);
});
