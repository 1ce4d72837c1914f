// Puts one engine through scenarios, in the network namespace that it is started in, and says what the engine did: one
// line of JSON for each step, an empty line after each seed.
//
//   node run-scenario.ts native|twin EVENTS SEED...

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import {
  type Datapath,
  type DatapathException,
  type Endpoint,
  formatEndpoint,
  type Ip,
  type SocketId,
  sameEndpoint,
  type Way,
} from "@mesh/core/ports";
import { openDatapath } from "@mesh/datapath";
import { OUR_PUBLIC_KEY } from "../../../packages/datapath/src/suite/handshake-message.ts";
import { Remote, RemoteSession } from "../../../packages/datapath/src/suite/remote.ts";
import { Bell } from "./bell.ts";
import { PacketTap } from "./packet-tap.ts";
import {
  type ControlEvent,
  FENCE_SESSION,
  FENCE_SLOT,
  FIRST_TABLE,
  makeScenario,
  PEERS,
  parsedRoutes,
  REMOTES,
  type SessionPlan,
  type Step,
  type TablePlan,
  type WayPlan,
} from "./scenario.ts";
import { type StepTranscript, transcribeTraffic } from "./transcript.ts";

const TUN_NAME = "meshtwin0";
const MTU = 1420;
/** Of the device; longer than the engine's, so that it meets packets longer than that. */
const LINK_MTU = 9_000;
const NOWHERE = { ip: "203.0.113.9" as Ip, port: 9 };
/** A round of the outbound pump can begin before what was asked is seen; of what waits, each round sends 32 packets. */
const OUTBOUND_ROUNDS = 6;
/** Turns of the event loop without news after which a socket has nothing more: a turn reads at most 32 datagrams. */
const QUIET_TURNS = 3;
const FENCE_ADDRESS = Uint8Array.of(10, 254, 0, 1);
/** Hosts that the fence's datagrams come from in turn: each has a budget of its own. */
const FENCE_HOSTS = ["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"] as const;

class EngineRun {
  readonly #path: Datapath;
  readonly #tap: PacketTap;
  readonly #remotes: readonly Remote[];
  readonly #fence: Socket;
  readonly #fenceHosts: readonly Remote[];
  readonly #fenceSession: RemoteSession = new RemoteSession(FENCE_SESSION);
  readonly #exceptions: DatapathException[];
  readonly #bell: Bell;
  readonly #opened: (readonly SocketId[])[] = [];
  #wanted = new Set<number>();
  #fences = 0;
  /** Datagrams that the fence got. */
  #fenced = 0;

  private constructor(parts: {
    readonly path: Datapath;
    readonly tap: PacketTap;
    readonly remotes: readonly Remote[];
    readonly fence: Socket;
    readonly fenceHosts: readonly Remote[];
    readonly exceptions: DatapathException[];
    readonly bell: Bell;
  }) {
    this.#path = parts.path;
    this.#tap = parts.tap;
    this.#remotes = parts.remotes;
    this.#fence = parts.fence;
    this.#fenceHosts = parts.fenceHosts;
    this.#exceptions = parts.exceptions;
    this.#bell = parts.bell;
    this.#fence.on("message", () => {
      this.#fenced++;
      this.#bell.ring();
    });
  }

  static async open(backend: "native" | "twin"): Promise<EngineRun> {
    const bell = new Bell();
    const exceptions: DatapathException[] = [];
    const onExceptions = (batch: readonly DatapathException[]): void => {
      exceptions.push(...batch);
      bell.ring();
    };
    const path = openDatapath({ tunName: TUN_NAME, mtu: MTU, udpPort: 0, onExceptions, backend });
    // The host has nothing of its own to say through it.
    writeFileSync(`/proc/sys/net/ipv6/conf/${TUN_NAME}/disable_ipv6`, "1");
    execFileSync("ip", ["link", "set", "dev", TUN_NAME, "mtu", String(LINK_MTU), "up"]);
    const tap = await PacketTap.open(TUN_NAME, () => bell.ring());
    const fence = createSocket("udp4").bind(0, "127.0.0.1");
    await once(fence, "listening");
    const remotes = await Promise.all(REMOTES.map((address) => Remote.open(address)));
    const fenceHosts = await Promise.all(FENCE_HOSTS.map((address) => Remote.open(address)));
    const run = new EngineRun({ path, tap, remotes, fence, fenceHosts, exceptions, bell });
    path.setHandshakeKey(OUR_PUBLIC_KEY);
    run.#publish(FIRST_TABLE);
    path.setWays(FENCE_SLOT, [{ endpoint: run.#fenceEndpoint }]);
    run.#install(FENCE_SESSION);
    // Whoever was written to is no stranger.
    for (const { endpoint: to } of [...fenceHosts, ...remotes]) path.sendDatagram({ endpoint: to }, Buffer.from("216d7368", "hex"));
    await run.#settle();
    await run.#take();
    return run;
  }

  async perform(step: Step): Promise<StepTranscript> {
    const refused = step.type === "control" ? this.#control(step.event) : undefined;
    if (step.type === "tun") for (const { bytes } of step.packets) this.#tap.send(bytes);
    if (step.type === "udp") for (const { from, bytes } of step.datagrams) await this.#remotes[from]?.send(bytes, this.#path.info.udpPort);
    await this.#settle();
    return { step: describe(step), refused, ...(await this.#take()) };
  }

  async close(): Promise<void> {
    this.#tap.close();
    this.#fence.close();
    for (const remote of [...this.#fenceHosts, ...this.#remotes]) remote.close();
    await this.#path.close();
  }

  #control(event: ControlEvent): string | undefined {
    try {
      this.#perform(event);
      return undefined;
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
      return "RangeError";
    }
  }

  #perform(event: ControlEvent): void {
    switch (event.type) {
      case "table":
        return this.#publish(event.table);
      case "ways":
        return this.#path.setWays(
          event.slot,
          event.ways.map((plan) => this.#way(plan)),
        );
      case "relay":
        return this.#path.setRelay(event.table);
      case "open-sockets":
        this.#opened.push(this.#path.openSockets(event.count));
        return;
      case "close-sockets":
        return this.#path.closeSockets(event.sockets);
      case "datagram":
        return this.#path.sendDatagram(this.#way(event.way), event.bytes, event.ttl === undefined ? {} : { ttl: event.ttl });
      case "install":
        return this.#install(event.session);
      case "drop":
        return this.#path.dropSession(event.localIndex);
      case "keepalive":
        return this.#path.sendKeepalive(event.slot);
    }
  }

  #publish(table: TablePlan): void {
    this.#path.publishTable({ ...table, routes: parsedRoutes(table.routes) });
    this.#wanted = new Set([...this.#wanted].filter((slot) => table.peers.includes(slot)));
  }

  #install({ isAlive, sendKey, receiveKey, ...session }: SessionPlan): void {
    const expiresAt = isAlive ? this.#path.now() + 3_600_000 : 0;
    this.#path.installSession({ ...session, sendKey: Uint8Array.from(sendKey), receiveKey: Uint8Array.from(receiveKey), expiresAt });
  }

  #way({ to, ...rest }: WayPlan): Way {
    return { ...rest, endpoint: (to === "nowhere" ? undefined : this.#remotes[to]?.endpoint) ?? NOWHERE };
  }

  /**
   * Waits until the engine has dealt with everything. Inbound: a packet of the fence's session comes out of the device,
   * and a datagram behind it is handed over. Outbound: packets to the fence leave, several times.
   */
  async #settle(): Promise<void> {
    const { udpPort } = this.#path.info;
    const mark = Buffer.alloc(4);
    mark.writeUInt32BE(++this.#fences);
    const packet = fencePacket(mark);
    const probe = Buffer.concat([Buffer.from("216d7368", "hex"), mark]);
    this.#fence.send(this.#fenceSession.seal(packet), udpPort, "127.0.0.1");
    await this.#fenceHosts[this.#fences % FENCE_HOSTS.length]?.send(probe, udpPort);
    const { received } = this.#tap;
    await this.#bell.until("the fence's packet is delivered", () => received.at(-1)?.equals(packet) === true);
    await this.#bell.until("the fence's datagram is handed over", () => this.#exceptions.some((exception) => isDatagram(exception, probe)));
    for (let round = 0; round < OUTBOUND_ROUNDS; round++) {
      const before = this.#fenced;
      this.#tap.send(packet);
      await this.#bell.until("the fence's packet leaves", () => this.#fenced > before);
    }
    const news = (): number => this.#remotes.reduce((sum, remote) => sum + remote.waiting, this.#exceptions.length);
    for (let quiet = 0, before = news(); quiet < QUIET_TURNS; quiet++) {
      await turn();
      if (news() !== before) quiet = -1;
      before = news();
    }
  }

  get #fenceEndpoint(): Endpoint {
    return { ip: "127.0.0.1" as Ip, port: this.#fence.address().port };
  }

  async #take(): Promise<Omit<StepTranscript, "step" | "refused">> {
    const delivered = this.#tap.received.splice(0).filter((packet) => !isFence(packet));
    const exceptions = this.#exceptions.splice(0);
    const datagrams = await Promise.all(this.#remotes.map(async (remote) => (await takeAll(remote)).map(print).sort()));
    const handedOver = exceptions.flatMap((exception) =>
      exception.type === "datagram" && !FENCE_HOSTS.some((host) => host === exception.from.endpoint.ip)
        ? [`${this.#nameOf(exception.from)} ${print(exception.bytes)}`]
        : [],
    );
    const wanted = new Set(exceptions.flatMap((exception) => (exception.type === "session-wanted" ? [exception.slot] : [])));
    const first = [...wanted].filter((slot) => !this.#wanted.has(slot));
    this.#wanted = new Set([...this.#wanted, ...wanted]);
    return {
      datagrams,
      opened: this.#opened.splice(0).flat(),
      delivered: delivered.map(print),
      handedOver,
      confirmed: exceptions.flatMap((exception) =>
        exception.type === "session-confirmed" ? [`${exception.slot} ${exception.localIndex}`] : [],
      ),
      wanted: first.sort(),
      counters: this.#path.readCounters(),
      traffic: Array.from({ length: PEERS }, (_, slot) => transcribeTraffic(this.#path.readTraffic(slot))),
    };
  }

  #nameOf(way: Way): string {
    const remote = this.#remotes.findIndex(({ endpoint }) => sameEndpoint(endpoint, way.endpoint));
    return `${remote < 0 ? formatEndpoint(way.endpoint) : `remote ${remote}`} ${JSON.stringify(way.relay)}`;
  }
}

async function takeAll(remote: Remote): Promise<readonly Buffer[]> {
  const all: Buffer[] = [];
  while (remote.waiting > 0) all.push(await remote.next());
  return all;
}

function fencePacket(mark: Buffer): Buffer {
  const packet = Buffer.alloc(24);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet.set(FENCE_ADDRESS, 12);
  packet.set(FENCE_ADDRESS, 16);
  packet.set(mark, 20);
  return packet;
}

function isFence(packet: Buffer): boolean {
  return packet.length === 24 && packet.subarray(12, 16).equals(FENCE_ADDRESS) && packet.subarray(16, 20).equals(FENCE_ADDRESS);
}

function isDatagram(exception: DatapathException, bytes: Buffer): boolean {
  return exception.type === "datagram" && bytes.equals(exception.bytes);
}

/** The head of it, its length, and a hash of all. */
function print(bytes: Uint8Array): string {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  return `${Buffer.from(bytes.subarray(0, 40)).toString("hex")}… ${bytes.length} B ${hash}`;
}

function describe(step: Step): string {
  switch (step.type) {
    case "control":
      return JSON.stringify(step.event, (_, value: unknown) => (value instanceof Uint8Array ? undefined : value));
    case "udp":
      return step.datagrams.map(({ what, from, bytes }) => `from remote ${from}: ${what}, ${bytes.length} B`).join("; ");
    case "tun":
      return step.packets.map(({ what, bytes }) => `${what}, ${bytes.length} B`).join("; ");
  }
}

const [backend, events, ...seeds] = process.argv.slice(2);
assert.ok(backend === "native" || backend === "twin");
for (const seed of seeds) {
  const run = await EngineRun.open(backend);
  for (const step of makeScenario(Number(seed), Number(events))) process.stdout.write(`${JSON.stringify(await run.perform(step))}\n`);
  await run.close();
  process.stdout.write("\n");
}
