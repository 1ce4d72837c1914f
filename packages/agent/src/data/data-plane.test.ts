import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PeerStamps } from "@mesh/core/node";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { type DatapathException, type Endpoint, type Ip, type Millis, makePrefix } from "@mesh/core/ports";
import { GOOD_LINK, type InnerPacket, SeededRandom, SequenceDiagram, SimClock, SimDatapath, SimNetwork } from "@mesh/core/testing";
import { DataPlane } from "./data-plane.ts";

const LOOK: Millis = 250;
const SLOT = 3;
const PEER: Endpoint = { ip: "192.0.2.2" as Ip, port: 2 };
const PACKET: InnerPacket = { source: "100.64.0.1" as Ip, destination: "100.64.0.2" as Ip, payload: new Uint8Array(8) };

class CountedDatapath extends SimDatapath {
  looks = 0;

  override readTraffic(slot: number): ReturnType<SimDatapath["readTraffic"]> {
    this.looks++;
    return super.readTraffic(slot);
  }
}

interface Scene {
  readonly clock: SimClock;
  readonly engine: CountedDatapath;
  readonly data: DataPlane;
  /** Instants at which stamps were told, with the peer's. */
  readonly told: { readonly at: Millis; readonly sentAt: Millis | undefined }[];
}

/** A data plane with one peer and a session, started. */
function scene(): Scene {
  const clock = new SimClock();
  const random = new SeededRandom(1);
  const network = new SimNetwork({ clock, random, diagram: new SequenceDiagram(), quality: GOOD_LINK });
  const sink = { onExceptions: (_batch: readonly DatapathException[]): void => {} };
  const engine = new CountedDatapath({
    name: "a",
    clock,
    network,
    crypto: nodeCrypto(),
    endpoint: { ip: "192.0.2.1" as Ip, port: 1 },
    onException: (exception) => sink.onExceptions([exception]),
    onInner: () => {},
  });
  const data = new DataPlane(engine, sink, []);
  const told: Scene["told"] = [];
  const onTraffic = (peers: readonly PeerStamps[]): void => void told.push({ at: clock.now(), sentAt: peers[0]?.stamps.dataSentAt });
  data.start({ clock, onException: () => {}, onTraffic });
  addPeer(data, 1);
  return { clock, engine, data, told };
}

function addPeer(data: DataPlane, localIndex: number): void {
  const [sendKey, receiveKey] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const routes = [{ prefix: makePrefix(PACKET.destination, 32), slot: SLOT }];
  data.perform({ type: "publish-table", table: { peers: [SLOT], roaming: [], routes } });
  data.perform({ type: "set-ways", slot: SLOT, ways: [{ endpoint: PEER }] });
  const session = {
    slot: SLOT,
    localIndex,
    remoteIndex: 9,
    sendKey,
    receiveKey,
    role: "initiator",
    expiresAt: Number.MAX_SAFE_INTEGER,
  } as const;
  data.perform({ type: "install-session", session });
}

describe("data plane", () => {
  it("looks at the stamps while there is traffic, and rests when there is none", () => {
    const { clock, engine, told } = scene();
    clock.advance(3_600_000);
    assert.ok(engine.looks <= 22, `${engine.looks} looks in an idle hour`);
    assert.deepEqual(told, []);
    engine.looks = 0;
    for (let i = 0; i < 20; i++) {
      engine.sendInner(PACKET);
      clock.advance(LOOK);
    }
    assert.ok(engine.looks >= 20, `${engine.looks} looks in 5 s of traffic`);
  });

  it("tells new stamps when it is asked, and each of them once", () => {
    const { clock, engine, data, told } = scene();
    clock.advance(60_000);
    engine.sendInner(PACKET);
    clock.advance(0);
    const before = told.length;
    clock.advance(10);
    engine.sendInner(PACKET);
    data.tellStamps();
    data.tellStamps();
    assert.deepEqual(told.slice(before), [{ at: 60_010, sentAt: 60_010 }]);
  });

  it("tells at once when traffic resumes, however long it rested", () => {
    const { clock, engine, told } = scene();
    for (let round = 1; round <= 3; round++) {
      clock.advance(600_000);
      engine.sendInner(PACKET);
      clock.advance(0);
      assert.deepEqual(told.at(-1), { at: round * 600_000, sentAt: round * 600_000 });
    }
  });

  it("rests no more after traffic of a peer that is gone", () => {
    const { clock, engine, data, told } = scene();
    clock.advance(60_000);
    engine.sendInner(PACKET);
    data.perform({ type: "publish-table", table: { peers: [], roaming: [], routes: [] } });
    clock.advance(60_000);
    assert.deepEqual(told, []);
    addPeer(data, 2);
    engine.sendKeepalive(SLOT);
    clock.advance(0);
    assert.equal(told.length, 1);
  });
});
