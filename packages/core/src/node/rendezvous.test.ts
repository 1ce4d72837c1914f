import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../ids/node-id.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type RelayOffer, STANDBY_KEEPALIVE } from "./home-relays.ts";
import { KEEPALIVES } from "./nat-lifetime.ts";
import { Rendezvous } from "./rendezvous.ts";

const [a, b, c, d] = [idOf("a"), idOf("b"), idOf("c"), idOf("d")];
const IN_USE = 10_000;
const up = (...nodes: readonly NodeId[]): readonly RelayOffer[] => nodes.map((node, i) => ({ node, rtt: 10 + i }));

function isWithin(value: number | undefined, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return value !== undefined && value >= min && value < max;
}

test("the home in use is asked every 20 to 26 s, the standby every 100 to 110 s, others not at all", () => {
  const drawn = new Set<number | undefined>();
  for (let seed = 1; seed <= 50; seed++) {
    const rendezvous = new Rendezvous(new SeededRandom(seed));
    assert.deepEqual(rendezvous.choose(up(a, b, c)), { changed: [a, b], wanted: [] });
    assert.deepEqual(rendezvous.homes, [a, b]);
    assert.ok(isWithin(rendezvous.keepaliveOf(a), KEEPALIVES[0]), `${rendezvous.keepaliveOf(a)}`);
    assert.ok(isWithin(rendezvous.keepaliveOf(b), STANDBY_KEEPALIVE), `${rendezvous.keepaliveOf(b)}`);
    assert.equal(rendezvous.keepaliveOf(c), undefined);
    drawn.add(rendezvous.keepaliveOf(a));
  }
  assert.ok(drawn.size > 40, "a relay's clients speak at once");
});

test("while homes stay nothing changes, intervals neither", () => {
  const rendezvous = new Rendezvous(new SeededRandom(1));
  rendezvous.choose(up(a, b));
  const before = [rendezvous.keepaliveOf(a), rendezvous.keepaliveOf(b)];
  assert.deepEqual(rendezvous.choose(up(b, a, c)), { changed: [], wanted: [] });
  assert.deepEqual([rendezvous.keepaliveOf(a), rendezvous.keepaliveOf(b)], before);
});

test("a home that is down is replaced, its standby is asked as a home from then on, and it is asked no more", () => {
  const rendezvous = new Rendezvous(new SeededRandom(1));
  rendezvous.choose(up(a, b));
  const { changed } = rendezvous.choose([{ node: a, rtt: undefined }, ...up(b, c)]);
  assert.deepEqual(new Set(changed), new Set([a, b, c]));
  assert.deepEqual(rendezvous.homes, [b, c]);
  assert.equal(rendezvous.keepaliveOf(a), undefined);
  assert.ok(isWithin(rendezvous.keepaliveOf(b), KEEPALIVES[0]));
  assert.ok(isWithin(rendezvous.keepaliveOf(c), STANDBY_KEEPALIVE));
});

test("as many as homes are missing are to be found, of those that offer and are not up", () => {
  const down = [a, b, c].map((node) => ({ node, rtt: undefined }));
  const rendezvous = new Rendezvous(new SeededRandom(1));
  assert.deepEqual(rendezvous.choose(down), { changed: [], wanted: [a, b] });
  assert.deepEqual(rendezvous.choose([...down, ...up(d)]), { changed: [d], wanted: [a] });
  assert.deepEqual(rendezvous.choose([]), { changed: [d], wanted: [] });
});

test("a relay that packets go by is asked every 10 s while one peer uses it, a home too", () => {
  const rendezvous = new Rendezvous(new SeededRandom(1));
  rendezvous.choose(up(a));
  const asHome = rendezvous.keepaliveOf(a);
  assert.deepEqual(rendezvous.used(1, [a, c]), [a, c]);
  assert.deepEqual(rendezvous.used(2, [c]), [], "it is asked as often already");
  assert.deepEqual([rendezvous.keepaliveOf(a), rendezvous.keepaliveOf(c)], [IN_USE, IN_USE]);
  assert.deepEqual(rendezvous.used(1, []), [a]);
  assert.deepEqual([rendezvous.keepaliveOf(a), rendezvous.keepaliveOf(c)], [asHome, IN_USE]);
  assert.deepEqual(rendezvous.used(2, [d]), [c, d]);
  assert.deepEqual([rendezvous.keepaliveOf(c), rendezvous.keepaliveOf(d)], [undefined, IN_USE]);
});

test("homes are ranked before all others", () => {
  const rendezvous = new Rendezvous(new SeededRandom(1));
  rendezvous.choose(up(b, a));
  assert.deepEqual(
    [a, b, c].sort((one, other) => rendezvous.rank(one) - rendezvous.rank(other)),
    [b, a, c],
  );
});

test("the home in use is asked more often when the NAT forgets sooner; the standby is not", () => {
  const rendezvous = new Rendezvous(new SeededRandom(1));
  rendezvous.choose(up(a, b));
  const standby = rendezvous.keepaliveOf(b);
  const [, short, shortest] = KEEPALIVES;
  assert.ok(short !== undefined && shortest !== undefined);
  assert.deepEqual(rendezvous.keep([short, STANDBY_KEEPALIVE]), [a]);
  assert.deepEqual(rendezvous.keep([short, STANDBY_KEEPALIVE]), []);
  assert.ok(isWithin(rendezvous.keepaliveOf(a), short));
  assert.equal(rendezvous.keepaliveOf(b), standby);
  rendezvous.choose([{ node: a, rtt: undefined }, ...up(b)]);
  assert.ok(isWithin(rendezvous.keepaliveOf(b), short), "now it is the one in use");
  rendezvous.keep([shortest, STANDBY_KEEPALIVE]);
  rendezvous.used(1, [b]);
  assert.ok(isWithin(rendezvous.keepaliveOf(b), shortest), "no less often because packets go by it");
});
