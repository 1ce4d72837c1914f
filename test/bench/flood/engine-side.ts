/**
 * node engine-side.ts
 *
 * One end of a tunnel with static keys, as the EngineOrder on standard input (one JSON line) says. Prints "ready", then for
 * each further line of input one line of JSON: counters, exceptions handed over so far, CPU time of this process.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { parseEndpoint, parsePrefix } from "@mesh/core/ports";
import { openDatapath } from "@mesh/datapath";

export interface EngineOrder {
  readonly role: "initiator" | "responder";
  readonly address: string; // inside, of this end
  readonly peerAddress: string;
  readonly udpPort: number;
  readonly peerEndpoint: string;
  readonly publicKey: string; // hex: whose handshakes come through
}

export interface EngineReport {
  readonly counters: Readonly<Record<string, number>>;
  readonly handedOver: number;
  /** Seconds of CPU, by all threads. */
  readonly cpu: number;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse(String((await lines.next()).value)) as EngineOrder;
let handedOver = 0;
const path = openDatapath({
  tunName: "mesh0",
  mtu: 1420,
  udpPort: order.udpPort,
  onExceptions: (batch) => {
    handedOver += batch.length;
  },
});
execFileSync("ip", ["link", "set", "dev", "mesh0", "mtu", "1420", "up"]);
execFileSync("ip", ["addr", "add", `${order.address}/24`, "dev", "mesh0"]);
path.setHandshakeKey(Buffer.from(order.publicKey, "hex"));
const prefix = parsePrefix(`${order.peerAddress}/32`);
const peerEndpoint = parseEndpoint(order.peerEndpoint);
if (prefix === undefined || peerEndpoint === undefined) throw new Error("no such peer");
path.publishTable({ peers: [0], roaming: [], routes: [{ prefix, slot: 0 }] });
path.setWays(0, [{ endpoint: peerEndpoint }]);
const isInitiator = order.role === "initiator";
path.installSession({
  slot: 0,
  localIndex: isInitiator ? 1 : 2,
  remoteIndex: isInitiator ? 2 : 1,
  sendKey: key(isInitiator ? "there" : "back"),
  receiveKey: key(isInitiator ? "back" : "there"),
  role: order.role,
  expiresAt: path.now() + 3_600_000,
});
console.log("ready");
if (isInitiator) path.sendKeepalive(0);

for await (const _ of lines) {
  const { user, system } = process.cpuUsage();
  const report: EngineReport = { counters: path.readCounters(), handedOver, cpu: (user + system) / 1e6 };
  console.log(JSON.stringify(report));
}
await path.close();

function key(label: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(label).digest());
}
