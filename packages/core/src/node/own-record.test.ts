import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "../address/ip.ts";
import { crypto, idOf, keyOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import type { HostView } from "../ports/host-network.ts";
import type { EndpointRecord } from "../records/endpoint-record.ts";
import { seconds } from "../time/millis.ts";
import { OwnRecord } from "./own-record.ts";
import type { OuterPlace } from "./peer.ts";
import type { NodeSnapshot } from "./snapshot.ts";

const host = (...ips: readonly string[]): HostView => ({
  routes: [],
  addresses: ips.map((ip) => ({ device: "eth0", ip: ip as Ip, prefixLength: 24 })),
});
const HOME = "192.168.1.5";

/** The record of `me`, whose surroundings are the test's; writes are durable at once. */
class Scene {
  readonly network: SampleNetwork = new SampleNetwork();
  readonly told: EndpointRecord[] = [];
  outer: OuterPlace = { reflexive: [], isReachable: false, homes: [] };
  sequence = 1;
  /** How often it was taken for reachable because it had been. */
  assumed = 0;
  readonly record: OwnRecord;

  /** `known`: what the mesh holds of it since before the start; null: it is no member. */
  constructor(known: readonly Uint8Array[] | null = []) {
    const book = this.network.book();
    if (known !== null) book.merge([this.network.admin("me", 1), ...known]);
    this.record = new OwnRecord({
      self: idOf("me"),
      crypto,
      key: keyOf("me"),
      trust: this.network.trust,
      book,
      peers: { place: () => this.outer, assumeReachable: () => this.assumed++ },
      host: host(HOME),
      snapshot: () => ({ sequence: this.sequence, udpPort: 5_000, tcpPort: 4_001, relayLimit: 100, tcpRelay: 0 }) as NodeSnapshot,
      nextSequence: () => ++this.sequence,
      commit: (_change, then) => then(),
      announce: (records) => {
        for (const bytes of records) {
          const { content } = this.network.open(bytes);
          if (content.type === "endpoint") this.told.push(content.endpoint);
        }
        return [];
      },
    });
  }
}

const endpoint = (ip: string, port: number): { readonly ip: Ip; readonly port: number } => ({ ip: ip as Ip, port });

test("it says where the host is and how it is reached, at once, and not again while nothing changes", () => {
  const { record, told } = new Scene();
  record.placeChanged(0);
  record.due(0);
  assert.deepEqual([told[0]?.udp, told[0]?.tcp, told[0]?.isStopped], [[endpoint(HOME, 5_000)], [endpoint(HOME, 4_001)], false]);
  record.placeChanged(1);
  assert.deepEqual([record.wakeAt(), record.due(seconds(60))], [undefined, []]);
});

test("who is reachable relays", () => {
  const scene = new Scene();
  scene.outer = { ...scene.outer, isReachable: true };
  scene.record.placeChanged(0);
  scene.record.due(0);
  assert.deepEqual([scene.told[0]?.isReachable, scene.told[0]?.isRelay], [true, true]);
});

test("a host that moved tells it; a container's route is no move", () => {
  const { record, told } = new Scene();
  assert.equal(record.hostChanged(host("192.0.2.7"), 0), true);
  record.due(0);
  assert.deepEqual(told[0]?.udp, [endpoint("192.0.2.7", 5_000)]);
  const container = { device: "docker0", prefix: { ip: "172.17.0.0" as Ip, length: 16 } };
  assert.equal(record.hostChanged({ ...host("192.0.2.7"), routes: [container] }, 1), false);
  assert.equal(record.wakeAt(), undefined);
});

test("another record in its name is followed by its own", () => {
  const { record, told } = new Scene();
  record.placeChanged(0);
  record.due(0);
  record.wasReplaced(1);
  record.due(1);
  assert.equal(told.length, 2);
});

test("after a start at the same place nothing is told, and what was proven of it holds", () => {
  const { network } = new Scene();
  const here = { udp: [endpoint(HOME, 5_000)], tcp: [endpoint(HOME, 4_001)], isReachable: true, isRelay: true };
  const resumed = new Scene([network.endpoint("me", here)]);
  resumed.record.resume(0);
  resumed.outer = { ...resumed.outer, isReachable: true };
  resumed.record.placeChanged(0);
  assert.deepEqual([resumed.assumed, resumed.record.wakeAt()], [1, undefined]);
  for (const elsewhere of [
    { ...here, udp: [endpoint("192.0.2.7", 5_000)] },
    { ...here, isStopped: true },
  ]) {
    const scene = new Scene([network.endpoint("me", elsewhere)]);
    scene.record.resume(0);
    scene.record.placeChanged(0);
    assert.deepEqual([scene.assumed, scene.record.wakeAt() !== undefined], [0, true]);
  }
  const late = new Scene([network.endpoint("me", here)]);
  late.sequence = 1_000_000;
  late.record.resume(0);
  late.outer = { ...late.outer, isReachable: true };
  late.record.placeChanged(0);
  assert.deepEqual([late.assumed, late.record.wakeAt()], [1, 0], "its goodbye was told since, and is not in the set");
});

test("what routers map and others would try is for the record; of the host's own addresses it is none", () => {
  const { record } = new Scene();
  record.hostChanged(host(HOME, "2001:db8::5"), 0);
  const hole = endpoint("2001:db8::5", 5_000);
  const mapped = [endpoint("203.0.113.7", 40_000), endpoint("100.64.3.4", 40_001)];
  const useless = [endpoint("203.0.113.7", 53), endpoint("127.0.0.1", 5_000), endpoint("10.77.2.1", 5_000)];
  record.portMapped([hole, ...mapped, ...useless], 0);
  assert.deepEqual(record.mappedEndpoints(), mapped);
  assert.deepEqual(record.mapped, [hole, ...mapped, ...useless], "for people all of it");
  assert.deepEqual(record.endpoints().udp, [endpoint(HOME, 5_000), hole]);
});

test("something is mapped no more when an endpoint is gone, not when one came", () => {
  const { record } = new Scene();
  const [one, other] = [endpoint("203.0.113.7", 40_000), endpoint("203.0.113.7", 40_001)];
  const changes = [[one], [{ ...one }, other], [other], [one], []];
  assert.deepEqual(
    changes.map((mapped) => record.portMapped(mapped, 0)),
    [false, false, true, true, true],
  );
});

test("who is no member tells nothing", () => {
  const { record, told } = new Scene(null);
  record.placeChanged(0);
  record.due(0);
  assert.deepEqual(told, []);
});
