import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { minutes } from "../time/millis.ts";
import { KeptHomes } from "./kept-homes.ts";
import { Rendezvous } from "./rendezvous.ts";

const [used, standby, stranger] = [idOf("a"), idOf("b"), idOf("c")];
const from: Endpoint = { ip: "192.0.2.1" as Ip, port: 51_820 };
const seen = (port: number, ip = "198.51.100.1"): { from: Endpoint; at: Endpoint } => ({ from, at: { ip: ip as Ip, port } });

class World {
  network = "home";
  changes = 0;
  readonly asked: Uint8Array[] = [];
  readonly rendezvous = new Rendezvous(new SeededRandom(1));
  readonly homes = new KeptHomes({
    random: new SeededRandom(1),
    rendezvous: this.rendezvous,
    network: () => this.network,
    keepalive: () => [],
    say: (_slot, _way, { token }) => {
      this.asked.push(token);
      return [];
    },
    homesChanged: () => this.changes++,
  });

  constructor() {
    this.rendezvous.choose([
      { node: used, rtt: 10 },
      { node: standby, rtt: 11 },
    ]);
  }

  every(): readonly number[] {
    return [used, standby].map((home) => Math.round((this.rendezvous.keepaliveOf(home) ?? 0) / 1_000));
  }
}

test("a standby that sees another port twice in a row is not named any more, and asked half as often", () => {
  const world = new World();
  const [of, before = 0] = world.every();
  for (const [n, port] of [1_000, 2_000].entries()) world.homes.answered(standby, seen(port), n);
  assert.deepEqual(world.homes.named, [used, standby], "a NAT may start anew");
  world.homes.answered(standby, seen(3_000), 3);
  assert.deepEqual(world.homes.named, [used]);
  assert.equal(world.changes, 1);
  const [same, after = 0] = world.every();
  assert.equal(same, of);
  assert.ok(before <= 110 && after >= 200, `${before} and ${after} s`);
  world.homes.answered(standby, seen(3_000), 4);
  assert.deepEqual(world.homes.named, [used, standby], "the NAT remembers for so long now");
});

test("what others see, or a home by another address, tells nothing of the NAT; another network is another one", () => {
  const world = new World();
  for (let port = 1_000; port < 1_009; port++) world.homes.answered(stranger, seen(port), port);
  for (let n = 1; n < 9; n++) world.homes.answered(standby, seen(n, `198.51.100.${n}`), n);
  assert.deepEqual(world.homes.named, [used, standby]);
  for (const port of [1, 2, 3]) world.homes.answered(standby, seen(port), port);
  assert.deepEqual(world.homes.named, [used]);
  world.network = "office";
  world.homes.asked(0, used, { endpoint: from }, 10);
  assert.deepEqual(world.homes.named, [used, standby]);
});

test("neither another place of the same home nor a sleep of the host says that the NAT forgot", () => {
  const world = new World();
  const elsewhere: Endpoint = { ip: "192.0.2.2" as Ip, port: 51_820 };
  for (let n = 0; n < 9; n++) world.homes.answered(standby, n % 2 === 0 ? seen(n) : { ...seen(n), from: elsewhere }, n);
  assert.deepEqual(world.homes.named, [used, standby]);
  for (let n = 1; n < 9; n++) world.homes.answered(standby, seen(n), n * minutes(30));
  assert.deepEqual(world.homes.named, [used, standby]);
});

test("another standby has its own ports; a home that is left is asked nothing more of", () => {
  const world = new World();
  for (const port of [1, 2, 3]) world.homes.answered(standby, seen(port), port);
  assert.deepEqual(world.homes.named, [used]);
  world.rendezvous.choose([
    { node: used, rtt: 10 },
    { node: stranger, rtt: 11 },
  ]);
  world.homes.replaced();
  assert.deepEqual(world.homes.named, [used, stranger]);
});

test("a keepalive by a relay or by TCP asks for no call back", () => {
  const world = new World();
  world.homes.asked(0, used, { endpoint: { ip: "127.0.0.1" as Ip, port: 40_000 } }, 1);
  world.homes.asked(0, used, { endpoint: from, relay: { from: 1, to: 2, pass: 3 } }, 1);
  assert.equal(world.asked.length, 0);
  world.homes.asked(0, used, { endpoint: from }, 1);
  assert.equal(world.asked.length, 1);
});
