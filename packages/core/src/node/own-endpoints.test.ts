import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { parsePrefix } from "../address/prefix.ts";
import { idOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { MAX_ENDPOINTS, NOWHERE } from "../records/endpoint-record.ts";
import { EndpointPublisher, type OwnPlace, ownEndpoints, PUBLISH_BURST, PUBLISH_INTERVAL, placeOf } from "./own-endpoints.ts";

const { plan } = new SampleNetwork();
const host = (...ips: readonly string[]): Parameters<typeof ownEndpoints>[1] => ({
  routes: [],
  addresses: ips.map((ip) => ({ device: "eth0", ip: ip as Ip, prefixLength: 24 })),
});
const places = (last: number): OwnPlace => ({ ...NOWHERE, udp: [{ ip: `192.0.2.${last}` as Ip, port: 5_000 }] });

test("every usable address of the host is told with both ports; the mesh itself never", () => {
  const { udp, tcp } = ownEndpoints(plan, host("192.168.1.5", "10.77.2.1", "fe80::1", "127.0.0.1", "2001:db8::1"), {
    udp: 5_000,
    tcp: 443,
  });
  const at = (port: number): readonly Endpoint[] => [
    { ip: "192.168.1.5" as Ip, port },
    { ip: "2001:db8::1" as Ip, port },
  ];
  assert.deepEqual([udp, tcp], [at(5_000), at(443)]);
});

test("no more endpoints than a record holds", () => {
  const many = host(...Array.from({ length: 40 }, (_, i) => `192.168.1.${i}`));
  assert.equal(ownEndpoints(plan, many, { udp: 5_000, tcp: 5_001 }).udp.length, MAX_ENDPOINTS);
});

test("three times at once, then not before the interval has passed, and then the last word only", () => {
  const publisher = new EndpointPublisher();
  assert.equal(publisher.wakeAt(), undefined);
  for (let n = 1; n <= PUBLISH_BURST; n++) {
    publisher.want(places(n));
    assert.equal(publisher.wakeAt(), n < PUBLISH_BURST ? 0 : 1_000);
    assert.deepEqual(publisher.takeDue(1_000), places(n));
  }
  publisher.want(places(8));
  publisher.want(places(9));
  assert.equal(publisher.wakeAt(), 1_000 + PUBLISH_INTERVAL);
  assert.equal(publisher.takeDue(999 + PUBLISH_INTERVAL), undefined);
  assert.deepEqual(publisher.takeDue(1_000 + PUBLISH_INTERVAL), places(9));
  assert.equal(publisher.wakeAt(), undefined);
  publisher.want(places(1));
  assert.equal(publisher.wakeAt(), 1_000 + 2 * PUBLISH_INTERVAL, "the pace is over the long run");
});

test("a host that has lost every address keeps what it said", () => {
  const publisher = new EndpointPublisher();
  publisher.want(places(1));
  publisher.takeDue(0);
  publisher.want(NOWHERE);
  assert.equal(publisher.wakeAt(), undefined);
  publisher.want(places(1));
  assert.equal(publisher.wakeAt(), undefined, "it is back where it was");
  publisher.want(places(2));
  publisher.want(NOWHERE);
  assert.equal(publisher.wakeAt(), undefined, "it is not at the place that was not told yet, either");
});

test("what is published already is not wanted again, unless someone holds another record in our name", () => {
  const publisher = new EndpointPublisher();
  publisher.want(places(1));
  publisher.takeDue(0);
  publisher.want(places(2));
  publisher.want(places(1));
  assert.equal(publisher.wakeAt(), undefined);
  publisher.wantAgain(places(1));
  assert.deepEqual(publisher.takeDue(PUBLISH_INTERVAL), places(1));
});

test("what others should know of how to reach it is published as its addresses are: reachable, relaying, its homes in their order", () => {
  const publisher = new EndpointPublisher();
  const [first, second] = [idOf("first"), idOf("second")];
  let now = 0;
  let place = places(1);
  for (const changed of [{}, { isReachable: true }, { isRelay: true }, { homes: [first, second] }, { homes: [second, first] }]) {
    place = { ...place, ...changed };
    publisher.want(place);
    now += PUBLISH_INTERVAL;
    assert.deepEqual(publisher.takeDue(now), place, JSON.stringify(changed));
    publisher.want(structuredClone(place));
    assert.equal(publisher.wakeAt(), undefined, "once");
  }
});

test("after a start what others know already is not said again, and what is found out in the first 3 s is said once, then", () => {
  const publisher = new EndpointPublisher();
  const before: OwnPlace = { ...places(1), isReachable: true };
  publisher.resume(before, 10_000);
  publisher.want(structuredClone(before));
  assert.equal(publisher.wakeAt(), undefined);
  const [home, standby] = [idOf("first"), idOf("second")];
  for (const homes of [[home], [home, standby]]) publisher.want({ ...before, homes });
  assert.equal(publisher.takeDue(12_999), undefined);
  assert.deepEqual(publisher.takeDue(13_000), { ...before, homes: [home, standby] });
});

test("a host without addresses says nothing new, whatever it could say of relays", () => {
  const publisher = new EndpointPublisher();
  publisher.want({ ...NOWHERE, isReachable: true, homes: [idOf("first")] });
  assert.equal(publisher.wakeAt(), undefined);
});

test("a host is elsewhere when its addresses or default routes changed, not when a container came", () => {
  const at = (routes: readonly string[], ...ips: readonly string[]): string =>
    placeOf({ ...host(...ips), routes: routes.map((text) => ({ device: "eth0", prefix: parsePrefix(text) ?? assert.fail(text) })) });
  const before = at(["0.0.0.0/0"], "192.0.2.1");
  assert.equal(at(["0.0.0.0/0", "172.17.0.0/16"], "192.0.2.1"), before);
  assert.notEqual(at([], "192.0.2.1"), before);
  assert.notEqual(at(["0.0.0.0/0"], "192.0.2.2"), before);
});
