import { createHash } from "node:crypto";
import { performance } from "node:perf_hooks";
import {
  type Clock,
  type ControlEvent,
  type ControlQueries,
  type ControlRefusal,
  type Endpoint,
  type Ip,
  type Millis,
  type NodeId,
  nodeId,
} from "@mesh/core/ports";
import { pino } from "pino";
import { type ControlPlaneOptions, type OpenControlPlane, openControlPlane } from "./control-plane.ts";
import { privateKeyOf } from "./peer-id.ts";
import { TestRecords } from "./test-records-fixture.ts";

/** Tests with sockets need real time. */
export const realClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  at: (dueAt, fn) => {
    const timer = setTimeout(fn, Math.max(0, dueAt - performance.now()));
    return () => clearTimeout(timer);
  },
};

/** Times as fast as real time: limits of 15 s pass in 1 s, and 5 s are still enough for a handshake on a busy machine. */
const HURRY = 15;

/** For tests of limits that are longer than a test may take. */
export const hurriedClock: Clock = {
  now: () => performance.now() * HURRY,
  wallNow: () => Date.now(),
  at: (dueAt, fn) => realClock.at(dueAt / HURRY, fn),
};

export const LOOPBACK = "127.0.0.1" as Ip;
export const TOPIC = "/mesh/test/1";

/** A network's members, as tests know them: a member's credentials are the network's secret and its id. */
export function credentialsOf(node: NodeId, network = "a"): Uint8Array {
  return Buffer.from(`network ${network} member ${node}`);
}

export async function nodeOfSeed(seed: Uint8Array): Promise<NodeId> {
  const key = await privateKeyOf(seed);
  return nodeId(key.publicKey.raw);
}

export function seedOf(name: string): Uint8Array {
  return createHash("sha256").update(name).digest();
}

type EventOf<T extends ControlEvent["type"]> = Extract<ControlEvent, { readonly type: T }>;

/** Milliseconds a test waits for anything. */
const PATIENCE: Millis = 10_000;

/** Keeps all events, refusals as sums apart from the others; waits for those to come. */
class EventLog {
  readonly all: ControlEvent[] = [];
  readonly #refusals = new Map<ControlRefusal, number>();
  readonly #waiting = new Set<() => void>();

  push(event: ControlEvent): void {
    if (event.type === "refused") this.#refusals.set(event.cause, this.refusals(event.cause) + event.count);
    else this.all.push(event);
    for (const look of [...this.#waiting]) look();
  }

  refusals(cause: ControlRefusal): number {
    return this.#refusals.get(cause) ?? 0;
  }

  count<T extends ControlEvent["type"]>(type: T, matches: (event: EventOf<T>) => boolean = () => true): number {
    return this.all.filter((event) => event.type === type && matches(event as EventOf<T>)).length;
  }

  /** The first event of this type that matches, from the `from`th event on. */
  async next<T extends ControlEvent["type"]>(type: T, matches: (event: EventOf<T>) => boolean = () => true, from = 0): Promise<EventOf<T>> {
    let found: EventOf<T> | undefined;
    await this.#until(`${type} event`, () => {
      found = this.all.slice(from).find((event): event is EventOf<T> => event.type === type && matches(event as EventOf<T>));
      return found !== undefined;
    });
    return found as EventOf<T>;
  }

  /** Until a record with these bytes was reported. */
  async record(record: Uint8Array): Promise<EventOf<"records">> {
    return await this.next("records", ({ records }) => records.some((one) => Buffer.compare(one, record) === 0));
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return;
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!holds()) return;
        this.#waiting.delete(look);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`no ${what} within ${PATIENCE} ms; came: ${this.all.map(({ type }) => type).join(" ")}`));
      }, PATIENCE);
      this.#waiting.add(look);
    });
  }
}

/** Until it holds; for what has no event. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error(`not within ${PATIENCE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface Member {
  readonly node: NodeId;
  readonly control: OpenControlPlane;
  readonly endpoint: Endpoint;
  readonly events: EventLog;
  readonly records: TestRecords;
  readonly removed: Set<NodeId>;
  /** Whose credentials it did not accept, in order. */
  readonly refused: readonly NodeId[];
  /** Merges and publishes. */
  say(record: Uint8Array): void;
}

export interface MemberOptions extends Partial<Pick<ControlPlaneOptions, "clock" | "port" | "busyResponse">> {
  readonly network?: string;
  /** Where it listens; default: on loopback. */
  readonly ip?: Ip;
  readonly credentials?: Uint8Array;
  onEvent?(event: ControlEvent, member: Member): void;
}

/** A node that believes what its network's members say. */
export async function openMember(name: string, options: MemberOptions = {}): Promise<Member> {
  const seed = seedOf(name);
  const node = await nodeOfSeed(seed);
  const events = new EventLog();
  const records = new TestRecords();
  const removed = new Set<NodeId>();
  const refused: NodeId[] = [];
  const queries: ControlQueries = {
    credentials: () => options.credentials ?? credentialsOf(node, options.network),
    refuseMember: (peer, credentials) => {
      const isGood = Buffer.compare(credentials, credentialsOf(peer, options.network)) === 0 && !removed.has(peer);
      if (!isGood) refused.push(peer);
      return isGood ? undefined : "not a member here";
    },
    isRemoved: (peer) => removed.has(peer),
    judgeRecord: (record) => (record.length < 40 ? "reject" : records.has(record) ? "ignore" : "accept"),
    digest: records,
  };
  const control = await openControlPlane({
    seed,
    listen: { ip: options.ip ?? LOOPBACK, port: options.port ?? 0 },
    port: 0,
    topic: TOPIC,
    queries,
    clock: options.clock ?? realClock,
    busyResponse: options.busyResponse,
    log: pino({ level: process.env["MESH_TEST_LOG"] ?? "silent" }),
    onEvent: (event) => {
      if (event.type === "records") for (const record of event.records) if (record.length >= 40) records.merge(record);
      events.push(event);
      options.onEvent?.(event, member);
    },
  });
  const member: Member = {
    node,
    control,
    endpoint: { ip: options.ip ?? LOOPBACK, port: control.port },
    events,
    records,
    removed,
    refused,
    say: (record) => {
      records.merge(record);
      control.publish(record);
    },
  };
  return member;
}

export async function link(a: Member, b: Member): Promise<void> {
  a.control.connect(b.node, [b.endpoint]);
  await Promise.all([a.events.next("link-up", ({ node }) => node === b.node), b.events.next("link-up", ({ node }) => node === a.node)]);
}

/** For what has no event: that nothing happens, or that a connection is no longer new. */
export function passed(time: number): Promise<void> {
  return new Promise((resolve) => realClock.at(realClock.now() + time, () => resolve()));
}
