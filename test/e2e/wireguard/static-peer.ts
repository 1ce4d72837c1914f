/**
 * node static-peer.ts
 *
 * Our WireGuard with one peer, composed as the agent does it but without membership, probes and control plane. The first
 * line on standard input is a StaticPeerOrder; whatever happens is told as a StaticPeerEvent, one JSON line each. Every
 * further line is answered with a report. Ends with its standard input.
 *
 *  1. the engine hands up what it cannot decide: handshake messages, packets without a session, confirmed sessions;
 *  2. the driver gives that, and the engine's stamps every 500 ms, to the session table;
 *  3. its effects are performed on the engine in order. Where the peer is, is where its last authentic handshake came from.
 */
import { createInterface } from "node:readline";
import { nodeCrypto, nodeRandom } from "@mesh/core/node-crypto";
import {
  type DatapathCounters,
  type DatapathException,
  formatEndpoint,
  type PeerTraffic,
  parseEndpoint,
  parsePrefix,
  type Way,
} from "@mesh/core/ports";
import { bootTime, openDatapath } from "@mesh/datapath";
import { systemClock } from "../../../packages/agent/src/runtime/clock.ts";
import { NodeDriver } from "../../../packages/agent/src/runtime/node-driver.ts";
import type { SessionDrop, SessionEffect, SessionEvent } from "../../../packages/core/src/session/session-event.ts";
import { SessionTable } from "../../../packages/core/src/session/session-table.ts";

export interface StaticPeerOrder {
  readonly tunName: string;
  readonly mtu: number;
  readonly udpPort: number;
  /** Keys in base64, as `wg` writes them. */
  readonly privateKey: string;
  readonly peer: {
    readonly publicKey: string;
    readonly presharedKey?: string;
    readonly endpoint?: string;
    readonly allowedIps: readonly string[];
    /** The engine sends to wherever the peer's last authentic packet came from. */
    readonly isRoaming?: boolean;
  };
}

export type StaticPeerEvent =
  | { readonly type: "ready" }
  | { readonly type: "installed"; readonly role: "initiator" | "responder"; readonly localIndex: number }
  | { readonly type: "confirmed"; readonly localIndex: number }
  | { readonly type: "removed"; readonly localIndex: number }
  | { readonly type: "heard"; readonly from: string }
  | { readonly type: "dropped"; readonly cause: SessionDrop }
  | { readonly type: "handshake-failed" }
  | { readonly type: "report"; readonly counters: DatapathCounters; readonly traffic: PeerTraffic };

const SLOT = 0;
/** Milliseconds; as the agent reads them. */
const TRAFFIC_INTERVAL = 500;

async function main(): Promise<void> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) throw new Error("no order on standard input");
  const peer = openStaticPeer(JSON.parse(first.value) as StaticPeerOrder);
  tell({ type: "ready" });
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) tell(peer.report());
  await peer.close();
}

interface StaticPeer {
  report(): StaticPeerEvent;
  close(): Promise<void>;
}

function openStaticPeer(order: StaticPeerOrder): StaticPeer {
  const { tunName, mtu, udpPort, peer } = order;
  const crypto = nodeCrypto();
  const key = crypto.agreementKey(fromBase64(order.privateKey));
  const sessions = new SessionTable({ crypto, random: nodeRandom(), key });
  const datapath = openDatapath({
    tunName,
    mtu,
    udpPort,
    onExceptions: (batch) => {
      for (const exception of batch) driver.dispatch(eventOf(exception));
    },
  });
  const endpoint = peer.endpoint === undefined ? undefined : parseEndpoint(peer.endpoint);
  let way: Way | undefined = endpoint === undefined ? undefined : { endpoint };
  const driver = new NodeDriver<SessionEvent, SessionEffect>({
    machine: sessions,
    clock: systemClock(bootTime),
    perform,
    timerEvent: { type: "timer" },
    wallClockEvent: (offset) => ({ type: "wall-clock", offset }),
    onFatal: (error) => {
      throw error;
    },
  });

  datapath.setHandshakeKey(key.publicKey);
  datapath.publishTable({
    peers: [SLOT],
    roaming: peer.isRoaming === true ? [SLOT] : [],
    routes: peer.allowedIps.map((text) => ({ prefix: required(parsePrefix(text), text), slot: SLOT })),
  });
  datapath.setWays(SLOT, way === undefined ? [] : [way]);
  driver.start();
  const presharedKey = peer.presharedKey === undefined ? {} : { presharedKey: fromBase64(peer.presharedKey) };
  driver.dispatch({ type: "peer-added", slot: SLOT, tunnelKey: fromBase64(peer.publicKey), ...presharedKey });
  const stamps = setInterval(() => driver.dispatch({ type: "traffic", slot: SLOT, stamps: datapath.readTraffic(SLOT) }), TRAFFIC_INTERVAL);

  function perform(effect: SessionEffect): void {
    switch (effect.type) {
      case "send-handshake":
        if (way !== undefined) datapath.sendDatagram(way, effect.bytes);
        return;
      case "reply":
        return datapath.sendDatagram(effect.to, effect.bytes);
      case "install-session": {
        const { role, localIndex } = effect.session;
        datapath.installSession(effect.session);
        return tell({ type: "installed", role, localIndex });
      }
      case "drop-session":
        datapath.dropSession(effect.localIndex);
        return tell({ type: "removed", localIndex: effect.localIndex });
      case "send-keepalive":
        return datapath.sendKeepalive(SLOT);
      case "heard":
        way = effect.from;
        datapath.setWays(SLOT, [way]);
        return tell({ type: "heard", from: formatEndpoint(way.endpoint) });
      case "reserve-stamps":
        throw new Error("stamps need not outlive this process");
      case "handshake-failed":
        return tell({ type: "handshake-failed" });
      case "dropped":
        return tell({ type: "dropped", cause: effect.cause });
    }
  }

  return {
    report: () => ({ type: "report", counters: datapath.readCounters(), traffic: datapath.readTraffic(SLOT) }),
    close: async () => {
      clearInterval(stamps);
      driver.stop();
      await datapath.close();
    },
  };
}

function eventOf(exception: DatapathException): SessionEvent {
  switch (exception.type) {
    case "datagram":
      return { type: "message", from: exception.from, bytes: exception.bytes };
    case "session-confirmed":
      tell({ type: "confirmed", localIndex: exception.localIndex });
      return exception;
    case "session-wanted":
      return exception;
    case "traffic-resumed":
      throw new TypeError("it was not waited for");
    case "engine-failed":
      throw new Error(`the engine stopped: ${exception.reason}`);
  }
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}

function required<T>(value: T | undefined, text: string): T {
  if (value === undefined) throw new TypeError(`cannot be read: ${text}`);
  return value;
}

function tell(event: StaticPeerEvent): void {
  console.log(JSON.stringify(event));
}

if (import.meta.main) await main();
