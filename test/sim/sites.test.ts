import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import { untilAllReach, untilEqualRecords } from "./mesh-facts.ts";
import { runSeeds } from "./run-seeds.ts";

type Ip = SimNode["ip"];

const CONVERGED_WITHIN = 70_000;

runSeeds("nodes behind NATs join, dial out, and agree with nodes that they cannot dial", 5, ({ open }) => {
  const { mesh, founder, one, mate, far } = meshOf(open());
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  assert.deepEqual([one.ip, mate.ip, far.ip], ["192.168.1.10", "192.168.1.11", "192.168.1.10"]);
  assert.deepEqual(one.udp, { ip: one.ip, port: 51_820 });
  assert.deepEqual(one.host, {
    addresses: [{ device: "eth0", ip: one.ip, prefixLength: 24 }],
    routes: [{ device: "eth0", prefix: { ip: "0.0.0.0", length: 0 } }],
  });
  assert.deepEqual(founder.host.routes, []);
  // Each has a link to the founder, and those of one site have one to each other; none leads into a site.
  assert.deepEqual(
    mesh.nodes.map(({ id }) => mesh.control.linksOf(id)),
    [3, 2, 2, 1],
  );
  untilAllReach(
    mesh,
    [
      [one, mate],
      [mate, one],
      [one, founder],
      [founder, one],
      [far, founder],
    ],
    20_000,
  );
  assert.ok(mesh.network.sentBy("one") > 0);
});

runSeeds("a stranger cannot ask a member that is behind a NAT, unless it is in the same site", 2, ({ open }) => {
  const { mesh, founder, one, home } = meshOf(open());
  assert.throws(() => mesh.join("late", founder, { via: one }), /no answer/);
  assert.equal(mesh.join("visitor", founder, { via: one, site: home }).site, home);
});

runSeeds("a host that is carried elsewhere: its node hears of it after 200 ms, its links break and are dialled again", 5, ({ open }) => {
  const { mesh, founder, one, far, home } = meshOf(open());
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  const before = one.ip;
  one.moveTo(undefined);
  assert.ok(!home.inside.hasHost(before));
  assert.equal(mesh.control.linksOf(one.id), 0);
  assert.notEqual(one.ip, before);
  assert.equal(one.site, undefined);
  const effects = one.effects.length;
  mesh.clock.advance(199);
  assert.ok(!one.effects.slice(effects).some(({ type }) => type === "publish-record"));
  mesh.clock.advance(11); // written first
  assert.ok(one.effects.slice(effects).some(({ type }) => type === "publish-record"));
  mesh.clock.advance(300);
  assert.ok(mesh.control.linksOf(one.id) > 0, "a node that knows of its move does not wait");
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  untilAllReach(
    mesh,
    [
      [founder, one],
      [one, founder],
      [far, one],
    ],
    20_000,
  );
  assert.ok(
    mesh.clock.advanceUntil(30_000, () => mesh.control.linksOf(one.id) === 3, 500),
    "all can dial it now",
  );
});

runSeeds("a site gets another address: links through its gateway are dead, noticed, and dialled again", 3, ({ open }) => {
  const { mesh, founder, one, mate, home } = meshOf(open());
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  mesh.network.renumberSite(home, ipOf("198.51.100.77"));
  const linksOf = (): readonly number[] => [founder, one, mate].map(({ id }) => mesh.control.linksOf(id));
  assert.deepEqual(linksOf(), [1, 1, 1], "nothing passes any more, but between the two at home");
  const remotes: string[] = [];
  const dispatch = founder.dispatch.bind(founder);
  founder.dispatch = (event) => {
    if (event.type === "link-up") remotes.push(event.remote.ip);
    dispatch(event);
  };
  assert.ok(mesh.clock.advanceUntil(30_000, () => linksOf().join() === "3,2,2", 500));
  mesh.clock.advance(500);
  assert.deepEqual(remotes, ["198.51.100.77", "198.51.100.77"]);
});

runSeeds("nodes with global IPv6 behind filters reach each other by it, whatever their NATs are", 3, ({ open }) => {
  const mesh = open();
  const siteOf = (name: string, ip: string) => mesh.network.addSite(name, { kind: "sym-rand", publicIps: [ipOf(ip)], fw6: true });
  const founder = mesh.found("founder");
  const a = mesh.join("a", founder, { site: siteOf("home", "198.51.100.1") });
  const b = mesh.join("b", founder, { site: siteOf("office", "198.51.100.2") });
  assert.deepEqual(
    a.host.addresses.map(({ ip, prefixLength }) => [ip, prefixLength]),
    [
      ["192.168.1.10", 24],
      ["2001:db8:1::a", 64],
    ],
  );
  untilEqualRecords(mesh, mesh.nodes, CONVERGED_WITHIN);
  untilAllReach(
    mesh,
    [
      [a, b],
      [b, a],
    ],
    20_000,
  );
  assert.equal(a.status().peers.find(({ id }) => id === b.id)?.endpoint, "[2001:db8:2::a]:51820");
});

function ipOf(text: string): Ip {
  return text as Ip;
}

/** A public founder, two nodes in one home, and one in another whose addresses are the same. */
function meshOf(mesh: SimMesh): {
  readonly mesh: SimMesh;
  readonly founder: SimNode;
  readonly one: SimNode;
  readonly mate: SimNode;
  readonly far: SimNode;
  readonly home: ReturnType<SimMesh["network"]["addSite"]>;
} {
  const home = mesh.network.addSite("home", { kind: "masq", publicIps: [ipOf("198.51.100.1")] });
  const other = mesh.network.addSite("other", { kind: "sym-rand", publicIps: [ipOf("198.51.100.2")], lan: "192.168.1" });
  const founder = mesh.found("founder");
  const one = mesh.join("one", founder, { site: home });
  const mate = mesh.join("mate", founder, { site: home });
  const far = mesh.join("far", founder, { site: other });
  mesh.clock.advance(12_000);
  return { mesh, founder, one, mate, far, home };
}
