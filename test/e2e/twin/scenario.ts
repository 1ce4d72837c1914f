import { parsePrefix, type RelayHeader, type RelayTable } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import { handshakeMessage } from "../../../packages/datapath/src/suite/handshake-message.ts";
import { fromRelay, toRelay } from "../../../packages/datapath/src/suite/relay-datagram.ts";
import { RemoteSession } from "../../../packages/datapath/src/suite/remote.ts";
import { damaged, innerPacket } from "./inner-bytes.ts";

// What an engine is put through, all of it from one seed and nothing from the engine: so two engines get the same bytes.
//
// Left out, because real time decides: the second between two session-wanted, budgets and load of the guard (all stays
// below them), sessions that expire while packets flow (here they have expired when they are installed, or do not).

export const PEERS = 4;
/** Never gone from the table, has a session from the start; tells when everything before has been dealt with. */
export const FENCE_SLOT = 20;
export const REMOTES = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"] as const;

export interface RoutePlan {
  readonly prefix: string;
  readonly slot: number;
}

export interface TablePlan {
  readonly peers: readonly number[];
  readonly roaming: readonly number[];
  readonly routes: readonly RoutePlan[];
}

export interface SessionPlan {
  readonly slot: number;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly role: "initiator" | "responder";
  readonly isAlive: boolean;
}

/** To a remote, by its number; "nowhere" has no route to it. */
export interface WayPlan {
  readonly to: number | "nowhere";
  readonly socket?: number;
  readonly relay?: RelayHeader;
}

export type ControlEvent =
  | { readonly type: "table"; readonly table: TablePlan }
  | { readonly type: "ways"; readonly slot: number; readonly ways: readonly WayPlan[] }
  | { readonly type: "relay"; readonly table: RelayTable }
  | { readonly type: "open-sockets"; readonly count: number }
  | { readonly type: "close-sockets"; readonly sockets: readonly number[] }
  | { readonly type: "datagram"; readonly way: WayPlan; readonly bytes: Uint8Array; readonly ttl: number | undefined }
  | { readonly type: "install"; readonly session: SessionPlan }
  | { readonly type: "drop"; readonly localIndex: number }
  | { readonly type: "keepalive"; readonly slot: number };

/** What is given to the engine before the next look at what it did. */
export type Step =
  | { readonly type: "control"; readonly event: ControlEvent }
  | { readonly type: "udp"; readonly datagrams: readonly { readonly what: string; readonly from: number; readonly bytes: Buffer }[] }
  | { readonly type: "tun"; readonly packets: readonly { readonly what: string; readonly bytes: Buffer }[] };

export const FENCE_SESSION: SessionPlan = {
  slot: FENCE_SLOT,
  localIndex: 0xfe00_0001,
  remoteIndex: 0xfe00_0002,
  sendKey: new Uint8Array(32).fill(0xf1),
  receiveKey: new Uint8Array(32).fill(0xf2),
  role: "initiator",
  isAlive: true,
};
const FENCE_ROUTES: readonly RoutePlan[] = [{ prefix: "10.254.0.0/24", slot: FENCE_SLOT }];
export const FIRST_TABLE: TablePlan = { peers: [FENCE_SLOT], roaming: [], routes: FENCE_ROUTES };

const LONGEST_INNER = 4_000;
const MOST_HANDSHAKES = 90;
const MOST_OWN_DATAGRAMS = 60; // of one source
/** With a header it still fits. */
const MOST_CARRIED = 65_000;
/** Of a relay: above all that can come, or nothing. */
const RATES = [1_000_000_000, 1_000_000_000, 1_000_000_000, 1_000_000_000, 0] as const;

/** Steps with `events` events in all. */
export function makeScenario(seed: number, events: number): readonly Step[] {
  const maker = new ScenarioMaker(SeededRandom.named(seed, "scenario"));
  const steps: Step[] = [...maker.beginning()];
  for (let made = 0; made < events; ) {
    const step = maker.next();
    steps.push(step);
    made += step.type === "udp" ? step.datagrams.length : step.type === "tun" ? step.packets.length : 1;
  }
  return steps;
}

class ScenarioMaker {
  readonly #random: SeededRandom;
  readonly #sessions: { readonly plan: SessionPlan; readonly remote: RemoteSession }[] = [];
  readonly #sent: Buffer[] = [];
  readonly #ownDatagrams = REMOTES.map(() => 0);
  /** Where each slot's packets go first, as far as this knows. */
  readonly #places: WayPlan["to"][] = [];
  #members: RelayTable["members"] = [];
  #hasRoaming = false;
  #handshakes = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  *beginning(): Generator<Step> {
    yield control({ type: "table", table: this.#table(() => true) });
    for (let slot = 0; slot < PEERS; slot++) yield control({ type: "ways", slot, ways: [{ to: slot }] });
    this.#places.push(...Array.from({ length: PEERS }, (_, slot) => slot));
    yield control(this.#relay());
    for (let slot = 0; slot < PEERS; slot++) yield control(this.#install(slot));
  }

  next(): Step {
    const random = this.#random;
    const dice = random.next();
    if (dice < 0.25) return control(this.#controlEvent());
    const size = random.next() < 0.02 ? 140 : 1 + random.below(8);
    // How many datagrams the native engine takes before peers follow them is a matter of time: where some roam it gets one.
    const count = this.#hasRoaming ? 1 : Math.min(size, 20);
    if (dice < 0.75) return { type: "udp", datagrams: Array.from({ length: count }, () => this.#datagram()) };
    return { type: "tun", packets: this.#packets(size) };
  }

  #controlEvent(): ControlEvent {
    const random = this.#random;
    const slot = random.below(PEERS + 1); // one more than there are: it is refused
    const dice = random.next();
    // Often for the same peer again, before it used the last one: both ends initiate at once, or a handshake is repeated.
    if (dice < 0.3) return this.#install(random.next() < 0.3 ? (this.#sessions.at(-1)?.plan.slot ?? slot) : slot);
    if (dice < 0.38) return { type: "drop", localIndex: random.pick(this.#sessions)?.plan.localIndex ?? 1 };
    if (dice < 0.66) return this.#ways(slot);
    if (dice < 0.72) return this.#relay();
    if (dice < 0.75) return { type: "open-sockets", count: random.below(4) };
    if (dice < 0.77) return { type: "close-sockets", sockets: [random.below(6), random.below(6)] };
    if (dice < 0.82) {
      const way = { ...this.#way(slot), socket: random.below(4) };
      return { type: "datagram", way, bytes: random.bytes(random.below(100)), ttl: random.pick([undefined, undefined, 5, 0]) };
    }
    if (dice < 0.96) return { type: "keepalive", slot };
    return { type: "table", table: this.#table(() => random.next() < 0.9) };
  }

  #ways(slot: number): ControlEvent {
    const random = this.#random;
    const count = random.pick([1, 1, 1, 1, 2, 2, 2, 0, 0, 3]) ?? 1; // three are refused
    const ways = Array.from({ length: count }, () => this.#way(slot));
    const [first] = ways;
    if (first !== undefined) this.#places[slot] = first.to;
    return { type: "ways", slot, ways };
  }

  /** By a socket that may not be open: then it is refused. */
  #way(slot: number): WayPlan {
    const random = this.#random;
    const at = slot % REMOTES.length;
    return {
      to: random.pick<WayPlan["to"]>([0, 1, 2, 3, at, at, "nowhere"]) ?? at,
      ...(random.next() < 0.1 && { socket: random.below(4) }),
      ...(random.next() < 0.25 && { relay: { from: random.below(65_536), to: random.below(65_536), pass: random.below(2 ** 32) } }),
    };
  }

  #relay(): ControlEvent {
    const random = this.#random;
    const slots = Array.from({ length: PEERS }, (_, slot) => slot).filter(() => random.next() < 0.9);
    const members = slots.map((slot) => ({ slot, number: 10 + slot, pass: random.below(2 ** 32) }));
    const [first] = members;
    // Two members of one number: it is refused.
    if (random.next() < 0.05 && first !== undefined) return relayTable([...members, { ...first, slot: PEERS }], 1);
    this.#members = members;
    return relayTable(members, random.pick(RATES) ?? 0);
  }

  #install(slot: number): ControlEvent {
    const random = this.#random;
    const isAgain = random.next() < 0.03;
    const session: SessionPlan = {
      slot,
      localIndex: (isAgain ? random.pick(this.#sessions)?.plan.localIndex : undefined) ?? random.below(0xf000_0000),
      remoteIndex: random.below(0xf000_0000),
      sendKey: random.bytes(32),
      receiveKey: random.bytes(32),
      role: random.next() < 0.5 ? "initiator" : "responder",
      isAlive: random.next() < 0.9,
    };
    if (!isAgain) this.#sessions.push({ plan: session, remote: new RemoteSession(session) });
    return { type: "install", session };
  }

  #table(isIn: () => boolean): TablePlan {
    const random = this.#random;
    const peers = Array.from({ length: PEERS }, (_, slot) => slot).filter(isIn);
    const routes = peers.flatMap((slot) => [
      { prefix: `10.${slot}.0.0/16`, slot },
      { prefix: `fd00:${slot}::/32`, slot },
      // Inside the next peer's: the longest prefix decides.
      ...(random.next() < 0.5 ? [{ prefix: `10.${(slot + 1) % PEERS}.128.0/17`, slot }] : []),
      ...(random.next() < 0.1 ? [{ prefix: "0.0.0.0/0", slot }] : []),
    ]);
    const isStill = random.next() < 0.6;
    const table = {
      peers: [...peers, FENCE_SLOT],
      roaming: peers.filter(() => !isStill && random.next() < 0.5),
      routes: [...routes, ...FENCE_ROUTES],
    };
    // A route or a roaming slot without its peer: it is refused.
    if (random.next() < 0.05) return { ...table, routes: [...routes, { prefix: "10.99.0.0/16", slot: 9 }] };
    if (random.next() < 0.05) return { ...table, roaming: [9] };
    this.#hasRoaming = table.roaming.length > 0;
    return table;
  }

  #datagram(): { what: string; from: number; bytes: Buffer } {
    const random = this.#random;
    const { what, from, bytes } = random.next() < 0.15 ? this.#toRelay() : this.#straightOrRelayed();
    this.#sent.push(bytes);
    if (this.#sent.length > 200) this.#sent.shift();
    return { what, from, bytes };
  }

  #straightOrRelayed(): { what: string; from: number; bytes: Buffer } {
    const random = this.#random;
    const from = random.below(REMOTES.length);
    const [what, bytes] = this.#bytes(from);
    if (random.next() < 0.85 || bytes.length > MOST_CARRIED) return { what, from, bytes };
    return { what: `relayed: ${what}`, from, bytes: fromRelay({ from: random.below(65_536), to: random.below(65_536) }, bytes) };
  }

  /** Mostly what may be relayed, as far as it is known who may. */
  #toRelay(): { what: string; from: number; bytes: Buffer } {
    const random = this.#random;
    const sender = random.pick(this.#members);
    const place = this.#places[sender?.slot ?? 0];
    const from = typeof place === "number" && random.next() < 0.9 ? place : random.below(REMOTES.length);
    const pass = random.next() < 0.9 ? (sender?.pass ?? 0) : (random.pick(this.#members)?.pass ?? 1);
    const to = random.next() < 0.95 ? (random.pick(this.#members)?.number ?? 0) : random.below(65_536);
    const carried = random.next() < 0.7 ? Buffer.from(random.bytes(1 + random.below(1_500))) : (random.pick(this.#sent) ?? Buffer.of(1));
    const bytes = toRelay({ from: sender?.number ?? 9, to, pass }, carried.subarray(0, MOST_CARRIED));
    return { what: "to be relayed", from, bytes: random.next() < 0.05 ? bytes.subarray(0, random.below(14)) : bytes };
  }

  #bytes(from: number): [string, Buffer] {
    const random = this.#random;
    const dice = random.next();
    // Mostly the newest ones of a slot, which are the ones the engine knows.
    const slot = random.below(PEERS);
    const known = random.next() < 0.9 ? this.#sessions.filter(({ plan }) => plan.slot === slot).slice(-2) : this.#sessions;
    const { plan, remote } = random.pick(known) ?? {};
    if (plan === undefined || remote === undefined) return ["nothing yet", Buffer.alloc(0)];
    if (dice < 0.3) return [`packet of slot ${plan.slot}`, remote.seal(this.#inner(plan.slot))];
    if (dice < 0.38) return [`keepalive of slot ${plan.slot}`, remote.keepalive()];
    if (dice < 0.46) return ["inner packet of another", remote.seal(this.#inner(random.below(PEERS + 1)))];
    if (dice < 0.54) return ["damaged inner packet", remote.seal(damaged(random, this.#inner(plan.slot)))];
    if (dice < 0.6) return ["counter out of order", this.#outOfOrder(plan.slot, remote)];
    if (dice < 0.68) return ["again", Buffer.from(random.pick(this.#sent) ?? remote.keepalive())];
    if (dice < 0.76) return ["altered", altered(random, random.pick(this.#sent) ?? remote.keepalive())];
    if (dice < 0.78) return ["unknown session", transport(random, random.below(0xffff_ffff))];
    if (dice < 0.8) return ["random transport of a session", transport(random, plan.localIndex)];
    if (dice < 0.88 && this.#handshakes < MOST_HANDSHAKES) return this.#handshake();
    if (dice < 0.96 && (this.#ownDatagrams[from] ?? 0) < MOST_OWN_DATAGRAMS) return this.#own(from);
    if (dice < 0.963) return ["as long as UDP allows", Buffer.from(random.bytes(65_507))];
    return ["noise", Buffer.from(random.bytes(random.below(300)))];
  }

  /** Mostly from an address of the slot; to any. */
  #inner(slot: number): Buffer {
    const random = this.#random;
    const isV4 = random.next() < 0.5;
    const source = address(random, isV4, slot);
    const destination = address(random, isV4, random.below(PEERS + 1));
    if (!isV4 && random.next() < 0.1) source.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, slot, 0, 1]); // IPv4-mapped
    return innerPacket({ random, source, destination, longest: LONGEST_INNER });
  }

  #outOfOrder(slot: number, remote: RemoteSession): Buffer {
    const random = this.#random;
    const { counter } = remote;
    const jump = random.next();
    if (jump < 0.3) remote.counter += BigInt(random.below(10_000));
    else if (jump < 0.4) return remote.seal(this.#inner(slot), 2n ** 64n - BigInt(random.below(20_000)) - 1n);
    else if (jump < 0.8) return remote.seal(this.#inner(slot), counter - BigInt(Math.min(Number(counter), 8_120 + random.below(16))));
    else return remote.seal(this.#inner(slot), counter > 0n ? BigInt(random.below(Number(counter))) : 0n);
    return remote.seal(this.#inner(slot));
  }

  #handshake(): [string, Buffer] {
    const random = this.#random;
    this.#handshakes++;
    const message = handshakeMessage(random.next() < 0.5 ? 1 : 2, { sender: random.below(0xffff_ffff) });
    const dice = random.next();
    if (dice < 0.5) return ["handshake message", message];
    if (dice < 0.75) return ["altered handshake message", altered(random, message)];
    return [
      "handshake message of a wrong size",
      dice < 0.9 ? message.subarray(0, random.below(message.length)) : Buffer.concat([message, Buffer.alloc(1)]),
    ];
  }

  #own(from: number): [string, Buffer] {
    const random = this.#random;
    this.#ownDatagrams[from] = (this.#ownDatagrams[from] ?? 0) + 1;
    if (random.next() < 0.2)
      return ["cookie reply", Buffer.concat([Buffer.of(3, 0, 0, 0), random.bytes(60 + (random.next() < 0.3 ? 1 : 0))])];
    const head = Buffer.from(`${random.pick(["20", "21", "22", "23", "24"]) ?? "21"}6d7368`, "hex");
    return ["own kind", Buffer.concat([head, random.bytes(random.next() < 0.2 ? 1_490 + random.below(12) : random.below(300))])];
  }

  #packets(count: number): { what: string; bytes: Buffer }[] {
    const random = this.#random;
    return Array.from({ length: count }, () => {
      const isV4 = random.next() < 0.5;
      const slot = random.below(PEERS + 1);
      const [source, destination] = [address(random, isV4, PEERS + 2), address(random, isV4, slot)];
      const packet = innerPacket({ random, source, destination, longest: LONGEST_INNER });
      return random.next() < 0.2
        ? { what: "damaged packet", bytes: damaged(random, packet) }
        : { what: `packet to slot ${slot}`, bytes: packet };
    });
  }
}

function relayTable(members: RelayTable["members"], bytesPerSecond: number): ControlEvent {
  return { type: "relay", table: { members, bytesPerSecond } };
}

function control(event: ControlEvent): Step {
  return { type: "control", event };
}

function address(random: SeededRandom, isV4: boolean, slot: number): Uint8Array {
  if (isV4) return Uint8Array.of(10, slot, random.below(256), random.below(256));
  return Uint8Array.of(0xfd, 0, slot >> 8, slot, ...random.bytes(12));
}

function transport(random: SeededRandom, index: number): Buffer {
  const bytes = Buffer.from(random.bytes(random.below(200)));
  if (bytes.length >= 8) bytes.writeUInt32LE(index, 4);
  bytes.set(Buffer.of(4, 0, 0, 0).subarray(0, bytes.length));
  return bytes;
}

/** A flipped bit, cut at the end, or longer. */
function altered(random: SeededRandom, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const dice = random.next();
  if (copy.length === 0 || dice < 0.2) return Buffer.concat([copy, random.bytes(1 + random.below(20))]);
  if (dice < 0.4) return copy.subarray(0, random.below(copy.length));
  const at = random.below(copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  return copy;
}

export function parsedRoutes(routes: readonly RoutePlan[]): { prefix: NonNullable<ReturnType<typeof parsePrefix>>; slot: number }[] {
  return routes.map(({ prefix: text, slot }) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new TypeError(text);
    return { prefix, slot };
  });
}
