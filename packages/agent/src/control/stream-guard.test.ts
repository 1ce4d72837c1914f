import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Connection, Stream } from "@libp2p/interface";
import { streamPair } from "@libp2p/utils";
import { eventually, nodeOfSeed, seedOf } from "./member-fixture.ts";
import { peerIdOf } from "./peer-id.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";
import { GOSSIP_BURST_BYTES, GOSSIP_INTERVAL_OF_A_BYTE, STREAM_BURST, STREAM_INTERVAL, StreamGuard } from "./stream-guard.ts";

interface Scene {
  readonly guard: StreamGuard;
  readonly clock: SettlingClock;
  readonly refused: string[];
  /** Ends of streams that a member opened: its own, and ours. */
  pair(protocol: string): Promise<readonly [Stream, Stream]>;
  connectionOf(name: string): Promise<Connection>;
}

function scene(): Scene {
  const clock = new SettlingClock();
  const refused: string[] = [];
  return {
    clock,
    refused,
    guard: new StreamGuard({ clock, onRefused: (cause) => refused.push(cause) }),
    pair: async (protocol) => {
      const [outbound, inbound] = await streamPair({ protocol });
      inbound.protocol = protocol;
      return [outbound, inbound];
    },
    // The guard asks a connection for nothing but who is at its other end.
    connectionOf: async (name) => ({ remotePeer: peerIdOf(await nodeOfSeed(seedOf(name))) }) as Connection,
  };
}

describe("stream guard", () => {
  it("hands a member's streams on within its pace, and resets and counts those beyond", async () => {
    const { guard, clock, refused, pair, connectionOf } = scene();
    const [one, other] = [await connectionOf("guard-a"), await connectionOf("guard-b")];
    let handled = 0;
    const handler = guard.handler(() => {
      handled += 1;
    });
    const open = async (connection: Connection): Promise<Stream> => {
      const [, inbound] = await pair("/test/1");
      await handler(inbound, connection);
      return inbound;
    };
    for (let i = 0; i < STREAM_BURST; i++) assert.equal((await open(one)).status, "open");
    assert.equal((await open(one)).status, "aborted");
    assert.equal((await open(other)).status, "open");
    assert.deepEqual([handled, refused], [STREAM_BURST + 1, ["stream"]]);
    await clock.advance(STREAM_INTERVAL);
    assert.equal((await open(one)).status, "open");
    assert.equal((await open(one)).status, "aborted");
  });

  it("does not read a member's gossip beyond its pace, whatever streams it opens, and reads all of it in time", async () => {
    const { guard, clock, refused, pair, connectionOf } = scene();
    const connection = await connectionOf("guard-a");
    const CHUNK = 65_536;
    let received = 0;
    const count = (stream: Stream): void =>
      stream.addEventListener("message", ({ data }) => {
        received += data.byteLength;
      });
    const open = async (): Promise<Stream> => {
      const [outbound, inbound] = await pair("/meshsub/1.3.0");
      await guard.handler(count)(inbound, connection);
      return outbound;
    };
    const [first, second] = [await open(), await open()];
    const chunks = GOSSIP_BURST_BYTES / CHUNK + 8;
    for (let i = 1; i <= chunks; i++) {
      first.send(new Uint8Array(CHUNK));
      await eventually("it is read, or waits", () => received === i * CHUNK || refused.length > 0);
    }
    assert.deepEqual(refused, ["gossip"]);
    const atRest = received;
    assert.ok(atRest <= GOSSIP_BURST_BYTES + CHUNK, `${atRest}`);
    second.send(new Uint8Array(CHUNK));
    await eventually("the other stream rests too", () => refused.length > 1);
    assert.deepEqual(new Set(refused), new Set(["gossip"]));
    assert.ok(received <= atRest + CHUNK, `${received}`);
    for (let i = 0; i < 40 && received < (chunks + 1) * CHUNK; i++) await clock.advance(CHUNK * GOSSIP_INTERVAL_OF_A_BYTE);
    await eventually("all is read", () => received === (chunks + 1) * CHUNK);
    first.abort(new Error("over"));
    second.abort(new Error("over"));
    await eventually("no timer is left", () => clock.pending === 0);
  });

  it("leaves other protocols as fast as they are", async () => {
    const { guard, refused, pair, connectionOf } = scene();
    const [outbound, inbound] = await pair("/mesh/sync/1");
    let received = 0;
    inbound.addEventListener("message", ({ data }) => {
      received += data.byteLength;
    });
    await guard.handler(() => {})(inbound, await connectionOf("guard-a"));
    for (let i = 0; i < 40; i++) outbound.send(new Uint8Array(65_536));
    await eventually("all is read", () => received === 40 * 65_536);
    assert.deepEqual(refused, []);
  });

  it("guards what is registered, and changes nothing else of what a service is given", async () => {
    const { guard, refused, pair, connectionOf } = scene();
    const handlers = new Map<string, Parameters<StreamGuard["handler"]>[0]>();
    const registrar = {
      count: 7,
      handle: async (protocol: string, handler: Parameters<StreamGuard["handler"]>[0]) => {
        handlers.set(protocol, handler);
      },
      size(): number {
        return this.count;
      },
    };
    const given = guard.components({ registrar, name: "service" });
    await given.registrar.handle("/test/1", () => {});
    assert.deepEqual([given.name, given.registrar.size()], ["service", 7]);
    const connection = await connectionOf("guard-a");
    for (let i = 0; i <= STREAM_BURST; i++) await handlers.get("/test/1")?.((await pair("/test/1"))[1], connection);
    assert.deepEqual(refused, ["stream"]);
  });
});
