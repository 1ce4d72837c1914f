import assert from "node:assert/strict";
import { test } from "node:test";
import { formatEndpoint } from "../address/endpoint.ts";
import {
  ARRIVED,
  arrives,
  endpointOf,
  filteringOf,
  ipOf,
  LATENCY,
  type Lab,
  type LabSocket,
  mappingOf,
  openLab,
  openServer,
  type ProbeServer,
  portOf,
  reflexive,
} from "./nat-lab-fixture.ts";
import { SeededRandom } from "./seeded-random.ts";
import { type MutableBoxStats, NAT_KINDS, NatBox, type NatKind, type NatName, PORT_BLOCK } from "./sim-nat.ts";
import type { SimSite, SiteKind } from "./sim-site.ts";

const NAMES = Object.keys(NAT_KINDS) as readonly NatName[];
const WAN = "198.51.100.1";
const LIFETIME = 30_000;
/** Of an inside host: chosen so that no hash of it is the port itself. */
const INSIDE = "192.168.1.10:41641";

interface Scene extends Lab {
  readonly site: SimSite;
  readonly server: ProbeServer;
  /** A socket of the one host inside. */
  client(port?: number): LabSocket;
}

function behind(kind: SiteKind, options: { readonly seed?: number; readonly publicIps?: readonly string[] } = {}): Scene {
  const lab = openLab(options.seed);
  const site = lab.network.addSite("home", { kind, publicIps: (options.publicIps ?? [WAN]).map(ipOf) });
  const client = (port = 41_641): LabSocket => lab.socket("client", `192.168.1.10:${port}`, site);
  return { ...lab, site, server: openServer(lab), client };
}

for (const name of NAMES)
  test(`${name} is found to be of its class, as RFC 5780 looks for it`, () => {
    const scene = behind(name);
    assert.equal(mappingOf(scene, scene.client(40_001), scene.server), NAT_KINDS[name].mapping);
    assert.equal(filteringOf(scene, scene.client(40_002), scene.server), NAT_KINDS[name].filtering);
    const filtered = { "endpoint-independent": 0, "address-dependent": 1, "address-and-port-dependent": 2 };
    assert.equal(scene.site.stats.filtered, filtered[NAT_KINDS[name].filtering]);
  });

test("a filter does not translate, and lets answers in only", () => {
  const lab = openLab();
  const site = lab.network.addSite("office", { kind: "fw", publicIps: [ipOf(WAN)] });
  const server = openServer(lab);
  assert.equal(mappingOf(lab, lab.socket("client", `${WAN}:40001`, site), server), "none");
  assert.equal(filteringOf(lab, lab.socket("client", `${WAN}:40002`, site), server), "address-and-port-dependent");
});

test("a site without UDP lets none out and none in", () => {
  const scene = behind("udp-block");
  const { client, server, site, clock } = scene;
  assert.equal(reflexive(scene, client(), server.sockets.a1), undefined);
  server.sockets.a1.send(`${WAN}:41641`);
  clock.advance(ARRIVED);
  assert.deepEqual(site.stats, { mappings: 0, peakMappings: 0, filtered: 1, refused: 1 });
});

test("ports: kept, following from what is mapped, one after the other, by chance, from a block, and addresses from a pool", () => {
  const seen = (kind: NatName, publicIps = [WAN]): readonly string[] => {
    const scene = behind(kind, { publicIps });
    const { client, server } = scene;
    const socket = client();
    return Object.values(server.sockets).map((to) => reflexive(scene, socket, to) ?? "");
  };
  const portsOf = (kind: NatName): readonly number[] => seen(kind).map(portOf);
  assert.deepEqual(new Set(portsOf("masq")), new Set([41_641]));
  assert.ok(!portsOf("eimr-eif").includes(41_641));
  assert.deepEqual(portsOf("apdm-hash"), portsOf("apdm-hash"));
  const [first = 0, ...next] = portsOf("sym-seq");
  assert.deepEqual(next, [first + 1, first + 2, first + 3]);
  const random = portsOf("sym-rand");
  assert.ok(new Set(random).size === 4 && Math.max(...random) - Math.min(...random) > PORT_BLOCK);
  assert.equal(new Set(portsOf("sym-block").map((port) => Math.floor(port / PORT_BLOCK))).size, 1);
  const pool = Array.from({ length: 8 }, (_, i) => `198.51.100.${1 + i}`);
  assert.equal(new Set(seen("sym-pool", pool).map((text) => endpointOf(text).ip)).size, 2, "one for each of the server's addresses");
  assert.equal(new Set(seen("eim-eif", pool)).size, 1, "paired pooling");
});

test("a port that is taken: the second host gets another one, the same for all destinations", () => {
  const scene = behind("masq");
  const { client, server, site } = scene;
  const [one, two] = [client(), scene.socket("second", "192.168.1.11:41641", site)];
  assert.equal(portOf(reflexive(scene, one, server.sockets.a1)), 41_641);
  const other = reflexive(scene, two, server.sockets.a1);
  assert.ok(![41_641, 41_642].includes(portOf(other)), "not a neighbour, which could be guessed");
  assert.equal(reflexive(scene, two, server.sockets.b1), other);
});

test("a mapping ends when it was idle for its lifetime, not a millisecond before", () => {
  const scene = behind("eim-eif");
  const { client, server, clock } = scene;
  const socket = client();
  const external = reflexive(scene, socket, server.sockets.a1) ?? "";
  clock.advance(LIFETIME - 1 - LATENCY - ARRIVED);
  assert.ok(arrives(scene, server.sockets.b2, { external, client: socket }), "29,999 ms after it was used");
  clock.advance(1_000);
  assert.ok(!arrives(scene, server.sockets.b2, { external, client: socket }), "what comes in keeps nothing open");

  socket.send(formatEndpoint(server.sockets.a1.endpoint));
  clock.advance(LIFETIME - LATENCY);
  assert.ok(!arrives(scene, server.sockets.b2, { external, client: socket }), "30,000 ms after it was used");
});

test("where it is stated, what comes in keeps it open too", () => {
  const scene = behind("masq");
  const { client, server, clock } = scene;
  const socket = client();
  const external = reflexive(scene, socket, server.sockets.a1) ?? "";
  for (let i = 0; i < 4; i++) {
    clock.advance(LIFETIME - 1_000);
    assert.ok(arrives(scene, server.sockets.a1, { external, client: socket }));
  }
  clock.advance(LIFETIME);
  assert.ok(!arrives(scene, server.sockets.a1, { external, client: socket }));
});

test("a remote that was sent nothing loses its right, though the mapping lives for others", () => {
  const scene = behind("eimr-apdf");
  const { client, server, clock } = scene;
  const socket = client();
  const external = reflexive(scene, socket, server.sockets.a1) ?? "";
  for (let i = 0; i < 3; i++) {
    clock.advance(9_000);
    assert.equal(reflexive(scene, socket, server.sockets.b1), external);
  }
  clock.advance(5_000);
  assert.ok(!arrives(scene, server.sockets.a1, { external, client: socket }));
  assert.ok(arrives(scene, server.sockets.b1, { external, client: socket }));
});

test("an early probe displaces the flow to that very peer, and to no other", () => {
  const scene = behind("masq-open");
  const { client, server, clock } = scene;
  const socket = client();
  const { a1, b1, b2 } = server.sockets;
  const external = reflexive(scene, socket, a1) ?? "";
  assert.ok(!arrives(scene, b1, { external, client: socket }));
  const displaced = reflexive(scene, socket, b1) ?? "";
  assert.notEqual(displaced, external);
  assert.equal(reflexive(scene, socket, b1), displaced, "as long as it is used");
  assert.ok(arrives(scene, b1, { external: displaced, client: socket }));
  assert.ok(!arrives(scene, b1, { external, client: socket }));
  assert.equal(reflexive(scene, socket, b2), external);
  clock.advance(LIFETIME);
  assert.equal(reflexive(scene, socket, b1), external, "the probe is forgotten");
});

test("stock masquerading is not moved by an early probe, and with a low TTL first, the open one is not either", () => {
  for (const [kind, ttl] of [
    ["masq", undefined],
    ["masq-open", 4],
  ] as const) {
    const scene = behind(kind);
    const { client, server, clock } = scene;
    const socket = client();
    const { a1, b1 } = server.sockets;
    const external = reflexive(scene, socket, a1) ?? "";
    if (ttl !== undefined) socket.send(formatEndpoint(b1.endpoint), { ttl });
    clock.advance(ARRIVED);
    assert.deepEqual(b1.inbox, []);
    assert.equal(arrives(scene, b1, { external, client: socket }), ttl !== undefined);
    assert.equal(reflexive(scene, socket, b1), external);
  }
});

test("hairpin: between two inside hosts by their external endpoints, from external endpoints, if the NAT does that", () => {
  for (const isOn of [true, false]) {
    const scene = behind({ ...NAT_KINDS["eimr-apdf"], hairpin: isOn });
    const { client, server, clock, site } = scene;
    const [one, two] = [client(), scene.socket("second", "192.168.1.11:41641", site)];
    const [external1 = "", external2 = ""] = [one, two].map((socket) => reflexive(scene, socket, server.sockets.a1));
    one.send(external2);
    clock.advance(ARRIVED);
    assert.deepEqual(two.inbox, [], "filtered as anything from outside");
    two.send(external1, { ttl: 4 });
    one.send(external2);
    clock.advance(ARRIVED);
    assert.deepEqual(one.inbox, isOn ? [external2] : []);
    assert.deepEqual(two.inbox, isOn ? [external1] : []);
  }
});

test("when all ports are taken, it refuses; when they are idle, it maps again", () => {
  const { box, stats } = boxOf(NAT_KINDS["sym-seq"]);
  const inside = endpointOf(INSIDE);
  const remoteOf = (i: number): ReturnType<typeof endpointOf> => ({ ip: ipOf(`203.0.${i >> 15}.1`), port: 1 + (i & 0x7fff) });
  for (let i = 0; i < 64_512; i++) assert.ok(box.outbound(inside, remoteOf(i), 0) !== undefined);
  assert.equal(box.outbound(inside, remoteOf(64_512), 0), undefined);
  assert.ok(box.outbound(inside, remoteOf(7), 1) !== undefined, "what is mapped goes on");
  assert.deepEqual(stats, { mappings: 64_512, peakMappings: 64_512, filtered: 0, refused: 1 });
  assert.ok(box.outbound(inside, remoteOf(64_512), LIFETIME) !== undefined);
  assert.deepEqual(stats, { mappings: 64_513, peakMappings: 64_512, filtered: 0, refused: 1 });
  assert.equal(box.mappingsNow(LIFETIME).length, 2);
});

test("of a block of ports, 1,024 go to one inside address, and another address has another block", () => {
  const { box, stats } = boxOf(NAT_KINDS["sym-block"]);
  const inside = endpointOf(INSIDE);
  const remoteOf = (port: number): ReturnType<typeof endpointOf> => ({ ip: ipOf("203.0.113.1"), port });
  const ports = Array.from({ length: PORT_BLOCK }, (_, i) => box.outbound(inside, remoteOf(i + 1), 0)?.port ?? 0);
  assert.deepEqual(new Set(ports).size, PORT_BLOCK);
  assert.equal(Math.max(...ports) - Math.min(...ports), PORT_BLOCK - 1);
  assert.equal(box.outbound(inside, remoteOf(2_000), 0), undefined);
  assert.equal(stats.refused, 1);
  // 63 blocks are all there are.
  const others = Array.from({ length: 63 }, (_, i) => box.outbound({ ip: ipOf(`192.168.1.${11 + i}`), port: 1 }, remoteOf(1), 0)?.port);
  const blocks = [...ports, ...others.slice(0, 62)].map((port) => Math.floor((port ?? 0) / PORT_BLOCK));
  assert.equal(new Set(blocks).size, 63);
  assert.equal(others.at(-1), undefined);
});

test("a reboot: nothing comes in until something goes out; kept and hashed ports are the same again, others are not", () => {
  for (const name of NAMES) {
    const scene = behind(name);
    const { client, server, network, site } = scene;
    const socket = client();
    const external = reflexive(scene, socket, server.sockets.a1) ?? "";
    assert.ok(arrives(scene, server.sockets.a1, { external, client: socket }));
    network.rebootNat(site);
    assert.ok(!arrives(scene, server.sockets.a1, { external, client: socket }));
    const again = reflexive(scene, socket, server.sockets.a1) ?? "";
    const { allocation, isRemappedByEarlyProbe } = NAT_KINDS[name];
    const isSame = (allocation === "preserving" || allocation === "hashed") && isRemappedByEarlyProbe !== true;
    assert.equal(again === external, isSame, `${name}: ${external}, then ${again}`);
    assert.ok(arrives(scene, server.sockets.a1, { external: again, client: socket }));
  }
});

test("another public address: the old one is nobody's, and the new one is that of the next flow", () => {
  const scene = behind("masq");
  const { client, server, network, site } = scene;
  const socket = client();
  const external = reflexive(scene, socket, server.sockets.a1) ?? "";
  network.renumberSite(site, ipOf("198.51.100.9"));
  assert.ok(!arrives(scene, server.sockets.a1, { external, client: socket }));
  assert.equal(site.stats.filtered, 0, "it does not even come to the gateway");
  assert.equal(reflexive(scene, socket, server.sockets.a1), "198.51.100.9:41641");
});

test("the same seed gives the same ports, another one others", () => {
  const seen = (kind: NatName, seed: number): readonly (string | undefined)[] => {
    const scene = behind(kind, { seed });
    const { client, server } = scene;
    const socket = client();
    return Object.values(server.sockets).map((to) => reflexive(scene, socket, to));
  };
  for (const kind of ["sym-seq", "sym-rand", "sym-block"] as const) {
    assert.deepEqual(seen(kind, 1), seen(kind, 1));
    assert.notDeepEqual(seen(kind, 1), seen(kind, 2));
  }
});

for (const name of NAMES)
  test(`${name}: at every moment each external endpoint belongs to one mapping, and leads back to it, seed 1`, () => {
    const random = SeededRandom.named(1, name);
    const { box } = boxOf({ ...NAT_KINDS[name], lifetime: 300 });
    const someone = (network: string, hosts: number): ReturnType<typeof endpointOf> =>
      endpointOf(`${network}.${1 + random.below(hosts)}:${2_000 + random.below(20)}`);
    let now = 0;
    for (let i = 0; i < 1_500; i++) {
      now += random.below(10);
      const remote = someone("203.0.113", 5);
      const inside = someone("192.168.1", 5);
      const external = box.outbound(inside, remote, now);
      assert.ok(external !== undefined);
      assert.deepEqual(box.inbound(remote, external, now), inside);
      box.inbound(someone("203.0.113", 5), { ip: external.ip, port: 2_000 + random.below(20) }, now);
      if (random.below(500) === 0) box.reboot();
      const mappings = box.mappingsNow(now);
      assert.equal(new Set(mappings.map((mapping) => formatEndpoint(mapping.external))).size, mappings.length);
      for (const mapping of mappings) assert.deepEqual(box.insideOf(mapping.external, now), mapping.inside);
    }
  });

function boxOf(kind: NatKind): { readonly box: NatBox; readonly stats: MutableBoxStats } {
  const stats = { mappings: 0, peakMappings: 0, filtered: 0, refused: 0 };
  return { box: new NatBox({ kind, publicIps: [ipOf(WAN)], random: new SeededRandom(1), stats }), stats };
}
