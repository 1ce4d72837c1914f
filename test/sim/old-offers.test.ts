import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import type { Ip } from "../../packages/core/src/address/ip.ts";
import { Attacker, type Seen } from "./attacker.ts";
import { countOf, untilAllReach } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

const EXACT = { latency: 20, jitter: 0, loss: 0, duplication: 0 };
const [HOME, OFFICE, HOTEL] = ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map((text) => text as Ip) as [Ip, Ip, Ip];
/** An offer in its frame, behind the header of what a relay passes on. */
const OFFER_BYTES = 12 + 32 + 256 + 16;
/** Three rounds, then one PING a round (node/probe-budget.ts); each copy of a PING earns one PONG besides. */
const MOST_PINGS = 3 * 18 + 7;

runSeeds("offers of a peer's present run, replayed to a node that has started again, lead nobody to where the peer was", 3, ({ open }) => {
  const { mesh, a, b, seen, attacker } = movedAway(open(EXACT));
  const arrived = arrivals(attacker);
  restart(b);
  const offers = seen.filter(({ bytes }) => bytes.length === OFFER_BYTES);
  assert.ok(offers.length > 0);
  // As soon as the relay is known that they came by, and before anything newer comes.
  for (let step = 0; step < 100; step++) {
    attacker.replay(offers);
    mesh.clock.advance(10);
  }
  mesh.clock.advance(10_000);
  assert.deepEqual(arrived(HOME), []);
  assert.ok(countOf(b, "probe.oldOffer") > 0);
  untilAllReach(
    mesh,
    [
      [a, b],
      [b, a],
    ],
    3_000,
  );
});

runSeeds(
  "of everything that was ever sent to it, replayed to a node that has started again, a bounded number of PINGs is left",
  3,
  ({ open }) => {
    const { mesh, a, b, seen, attacker } = movedAway(open(EXACT));
    const arrived = arrivals(attacker);
    restart(b);
    attacker.replay(seen);
    mesh.clock.advance(60_000);
    const pings = seen.filter(({ from }) => from.ip === HOME).length;
    assert.ok(arrived(HOME).length <= pings + MOST_PINGS, `${arrived(HOME).length} datagrams for ${pings} copies`);
    untilAllReach(
      mesh,
      [
        [a, b],
        [b, a],
      ],
      3_000,
    );
  },
);

function restart(node: SimNode): void {
  node.crash();
  node.restart();
}

/** Datagrams of nodes to an address since then. */
function arrivals(attacker: Attacker): (ip: Ip) => readonly Seen[] {
  attacker.forget();
  const all: Seen[] = [];
  return (ip) => {
    all.push(...attacker.take());
    return all.filter(({ to, from }) => to.ip === ip && from.ip === OFFICE);
  };
}

/** Two nodes behind NATs talked, and one of them went elsewhere. `seen`: what was sent to the other until then. */
function movedAway(mesh: SimMesh): {
  readonly mesh: SimMesh;
  readonly a: SimNode;
  readonly b: SimNode;
  readonly seen: readonly Seen[];
  readonly attacker: Attacker;
} {
  const siteOf = (name: string, ip: Ip) => mesh.network.addSite(name, { kind: "eimr-apdf", publicIps: [ip] });
  const attacker = new Attacker(mesh);
  const founder = mesh.found("founder");
  const a = mesh.join("a", founder, { site: siteOf("home", HOME) });
  const b = mesh.join("b", founder, { site: siteOf("office", OFFICE) });
  mesh.clock.advance(60_000);
  for (let i = 0; i < 20; i++) {
    a.send(b);
    mesh.clock.advance(500);
  }
  const seen = attacker.take().filter(({ to }) => to.ip === OFFICE);
  a.moveTo(siteOf("hotel", HOTEL));
  mesh.clock.advance(120_000);
  return { mesh, a, b, seen, attacker };
}
