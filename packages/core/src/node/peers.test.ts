import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Endpoint, formatEndpoint } from "../address/endpoint.ts";
import type { Way } from "../address/way.ts";
import { MAX_OFFERED } from "../wire/probe.ts";
import type { NodeEffect } from "./node-effect.ts";
import { at, datagramsOf, FarPeer, formatSent, OWN, OWN_NUMBER, PeersWorld, PUBLIC } from "./peers-fixture.ts";

const [x, y, z, w] = [new FarPeer(2), new FarPeer(3), new FarPeer(4), new FarPeer(5)];

/** A datagram of `from` that `relay` passed on to us. */
const by = (relay: FarPeer, from: FarPeer, number = from.number): Way => ({
  endpoint: relay.endpoint,
  relay: { from: number, to: OWN_NUMBER, pass: 0 },
});

const waysOf = (effects: readonly NodeEffect[], slot: number): readonly string[] =>
  effects.flatMap((effect) => (effect.type === "set-ways" && effect.slot === slot ? [effect.ways.map(formatOne).join(", ")] : []));

function formatOne({ endpoint, relay }: Way): string {
  return `${endpoint.ip}${relay === undefined ? "" : ` ${relay.from}>${relay.to}`}`;
}

/** PINGs of ours to x by a relay are answered by it. */
function answerBy(world: PeersWorld, effects: readonly NodeEffect[], relay: FarPeer): readonly NodeEffect[] {
  return datagramsOf(effects).flatMap(({ way, bytes }) => {
    if (way.relay?.to !== x.number || way.endpoint.ip !== relay.endpoint.ip) return [];
    const outcome = x.receive(bytes, relay.endpoint);
    return outcome.type === "ping" ? world.receive(by(relay, x), outcome.pong) : [];
  });
}

/** y relays and is reached; x can be found by it alone. */
function relayedWorld(seen: Endpoint = PUBLIC): PeersWorld {
  const world = new PeersWorld([x, y, z]);
  world.find(y, { isRelay: true }, seen);
  const sought = [...world.publish(x, { homes: [y.node] }), ...world.peers.want(x.node, world.now)];
  answerBy(world, sought, y);
  assert.equal(world.stateOf(x), "relayed");
  return world;
}

test("a slot changes hands only over a table without it, so that what waits for one peer never goes to another", () => {
  const world = new PeersWorld([x]);
  const slot = world.slotOf(x);
  world.set([y], 1);
  assert.notEqual(world.slotOf(y), slot);
  world.set([y, x], 2);
  assert.equal(world.slotOf(x), slot, "after that table it is free again");
});

for (const [ip, what] of [
  ["10.77.3.1", "inside the mesh"],
  ["fd00::5", "inside the mesh, by IPv6"],
  ["224.0.0.1", "a group"],
  ["0.0.0.0", "no address"],
] as const) {
  test(`what comes from ${ip}, ${what}, is neither answered nor becomes a path`, () => {
    const world = new PeersWorld([x]);
    const probe = x.ping();
    assert.deepEqual(world.receive({ endpoint: at(ip) }, probe), []);
    assert.equal(world.count("udp.sourceNotUsable"), 1);
    assert.equal(world.peers.peer(x.node)?.path.endpoints.length, 0);
    // The same from outside is answered, and asked back.
    assert.equal(datagramsOf(world.receive({ endpoint: at("192.0.2.7") }, probe)).length, 2);
  });
}

test("what came in by a further socket that is closed by now leads nowhere, and is counted", () => {
  const world = new PeersWorld([x]);
  const from = { endpoint: at("192.0.2.7"), socket: 3 };
  assert.deepEqual(world.receive(from, x.ping()), []);
  assert.equal(world.count("udp.closedSocket"), 1);
});

test("claims that change all the time earn a peer's budget of probes, not a flood", () => {
  const world = new PeersWorld([x, y]);
  let sent = datagramsOf(world.peers.want(x.node, 0)).length;
  for (let round = 0; round < 100; round++) {
    const endpoints = Array.from({ length: 16 }, (_, i) => at(`198.51.100.${1 + ((round * 16 + i) % 250)}`, 2_000 + round));
    world.now = 1_000 + round * 10;
    sent += datagramsOf(world.publish(x, { reflexive: endpoints })).length;
  }
  assert.ok(sent <= 100 + 20 * 1.1, `${sent} probes in a second`);
  assert.ok(world.count("probe.overBudget") > 1_000);
  world.publish(y);
  assert.equal(datagramsOf(world.peers.want(y.node, world.now)).length, 1, "the others are not kept from theirs");
});

test("packets are unanswered from the first that nothing came back for, whatever was sent since, until something comes", () => {
  const world = new PeersWorld([x]);
  const none = { dataSentAt: 0, dataReceivedAt: 0, authenticatedSentAt: 0, authenticatedReceivedAt: 0, sendCounter: 0 };
  const after = (stamps: Partial<typeof none>): number | undefined => {
    world.peers.traffic([{ slot: world.slotOf(x), stamps: { ...none, ...stamps } }], 10);
    return world.peers.peer(x.node)?.unansweredAt;
  };
  assert.equal(after({}), undefined);
  assert.equal(after({ dataSentAt: 5 }), 5);
  assert.equal(after({ dataSentAt: 9, authenticatedReceivedAt: 4 }), 5);
  assert.equal(after({ dataSentAt: 9, authenticatedReceivedAt: 6 }), 9);
  assert.equal(after({ dataSentAt: 9, authenticatedReceivedAt: 9 }), undefined);
});

describe("what was relayed", () => {
  test("a PING is answered by the same relay, with both numbers and what we show that relay", () => {
    const world = new PeersWorld([x, y]);
    world.find(y);
    const pong = datagramsOf(world.receive(by(y, x), x.ping())).find(({ bytes }) => x.receive(bytes, y.endpoint).type === "dropped");
    assert.deepEqual(pong?.way.endpoint, y.endpoint);
    assert.deepEqual([pong?.way.relay?.from, pong?.way.relay?.to], [OWN_NUMBER, x.number]);
    assert.equal(world.count("udp.relayedForAnother"), 0);
  });

  test("by a relay that we do not know it is dropped and counted; so is what an address says where no packets go", () => {
    const world = new PeersWorld([x, y]);
    assert.deepEqual(world.receive(by(y, x), x.ping()), []);
    world.find(y);
    assert.deepEqual(world.receive({ ...by(y, x), endpoint: at("192.0.2.7") }, x.ping()), []);
    assert.equal(world.count("udp.unknownRelay"), 2);
  });

  test("under a number that is not the sender's it is dropped and counted", () => {
    const world = new PeersWorld([x, y, z]);
    world.find(y);
    assert.deepEqual(world.receive(by(y, x, z.number), x.ping()), []);
    assert.equal(world.count("udp.relayedForAnother"), 1);
    assert.equal(world.stateOf(x), "dormant");
  });

  test("a relay that relays for itself is dropped and counted", () => {
    const world = new PeersWorld([x, y]);
    world.find(y);
    assert.deepEqual(world.receive(by(y, y), y.ping()), []);
    assert.equal(world.count("udp.relayedForAnother"), 1);
  });

  test("a PONG by a relay makes the path relayed, and says nothing of where we are seen", () => {
    const world = relayedWorld();
    const seenBy = world.peers.observed();
    assert.deepEqual(seenBy, [formatEndpoint(PUBLIC)], "by the relay itself");
  });

  test("ways by a relay move when the relay does", () => {
    const world = relayedWorld();
    const moved = at("203.0.113.77");
    // The relay is heard elsewhere, and answers there before the old path does.
    const asked = world.receive({ endpoint: moved }, y.ping());
    const there = datagramsOf(asked).filter(({ way }) => way.endpoint.ip === moved.ip);
    const effects = there.flatMap(({ bytes }) => {
      const outcome = y.receive(bytes);
      return outcome.type === "ping" ? world.receive({ endpoint: moved }, outcome.pong) : [];
    });
    assert.deepEqual(waysOf(effects, world.slotOf(x)), [`${moved.ip} ${OWN_NUMBER}>${x.number}`]);
    assert.deepEqual(world.receive(by(y, x), x.ping()), [], "the old address is nobody's");
  });

  test("members we relay for are those with a number, each with what it shows us", () => {
    const world = new PeersWorld([x, y]);
    assert.deepEqual(world.peers.relayMembers(), [
      { slot: world.slotOf(x), number: x.number, pass: x.pass },
      { slot: world.slotOf(y), number: y.number, pass: y.pass },
    ]);
    world.peers.setPeers(
      new Map([
        [x.node, undefined],
        [y.node, y.number],
      ]),
      OWN_NUMBER,
      2,
    );
    assert.deepEqual(
      world.peers.relayMembers().map(({ number }) => number),
      [y.number],
      "another node holds its number",
    );
  });
});

describe("a handshake without a proven path", () => {
  test("leaves by the first relay at once", () => {
    const world = new PeersWorld([x, y]);
    world.find(y, { isRelay: true });
    world.publish(x, { homes: [y.node] });
    const effects = world.peers.exception({ type: "session-wanted", slot: world.slotOf(x) }, world.now);
    assert.deepEqual(waysOf(effects, world.slotOf(x)), [`${y.endpoint.ip} ${OWN_NUMBER}>${x.number}`]);
    const handshakes = formatSent(effects).filter((text) => text.startsWith("handshake"));
    assert.deepEqual(handshakes, [`handshake ${y.endpoint.ip} ${OWN_NUMBER}>${x.number}`]);
  });

  test("waits where there is none, leaves by the first relay that comes, once, and by no way after that", () => {
    const world = new PeersWorld([x, y]);
    world.publish(x, { homes: [y.node] });
    const effects = world.peers.exception({ type: "session-wanted", slot: world.slotOf(x) }, world.now);
    const handshakesOf = (effects: readonly NodeEffect[]): readonly string[] =>
      formatSent(effects).filter((text) => text.startsWith("handshake") && text.endsWith(`>${x.number}`));
    assert.deepEqual(handshakesOf(effects), []);
    assert.deepEqual(handshakesOf(world.find(y, { isRelay: true })), [`handshake ${y.endpoint.ip} ${OWN_NUMBER}>${x.number}`]);
  });
});

describe("offers", () => {
  const answersOf = (effects: readonly NodeEffect[]): number =>
    datagramsOf(effects).filter(({ way, bytes }) => way.relay?.to === x.number && x.receive(bytes, y.endpoint).type === "offer").length;

  test("are answered up to a budget of the peer, six at once and one in two seconds after that", () => {
    const world = relayedWorld();
    let answers = 0;
    for (let i = 0; i < 30; i++) answers += answersOf(world.receive(by(y, x), x.offer([])));
    assert.equal(answers, 6);
    assert.equal(world.count("probe.overBudget"), 24);
    world.now += 2_000;
    for (let i = 0; i < 5; i++) answers += answersOf(world.receive(by(y, x), x.offer([])));
    assert.equal(answers, 7);
  });

  test("make us ask only where a peer may be: not the mesh, not ourselves, not system services", () => {
    const world = relayedWorld();
    const claimed = [at("10.77.9.1"), at("127.0.0.1"), at("224.0.0.1"), at("192.0.2.9", 53), at("192.0.2.10")];
    const sent = formatSent(world.receive(by(y, x), x.offer(claimed))).filter((text) => !text.includes(">"));
    assert.deepEqual(sent, ["probe 192.0.2.10", `probe ${x.endpoint.ip}`]);
  });

  test("to an earlier run of ours, or to nobody, say nothing: the peer is told who we are now, and offers again", () => {
    relayedWorld();
    const claimed = at("192.0.2.10");
    const old = x.offer([claimed]);
    const world = new PeersWorld([x, y, z]); // another run
    world.find(y, { isRelay: true });
    const effects = world.receive(by(y, x), old);
    assert.ok(!formatSent(effects).some((text) => text.includes(claimed.ip)), "an old address was asked");
    assert.equal(answersOf(effects), 2, "to begin with, and for the offer");
    assert.equal(world.count("probe.oldOffer"), 1);
    assert.ok(formatSent(world.receive(by(y, x), x.offer([claimed]))).includes(`probe ${claimed.ip}`));
    world.receive(by(y, x), old);
    assert.equal(world.count("probe.replayed"), 1);
  });

  test("that answer what we have not asked in this run are not even answered", () => {
    relayedWorld();
    const old = x.offer([at("192.0.2.10")], true);
    const world = new PeersWorld([x, y, z]);
    world.find(y, { isRelay: true });
    assert.deepEqual(world.receive(by(y, x), old), []);
    assert.equal(world.count("probe.oldOffer"), 1);
  });

  test("say where we are seen, then our own addresses, and no more than fit", () => {
    const world = relayedWorld();
    world.own = [OWN, ...Array.from({ length: 30 }, (_, i) => at(`192.168.2.${i + 1}`))];
    const said = datagramsOf(world.receive(by(y, x), x.offer([]))).flatMap(({ way, bytes }) => {
      const outcome = way.relay?.to === x.number ? x.receive(bytes, y.endpoint) : undefined;
      return outcome?.type === "offer" ? [[...outcome.reflexive, ...outcome.own]] : [];
    });
    assert.equal(said.length, 1);
    assert.equal(said[0]?.length, MAX_OFFERED);
    assert.deepEqual(said[0]?.slice(0, 2), [PUBLIC, OWN]);
  });
});

describe("where others find us", () => {
  const reflexive = (world: PeersWorld): readonly Endpoint[] => world.peers.place(world.now).reflexive;

  test("one member's lie about our address reaches nobody: not the record, not an offer", () => {
    const lie = at("192.0.2.66", 6_666);
    const world = new PeersWorld([x, y, z, w]);
    world.find(y, { isRelay: true });
    world.find(z, {}, lie);
    assert.deepEqual(reflexive(world), [], "one word against another");
    const sought = [...world.publish(x, { homes: [y.node] }), ...world.peers.want(x.node, world.now)];
    const offers = datagramsOf(sought).flatMap(({ way, bytes }) => {
      const outcome = way.relay?.to === x.number ? x.receive(bytes, y.endpoint) : undefined;
      return outcome?.type === "offer" ? [[...outcome.reflexive, ...outcome.own]] : [];
    });
    assert.deepEqual(offers, [[OWN]]);
    world.find(w);
    assert.deepEqual(reflexive(world), [PUBLIC], "two that agree");
  });

  test("what routers map is told first, once, and leaves half of the room to what members see", () => {
    const world = new PeersWorld([x, y]);
    world.find(x);
    world.find(y);
    const mapped = [1, 2, 3, 4, 5].map((last) => at(`198.18.0.${last}`, 40_000));
    world.mapped = mapped;
    assert.deepEqual(reflexive(world), [...mapped.slice(0, 2), PUBLIC]);
    world.mapped = [PUBLIC];
    assert.deepEqual(reflexive(world), [PUBLIC], "seen as it is mapped");
  });

  test("it is told when a word is another one, and forgotten when our network changes or the peer is gone", () => {
    const world = new PeersWorld([x, y]);
    world.peers.takeMoved();
    world.find(y);
    assert.deepEqual([world.peers.takeMoved(), world.peers.takeMoved()], [true, false]);
    world.set([x]);
    assert.deepEqual(reflexive(world), []);
    world.find(x);
    assert.deepEqual(reflexive(world), [PUBLIC]);
    world.peers.networkChanged(world.now);
    assert.deepEqual(reflexive(world), []);
  });

  test("whoever gets a PING unasked from outside is reachable; one that follows ours proves nothing", () => {
    const asking = new PeersWorld([x, y]);
    asking.find(x);
    asking.receive({ endpoint: x.endpoint }, x.ping());
    assert.equal(asking.peers.place(asking.now).isReachable, false);
    asking.receive({ endpoint: y.endpoint }, y.ping());
    assert.equal(asking.peers.place(asking.now).isReachable, true);
    assert.equal(asking.peers.takeMoved(), true);
    const relayed = new PeersWorld([x, y]);
    relayed.find(y);
    relayed.until(600_000, [y]);
    assert.ok(datagramsOf(relayed.receive(by(y, x), x.ping())).length > 0);
    assert.equal(relayed.peers.place(relayed.now).isReachable, false, "by a relay it proves nothing, however long ago that was sent to");
    asking.peers.networkChanged(asking.now);
    assert.equal(asking.peers.place(asking.now).isReachable, false, "it has no public address of its own");
  });
});

describe("home relays", () => {
  const homes = (world: PeersWorld): readonly string[] => world.peers.place(world.now).homes;
  const pingsTo = (effects: readonly NodeEffect[], peer: FarPeer): number =>
    formatSent(effects).filter((text) => text === `probe ${peer.endpoint.ip}`).length;

  test("two that offer are looked for at once, and kept open: 20 to 26 s and 100 to 110 s apart; others are not", () => {
    const world = new PeersWorld([x, y, z, w]);
    const found = [y, z, w].map((peer) => world.publish(peer, { isReachable: true, isRelay: true }));
    for (const [i, peer] of [y, z, w].entries()) world.answer(found[i] ?? [], peer);
    assert.deepEqual(homes(world), [y.node, z.node]);
    world.find(x);
    const sent = world.until(world.now + 600_000, [x, y, z, w]);
    const [toHome, toStandby] = [pingsTo(sent, y), pingsTo(sent, z)];
    assert.ok(toHome >= 23 && toHome <= 30 && toStandby >= 5 && toStandby <= 6, `${toHome} and ${toStandby} in ten minutes`);
    assert.deepEqual([pingsTo(sent, x), pingsTo(sent, w)], [0, 0]);
    assert.deepEqual([world.stateOf(x), world.stateOf(y), world.stateOf(z)], ["dormant", "direct", "direct"]);
  });

  test("one that fails is replaced, and says goodbye is", () => {
    const world = new PeersWorld([x, y, z, w]);
    world.find(y, { isRelay: true });
    world.find(z, { isRelay: true });
    world.find(w, { isRelay: true });
    assert.deepEqual(homes(world), [y.node, z.node]);
    world.peers.takeMoved();
    world.until(world.now + 40_000, [z, w]);
    assert.ok(homes(world).includes(z.node) && !homes(world).includes(y.node), "y answers no more");
    assert.equal(world.peers.takeMoved(), true);
    world.peers.stopped(z.node, world.now);
    assert.ok(!homes(world).includes(z.node));
  });

  test("whoever is reachable needs none, unless a NAT must be kept from forgetting", () => {
    const behind = new PeersWorld([x, y]);
    behind.find(y, { isRelay: true });
    behind.receive({ endpoint: x.endpoint }, x.ping());
    assert.deepEqual(homes(behind), [y.node]);
    const world = new PeersWorld([x, y]);
    world.find(y, { isRelay: true }, OWN);
    assert.deepEqual(homes(world), [y.node]);
    world.receive({ endpoint: x.endpoint }, x.ping());
    assert.deepEqual(homes(world), []);
    const sent = world.until(world.now + 600_000, [x, y], OWN);
    assert.ok(pingsTo(sent, y) <= 3, "it is kept open no more");
  });

  test("a relay that packets go by is asked every 10 s, and no more when the peer is asleep", () => {
    const world = relayedWorld(OWN);
    world.receive({ endpoint: z.endpoint }, z.ping()); // reachable, and no NAT: no homes
    const { now } = world;
    const awake = world.until(now + 11_000, [y, z], OWN);
    assert.equal(pingsTo(awake, y), 1);
    const sent = world.until(now + 600_000, [y, z], OWN);
    assert.equal(world.stateOf(x), "dormant");
    assert.equal(pingsTo(sent, y), 0, "for a peer that is asleep");
  });
});

describe("by TCP", () => {
  const shim = at("127.0.0.1", 7_000);
  const way = { endpoint: shim, stream: at("127.0.0.1", 7_001) };
  const offer = { isReachable: true, isRelay: true, tcpRelays: [at(y.endpoint.ip, 443)] };

  /** y takes TCP and answers nothing by UDP; a connection to it is open. */
  function blockedWorld(): PeersWorld {
    const world = new PeersWorld([x, y, z]);
    world.publish(y, offer);
    world.peers.want(y.node, world.now);
    const effects = world.until(world.now + 1_500);
    assert.deepEqual(
      effects.filter(({ type }) => type === "open-tcp-way"),
      [{ type: "open-tcp-way", node: y.node, endpoints: offer.tcpRelays }],
    );
    const asked = world.peers.tcpWay(y.node, way, world.now);
    answerByTcp(world, asked);
    return world;
  }

  function answerByTcp(world: PeersWorld, effects: readonly NodeEffect[]): void {
    for (const { way: sent, bytes } of datagramsOf(effects)) {
      const isByTcp = sent.endpoint.ip === shim.ip && sent.endpoint.port === shim.port && sent.relay === undefined;
      const outcome = isByTcp ? y.receive(bytes, at("127.9.9.9", 9_999)) : undefined;
      if (outcome?.type === "ping") world.receive({ endpoint: shim }, outcome.pong);
    }
  }

  test("UDP is silent: a connection is asked for, and what leads to it is the path", () => {
    const world = blockedWorld();
    assert.equal(world.stateOf(y), "direct");
    assert.deepEqual([world.peers.isByTcp(y.node), world.peers.isUdpBlocked], [true, true]);
    assert.deepEqual(world.peers.tcpStreamOf(y.node), way.stream);
    assert.deepEqual(world.peers.place(world.now).homes, [y.node], "and it relays by it");
  });

  test("what its PONGs say of our address is the bridge's, and is not believed; nor does a PING by it make us reachable", () => {
    const world = blockedWorld();
    assert.deepEqual([world.peers.observed(), world.peers.place(world.now).reflexive], [[], []]);
    world.receive({ endpoint: shim }, y.ping());
    assert.equal(world.peers.place(world.now).isReachable, false);
    world.receive({ endpoint: at("192.0.2.7") }, z.ping());
    assert.equal(world.peers.place(world.now).isReachable, true, "one by the net does");
  });

  test("nor does one that a bridge hands on to a node that takes TCP, from an address that nothing was ever sent to", () => {
    const offering = new PeersWorld([z], true);
    offering.receive({ endpoint: at("127.9.9.9", 7_005) }, z.ping());
    assert.equal(offering.peers.place(offering.now).isReachable, false);
  });

  test("of two relays the one that UDP reaches is the first, whatever its round trip", () => {
    const world = blockedWorld();
    world.find(z, { isRelay: true });
    world.publish(x, { homes: [y.node, z.node] });
    const path = world.peers.peer(x.node)?.path;
    assert.deepEqual([path?.relays, path?.tcpRelays], [[z.node, y.node], [y.node]]);
    assert.deepEqual(formatSent(world.peers.want(x.node, world.now)).slice(-2), ["probe 198.51.100.4 1>2", "probe 127.0.0.1 1>2"]);
  });

  test("nothing comes by an open connection: it is closed, and another one asked for", () => {
    const world = blockedWorld();
    world.until(world.now + 12_000);
    world.peers.ping(y.node, world.now);
    const told = world.until(world.now + 40_000).filter(({ type }) => type.endsWith("tcp-way"));
    assert.deepEqual(
      told.map(({ type }) => type),
      ["close-tcp-way", "open-tcp-way"],
    );
  });

  test("nor what a peer says that saw us there, whatever way it came", () => {
    const world = new PeersWorld([y]);
    world.find(y, {}, at("127.0.0.1", 40_000));
    assert.equal(world.stateOf(y), "direct");
    assert.deepEqual(world.peers.observed(), []);
  });

  test("from loopback nothing else is taken, unless this node takes TCP itself", () => {
    const world = blockedWorld();
    const stranger = { endpoint: at("127.0.0.1", 7_005) };
    assert.deepEqual(world.receive(stranger, z.ping()), []);
    assert.equal(world.count("udp.sourceNotUsable"), 1);
    const offering = new PeersWorld([x, y, z], true);
    assert.equal(datagramsOf(offering.receive(stranger, z.ping())).length, 2, "answered, and asked back");
  });

  test("a peer can name no loopback endpoint of ours", () => {
    const world = blockedWorld();
    const sent = world.receive({ endpoint: shim }, y.offer([at("127.0.0.1", 8_000)]));
    assert.ok(!formatSent(sent).some((one) => one.includes("127.0.0.1") && one.includes("8000")));
    assert.ok(world.peers.peer(y.node)?.path.endpoints.every(({ port }) => port !== 8_000));
  });

  test("UDP answers again: the path is straight at once, and what y relays goes along", () => {
    const world = blockedWorld();
    const answered = world.answer(world.until(world.now + 62_000), y);
    assert.equal(world.peers.isByTcp(y.node), false);
    assert.ok(waysOf(answered, world.slotOf(y)).includes(y.endpoint.ip));
    const closed = world.until(world.now + 31_000, [y]).filter(({ type }) => type === "close-tcp-way");
    assert.equal(closed.length, 1);
    assert.equal(world.stateOf(y), "direct");
  });

  test("the connection breaks: the path is doubted, and another one asked for", () => {
    const world = blockedWorld();
    world.until(world.now + 20_000);
    answerByTcp(world, world.peers.ping(y.node, world.now));
    world.peers.tcpWay(y.node, undefined, world.now);
    const effects = world.until(world.now + 3_000);
    assert.ok(effects.some(({ type }) => type === "open-tcp-way"));
    assert.notEqual(world.stateOf(y), "direct");
    assert.equal(world.peers.tcpStreamOf(y.node), undefined);
  });
});
