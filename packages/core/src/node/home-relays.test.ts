import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../ids/node-id.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { MAX_HOMES } from "../records/endpoint-record.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { chooseHomes, type RelayOffer } from "./home-relays.ts";

const [a, b, c, d] = [idOf("a"), idOf("b"), idOf("c"), idOf("d")];
const offer = (node: NodeId, rtt: number | undefined): RelayOffer => ({ node, rtt });

for (const [what, current, offers, expected] of [
  ["nobody offers", [], [], []],
  ["none of those that offer is up", [], [offer(a, undefined), offer(b, undefined)], []],
  ["the only one", [], [offer(a, 80)], [a]],
  ["the two nearest, the nearest first", [], [offer(a, 80), offer(b, 10), offer(c, 40)], [b, c]],
  ["those there are stay, in their order, whatever is a little nearer", [a, b], [offer(a, 50), offer(b, 40), offer(c, 31)], [a, b]],
  ["one that is down makes room for the nearest", [a, b], [offer(a, undefined), offer(b, 90), offer(c, 80), offer(d, 75)], [b, d]],
  ["one that offers no more makes room, too", [a, b], [offer(b, 90), offer(c, 80)], [b, c]],
  ["a missing one is filled in behind", [a], [offer(a, 90), offer(b, 10)], [a, b]],
  ["nearer by 20 ms and by less than 20 %: they stay", [a, b], [offer(a, 200), offer(b, 180), offer(c, 161)], [a, b]],
  ["nearer by 20 % and by less than 20 ms: they stay", [a, b], [offer(a, 50), offer(b, 20), offer(c, 31)], [a, b]],
  ["much nearer: the farthest goes, and its place is taken", [a, b], [offer(a, 100), offer(b, 90), offer(c, 80)], [c, b]],
  ["of several that are much nearer the nearest takes it", [a, b], [offer(a, 90), offer(b, 100), offer(c, 20), offer(d, 10)], [a, d]],
] as const satisfies readonly (readonly [string, readonly NodeId[], readonly RelayOffer[], readonly NodeId[]])[]) {
  test(what, () => assert.deepEqual(chooseHomes(current, offers), expected));
}

test("seed 1: in 5,000 random choices homes are up, different and as many as there can be; when nothing changes they stay, in a few steps", () => {
  const random = new SeededRandom(1);
  const nodes = Array.from({ length: 6 }, (_, i) => idOf(`relay ${i}`));
  for (let run = 0; run < 5_000; run++) {
    const offers = nodes
      .filter(() => random.below(4) > 0)
      .map((node) => offer(node, random.below(3) === 0 ? undefined : random.below(200)));
    const current = nodes.filter(() => random.below(3) === 0).slice(0, MAX_HOMES);
    let homes = chooseHomes(current, offers);
    const up = offers.filter(({ rtt }) => rtt !== undefined);
    assert.equal(homes.length, Math.min(MAX_HOMES, up.length));
    assert.equal(new Set(homes).size, homes.length);
    assert.ok(homes.every((home) => up.some(({ node }) => node === home)));
    for (let step = 0; step < MAX_HOMES; step++) homes = chooseHomes(homes, offers);
    assert.deepEqual(chooseHomes(homes, offers), homes, "it flaps");
  }
});
