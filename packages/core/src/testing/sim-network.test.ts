import assert from "node:assert/strict";
import { test } from "node:test";
import { formatEndpoint } from "../address/endpoint.ts";
import {
  ARRIVED,
  arrives,
  filteringOf,
  ipOf,
  type Lab,
  type LabSocket,
  mappingOf,
  openLab,
  openServer,
  portOf,
  reflexive,
} from "./nat-lab-fixture.ts";
import { NAT_KINDS, type NatName } from "./sim-nat.ts";
import type { SimSite, SiteKind } from "./sim-site.ts";

const SLOW = { latency: 10, jitter: 0, loss: 0, duplication: 0 };

/** Two homes with one carrier. */
interface Carried extends Lab {
  readonly carrier: SimSite;
  readonly homes: readonly [SimSite, SimSite];
  readonly hosts: readonly [LabSocket, LabSocket];
}

function twoHomes(home: SiteKind, kind: SiteKind): Carried {
  const lab = openLab();
  const carrier = lab.network.addSite("carrier", { kind, publicIps: [ipOf("198.51.100.1")] });
  const homeAt = (name: string, ip: string): SimSite => lab.network.addSite(name, { kind: home, publicIps: [ipOf(ip)], behind: carrier });
  const homes = [homeAt("home 1", "100.64.0.2"), homeAt("home 2", "100.64.0.3")] as const;
  // The same address in both, as in most homes.
  const hosts = [lab.socket("one", "192.168.1.10:41641", homes[0]), lab.socket("two", "192.168.1.10:41641", homes[1])] as const;
  return { ...lab, carrier, homes, hosts };
}

test("two NATs in a row are as strict as the stricter one, in mapping and in filtering", () => {
  for (const [home, carrier, mapping, filtering] of [
    ["masq", "masq", "endpoint-independent", "address-and-port-dependent"],
    ["eim-eif", "eimr-adf", "endpoint-independent", "address-dependent"],
    ["eim-adf", "eimr-eif", "endpoint-independent", "address-dependent"],
    ["eim-eif", "sym-rand", "address-and-port-dependent", "address-and-port-dependent"],
    ["sym-rand", "eim-eif", "address-and-port-dependent", "address-and-port-dependent"],
    ["eim-eif", "eim-eif", "endpoint-independent", "endpoint-independent"],
  ] as const satisfies readonly (readonly [NatName, NatName, string, string])[]) {
    const lab = twoHomes(home, carrier);
    const server = openServer(lab);
    assert.equal(mappingOf(lab, lab.hosts[0], server), mapping, `${home} behind ${carrier}`);
    assert.equal(filteringOf(lab, lab.socket("one", "192.168.1.10:40002", lab.homes[0]), server), filtering, `${home} behind ${carrier}`);
  }
});

test("two homes of one carrier meet by its external endpoints where it hairpins, and by their addresses in its network anyway", () => {
  for (const isHairpin of [true, false]) {
    const lab = twoHomes("masq", { ...NAT_KINDS["eimr-apdf"], hairpin: isHairpin });
    const { a1 } = openServer(lab).sockets;
    const [one, two] = lab.hosts;
    const [external1 = "", external2 = ""] = lab.hosts.map((host) => reflexive(lab, host, a1));
    for (let i = 0; i < 2; i++) {
      one.send(external2);
      two.send(external1);
      lab.clock.advance(ARRIVED);
    }
    assert.deepEqual([...new Set(one.inbox)], isHairpin ? [external2] : []);
    assert.deepEqual([...new Set(two.inbox)], isHairpin ? [external1] : []);
    one.send("100.64.0.3:41641");
    two.send("100.64.0.2:41641");
    lab.clock.advance(ARRIVED);
    assert.equal(one.inbox.at(-1), "100.64.0.3:41641");
    assert.equal(two.inbox.at(-1), "100.64.0.2:41641");
  }
});

test("a TTL of 8 or less opens the sender's own NATs and reaches nobody else; within the site it arrives", () => {
  const lab = twoHomes("masq", "eimr-apdf");
  const { a1, b1 } = openServer(lab).sockets;
  const [one, two] = lab.hosts;
  const mate = lab.socket("mate", "192.168.1.11:41641", lab.homes[0]);
  const inCarrier = lab.socket("third", "100.64.0.9:41641", lab.carrier);
  const external = reflexive(lab, one, a1) ?? "";
  const counts = (): readonly number[] => [lab.carrier, ...lab.homes].map((site) => site.stats.mappings);
  const before = counts();
  one.send(formatEndpoint(b1.endpoint), { ttl: 8 });
  one.send("100.64.0.3:41641", { ttl: 8 });
  inCarrier.send("100.64.0.3:41641", { ttl: 8 });
  one.send(formatEndpoint(inCarrier.endpoint), { ttl: 8 });
  one.send(formatEndpoint(mate.endpoint), { ttl: 1 });
  a1.send(formatEndpoint(b1.endpoint), { ttl: 8 });
  lab.clock.advance(ARRIVED);
  assert.deepEqual([b1.inbox, two.inbox, inCarrier.inbox, mate.inbox], [[], [], [], ["192.168.1.10:41641"]]);
  assert.deepEqual(counts(), before, "the same mapping, for one more remote");
  assert.equal(lab.homes[1].stats.filtered, 0);
  assert.ok(arrives(lab, b1, { external, client: one }));
  one.send(formatEndpoint(b1.endpoint), { ttl: 9 });
  lab.clock.advance(ARRIVED);
  assert.deepEqual(b1.inbox, [external]);
});

test("hosts of one site reach each other directly and sooner; private addresses lead nowhere else, and none is ever seen outside", () => {
  const lab = openLab();
  const [home, other] = ["198.51.100.1", "198.51.100.2"].map((ip, i) =>
    lab.network.addSite(`home ${i}`, { kind: "eim-eif", publicIps: [ipOf(ip)] }),
  );
  const [one, two] = [lab.socket("one", "192.168.1.10:2001", home), lab.socket("two", "192.168.1.11:2002", home)];
  const far = lab.socket("far", "192.168.2.10:2003", other);
  const server = lab.socket("server", "203.0.113.1:2004");
  one.send("192.168.1.11:2002");
  lab.clock.advance(1);
  assert.deepEqual(two.inbox, ["192.168.1.10:2001"]);
  const leaks: string[] = [];
  lab.network.onDatagram = ({ ip }) => leaks.push(ip);
  one.send("192.168.2.10:2003");
  one.send("203.0.113.1:2004");
  server.send("192.168.1.10:2001");
  lab.network.send({ ip: ipOf("192.168.1.77"), port: 9 }, server.endpoint, Uint8Array.of(1));
  lab.clock.advance(ARRIVED);
  assert.deepEqual(far.inbox, []);
  assert.deepEqual(one.inbox, []);
  assert.deepEqual(server.inbox, ["198.51.100.1:2001"], "and nothing from an address that nobody has");
  assert.deepEqual(leaks.slice(0, 3), ["198.51.100.1", "198.51.100.1", "203.0.113.1"]);
  assert.deepEqual([lab.network.sentBy("one"), lab.network.sentBy("server"), lab.network.sentBy("two")], [3, 1, 0]);
});

test("what a NAT admits is decided when the datagram arrives there, not when it was sent", () => {
  const lab = openLab(1, SLOW);
  const home = lab.network.addSite("home", { kind: "eim-apdf", publicIps: [ipOf("198.51.100.1")] });
  const one = lab.socket("one", "192.168.1.10:2001", home);
  const server = lab.socket("server", "203.0.113.1:2004");
  server.send("198.51.100.1:2001");
  lab.clock.advance(9);
  one.send("203.0.113.1:2004", { ttl: 4 });
  lab.clock.advance(2);
  assert.deepEqual(one.inbox, ["203.0.113.1:2004"]);
});

test("global IPv6 behind filters: both send, then both receive, at their own addresses; also through a carrier", () => {
  const lab = openLab();
  const carrier = lab.network.addSite("carrier", { kind: "sym-rand", publicIps: [ipOf("198.51.100.1")] });
  const home = lab.network.addSite("home", { kind: "masq", publicIps: [ipOf("100.64.0.2")], behind: carrier, fw6: true });
  const office = lab.network.addSite("office", { kind: "udp-block", publicIps: [ipOf("198.51.100.2")], fw6: true });
  const shop = lab.network.addSite("shop", { kind: "sym-rand", publicIps: [ipOf("198.51.100.3")], fw6: true });
  const [one, two] = [lab.socket("one", "[2001:db8:1::10]:2001", home), lab.socket("two", "[2001:db8:2::10]:2002", shop)];
  const blocked = lab.socket("blocked", "[2001:db8:3::10]:2003", office);
  one.send("[2001:db8:2::10]:2002");
  blocked.send("[2001:db8:1::10]:2001");
  lab.clock.advance(ARRIVED);
  assert.deepEqual(two.inbox, []);
  assert.equal(shop.stats.filtered, 1);
  two.send("[2001:db8:1::10]:2001");
  one.send("[2001:db8:2::10]:2002");
  lab.clock.advance(ARRIVED);
  assert.deepEqual(one.inbox, ["[2001:db8:2::10]:2002"]);
  assert.deepEqual(two.inbox, ["[2001:db8:1::10]:2001"]);
  assert.equal(office.stats.refused, 1);
  lab.network.rebootNat(shop);
  one.send("[2001:db8:2::10]:2002");
  lab.clock.advance(ARRIVED);
  assert.equal(two.inbox.length, 1, "the filter has forgotten");
});

test("loss, duplicates and cuts are as between public hosts, and a NAT sees both copies", () => {
  const lab = openLab(1, { ...SLOW, duplication: 1 });
  const home = lab.network.addSite("home", { kind: "masq", publicIps: [ipOf("198.51.100.1")] });
  const one = lab.socket("one", "192.168.1.10:2001", home);
  const server = lab.socket("server", "203.0.113.1:2004");
  one.send("203.0.113.1:2004");
  lab.clock.advance(ARRIVED);
  assert.deepEqual(server.inbox, ["198.51.100.1:2001", "198.51.100.1:2001"]);
  assert.equal(home.stats.mappings, 1);
  assert.equal(lab.network.sentBy("one"), 1);
  lab.network.cut("one", "server");
  server.send("198.51.100.1:2001");
  one.send("203.0.113.1:2004");
  lab.clock.advance(ARRIVED);
  assert.deepEqual([one.inbox.length, server.inbox.length], [0, 2]);
  lab.network.healAll();
  lab.network.quality = { ...SLOW, loss: 1 };
  server.send("198.51.100.1:2001");
  lab.clock.advance(ARRIVED);
  assert.deepEqual(one.inbox, []);
});

test("a diagram shows what a gateway did not let in", () => {
  const lab = openLab();
  lab.network.addSite("home", { kind: "masq", publicIps: [ipOf("198.51.100.1")] });
  lab.socket("server", "203.0.113.1:2004").send("198.51.100.1:2001");
  lab.clock.advance(ARRIVED);
  assert.match(lab.network.diagram.draw(["server", "home"]), /-x .* 1 B not let in \(lost\)$/);
});

test("TCP: dials go out of sites and never into them, and come from the outermost address", () => {
  const { network, carrier, homes, ...lab } = twoHomes("masq", "eimr-apdf");
  const [home, other] = homes;
  lab.socket("shadowed", "192.168.1.10:41641", carrier);
  const host = { ip: ipOf("192.168.1.10"), port: 4_001 };
  const server = { ip: ipOf("203.0.113.1"), port: 4_001 };
  assert.ok(network.canDial(server, { from: home, to: undefined }));
  assert.ok(network.canDial(server, { from: undefined, to: undefined }));
  assert.ok(network.canDial(host, { from: home, to: home }));
  assert.ok(network.canDial({ ip: ipOf("100.64.0.9"), port: 1 }, { from: home, to: carrier }));
  for (const from of [undefined, carrier, other]) assert.ok(!network.canDial(host, { from, to: home }));
  assert.ok(!network.canDial(host, { from: home, to: carrier }), "the nearer one has it");
  const seenBy = (to: SimSite | undefined): string => network.seenAs(host.ip, { from: home, to, remote: server.ip });
  assert.deepEqual([seenBy(home), seenBy(carrier), seenBy(undefined)], ["192.168.1.10", "100.64.0.2", "198.51.100.1"]);
});

test("an address in the wrong place, or one that is taken, is a mistake of the test", () => {
  const lab = openLab();
  const home = lab.network.addSite("home", { kind: "masq", publicIps: [ipOf("198.51.100.1")] });
  for (const ip of ["192.168.0.1", "10.0.0.1", "172.16.0.1", "100.64.0.1"])
    assert.throws(() => lab.network.addSite("private", { kind: "masq", publicIps: [ipOf(ip)] }), /not public/);
  assert.throws(() => lab.network.addSite("twin", { kind: "masq", publicIps: [ipOf("198.51.100.1")] }), /taken/);
  assert.throws(() => lab.socket("inside", "203.0.113.9:1", home), /no address of a host in home/);
  assert.throws(() => lab.socket("inside", "[2001:db8::1]:1", home), /no address of a host in home/);
  assert.throws(() => lab.socket("outside", "198.51.100.1:1"), /gateway/);
  const { network, homes, hosts } = twoHomes("masq", "masq");
  assert.throws(() => network.send(hosts[0].endpoint, hosts[1].endpoint, Uint8Array.of(1)), /is in home 1 and in home 2/);
  assert.equal(portOf(formatEndpoint(hosts[0].endpoint)), 41_641);
  assert.equal(homes[0].stats.mappings, 0);
});
