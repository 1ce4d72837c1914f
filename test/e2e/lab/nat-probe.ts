/**
 * node nat-probe.ts serve <address,…> <port,…>       answers on each address and port; prints `listening`
 * node nat-probe.ts ask <questions as JSON>          prints what it found as one JSON line
 *
 * Experiments on UDP between a host behind a NAT and one with several public addresses, after RFC 5780. That something does not
 * arrive is never concluded from a time limit where something does: what should be later arrives first.
 */
import { randomUUID } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface ProbeQuestions {
  /** Where the server is: at least two addresses, the first two with two ports each. */
  readonly addresses: readonly string[];
  readonly ports: readonly [number, number];
  /** Waits at the server, in milliseconds, each tried on a mapping of its own. */
  readonly waits?: readonly number[];
  /** Only asks what these ports look like outside. */
  readonly onlyPorts?: readonly number[];
}

export interface ProbeFindings {
  /** Nothing was ever answered, and the rest is empty. */
  readonly blocked: boolean;
  /** A socket a row, what it looks like: from the first address's two ports, then from the second address. */
  readonly mappings: readonly (readonly [Endpoint, Endpoint, Endpoint])[];
  /** Sockets one after another, as one server sees them. */
  readonly ports: readonly { readonly inside: number; readonly outside: number }[];
  /** One socket as all addresses of the server see it. */
  readonly addresses: readonly string[];
  /** Whether the host hears from where it has not sent to. */
  readonly hears: { readonly otherAddress: boolean; readonly otherPort: boolean };
  /** What one socket saw of another that sent to its outside mapping: the sender's inside or outside address, or nothing. */
  readonly hairpin: "inside" | "outside" | "nothing";
  /** Milliseconds that the server waited before it sent to a mapping, and whether that arrived. */
  readonly waits: readonly { readonly ms: number; readonly arrived: boolean }[];
  /** The host's own. */
  readonly insideAddresses: readonly string[];
}

/** The one request: tell what you see, by another socket too, or after a wait; or what has become of earlier ones. */
interface Question {
  readonly id: string;
  readonly from?: Endpoint;
  readonly waitMs?: number;
  readonly waited?: readonly string[];
}

interface Reply {
  readonly id: string;
  /** Of the socket that asked. */
  readonly seen: Endpoint;
  /** Sent from the other socket. */
  readonly foreign?: true;
  readonly waited?: readonly number[];
}

const SOCKETS = 3;
const SUCCESSIVE = 10;
/** A NAT that hashes ports gives two sockets the same one once in some thousand times, and drops what the later one sends. */
const ATTEMPTS = 3;
/** Milliseconds between what must not be overtaken and what comes after it. */
const AFTER = 50;
const RETRY = 500;
const TRIES = 6;

async function main([role, ...words]: readonly string[]): Promise<void> {
  if (role === "serve") return await serve((words[0] ?? "").split(","), (words[1] ?? "").split(",").map(Number));
  const questions = JSON.parse(words[0] ?? "") as ProbeQuestions;
  console.log(JSON.stringify(await findOutAtLast(questions)));
  process.exit();
}

/** With other sockets where one of them was never answered. */
async function findOutAtLast(questions: ProbeQuestions): Promise<ProbeFindings> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await findOut(questions);
    } catch (error) {
      if (!(error instanceof NoAnswer) || attempt === ATTEMPTS) throw error;
    }
  }
}

class NoAnswer extends Error {
  constructor(server: Endpoint) {
    super(`no answer from ${nameOf(server)}`);
  }
}

async function serve(addresses: readonly string[], ports: readonly number[]): Promise<void> {
  const sockets = new Map<string, Socket>();
  /** How long the server really waited, by question. */
  const waited = new Map<string, number>();
  const reply = (socket: Socket | undefined, to: Endpoint, body: Reply): void => socket?.send(JSON.stringify(body), to.port, to.address);
  const answer = async (socket: Socket, question: Question, seen: Endpoint): Promise<void> => {
    const { id, from, waitMs } = question;
    const startedAt = performance.now();
    if (from !== undefined) {
      reply(sockets.get(nameOf(from)), seen, { id, seen, foreign: true });
      await sleep(AFTER);
    }
    if (waitMs !== undefined) {
      await sleep(waitMs);
      waited.set(id, performance.now() - startedAt);
    }
    reply(socket, seen, { id, seen, ...(question.waited && { waited: question.waited.map((one) => waited.get(one) ?? 0) }) });
  };
  for (const address of addresses) {
    for (const port of ports) {
      const socket = createSocket("udp4");
      socket.on("message", (bytes, { address: host, port: hostPort }) => {
        void answer(socket, JSON.parse(bytes.toString()) as Question, { address: host, port: hostPort });
      });
      await bound(socket, { address, port });
      sockets.set(nameOf({ address, port }), socket);
    }
  }
  console.log("listening");
}

const NOTHING: Omit<ProbeFindings, "insideAddresses"> = {
  blocked: false,
  mappings: [],
  ports: [],
  addresses: [],
  hears: { otherAddress: false, otherPort: false },
  hairpin: "nothing",
  waits: [],
};

async function findOut({ addresses, ports, waits = [], onlyPorts }: ProbeQuestions): Promise<ProbeFindings> {
  const [one = "", two = ""] = addresses;
  const a1: Endpoint = { address: one, port: ports[0] };
  const a2: Endpoint = { address: one, port: ports[1] };
  const b1: Endpoint = { address: two, port: ports[0] };
  const own = Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
  const nothing: ProbeFindings = { ...NOTHING, insideAddresses: own };
  const asker = await Asker.open();
  if ((await asker.ask(a1)) === undefined) return { ...nothing, blocked: true };
  if (onlyPorts !== undefined) return { ...nothing, ports: await seenPorts(onlyPorts, a1) };
  const waited = Promise.all(waits.map((ms) => askLater(ms, a1)));
  const mappings: [Endpoint, Endpoint, Endpoint][] = [];
  for (let n = 0; n < SOCKETS; n++) {
    const socket = await Asker.open();
    mappings.push([await socket.seenBy(a1), await socket.seenBy(a2), await socket.seenBy(b1)]);
  }
  const seen: string[] = [];
  for (const address of addresses) seen.push((await asker.seenBy({ address, port: ports[0] })).address);
  return {
    blocked: false,
    mappings,
    ports: await seenPorts(new Array<number>(SUCCESSIVE).fill(0), a1),
    addresses: seen,
    hears: { otherAddress: await hears(a1, b1), otherPort: await hears(a1, a2) },
    hairpin: await hairpin(a1),
    waits: await whatArrived(await waited, a1),
    insideAddresses: own,
  };
}

async function seenPorts(insidePorts: readonly number[], server: Endpoint): Promise<ProbeFindings["ports"]> {
  const ports: { inside: number; outside: number }[] = [];
  for (const port of insidePorts) {
    const asker = await Asker.open(port);
    ports.push({ inside: asker.port, outside: (await asker.seenBy(server)).port });
  }
  return ports;
}

/** Asks one to have another one answer, too. */
async function hears(asked: Endpoint, other: Endpoint): Promise<boolean> {
  const asker = await Asker.open();
  if ((await asker.ask(asked, { from: other })) === undefined) throw new NoAnswer(asked);
  return asker.strangers.length > 0;
}

async function hairpin(server: Endpoint): Promise<ProbeFindings["hairpin"]> {
  const target = await Asker.open();
  const sender = await Asker.open();
  const targetSeen = await target.seenBy(server);
  const senderSeen = await sender.seenBy(server);
  sender.send({ id: "hairpin" }, targetSeen);
  await sleep(AFTER);
  await target.seenBy(server);
  const [source] = target.strangers;
  if (source === undefined) return "nothing";
  return source.address === senderSeen.address && source.port === senderSeen.port ? "outside" : "inside";
}

interface Waiting {
  readonly asker: Asker;
  readonly id: string;
  readonly waitMs: number;
}

/** Asks once: another packet would keep the mapping open. */
async function askLater(waitMs: number, server: Endpoint): Promise<Waiting> {
  const asker = await Asker.open();
  const id = randomUUID();
  asker.send({ id, waitMs }, server);
  return { asker, id, waitMs };
}

/** Returns when the server has sent everything, which it cannot when a question did not get there. */
async function whatArrived(waiting: readonly Waiting[], server: Endpoint): Promise<ProbeFindings["waits"]> {
  const ids = waiting.map(({ id }) => id);
  const control = await Asker.open();
  const deadline = performance.now() + Math.max(0, ...waiting.map(({ waitMs }) => waitMs)) + TRIES * RETRY;
  while (performance.now() < deadline) {
    const waited = (await control.ask(server, { waited: ids }))?.waited ?? [];
    if (waited.length === ids.length && !waited.includes(0)) {
      await sleep(AFTER);
      return waiting.map(({ asker, id }, n) => ({ ms: waited[n] ?? 0, arrived: asker.replies.has(id) }));
    }
    await sleep(RETRY);
  }
  throw new NoAnswer(server);
}

/** One socket of the host. */
class Asker {
  readonly #socket: Socket;
  readonly replies = new Map<string, Reply>();
  /** Where packets came from that answer nothing. */
  readonly strangers: Endpoint[] = [];
  #arrived: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes, { address, port }) => {
      const reply = JSON.parse(bytes.toString()) as Partial<Reply> & { readonly id: string };
      if (reply.seen === undefined || reply.foreign === true) this.strangers.push({ address, port });
      else this.replies.set(reply.id, { id: reply.id, seen: reply.seen, ...(reply.waited && { waited: reply.waited }) });
      this.#arrived();
    });
  }

  static async open(port = 0): Promise<Asker> {
    const socket = createSocket("udp4");
    await bound(socket, { address: "0.0.0.0", port });
    return new Asker(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(question: Question, to: Endpoint): void {
    this.#socket.send(JSON.stringify(question), to.port, to.address);
  }

  /** Undefined when nothing was ever answered. */
  async ask(to: Endpoint, question: Omit<Question, "id"> = {}): Promise<Reply | undefined> {
    const id = randomUUID();
    for (let tries = 0; tries < TRIES; tries++) {
      this.send({ ...question, id }, to);
      const deadline = performance.now() + RETRY;
      for (let left = RETRY; left > 0; left = deadline - performance.now()) {
        const reply = this.replies.get(id);
        if (reply !== undefined) return reply;
        await Promise.race([new Promise<void>((resolve) => (this.#arrived = resolve)), sleep(left)]);
      }
    }
    return undefined;
  }

  async seenBy(to: Endpoint): Promise<Endpoint> {
    const reply = await this.ask(to);
    if (reply === undefined) throw new NoAnswer(to);
    return reply.seen;
  }
}

function bound(socket: Socket, { address, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, address, resolve);
  });
}

function nameOf({ address, port }: Endpoint): string {
  return `${address}:${port}`;
}

if (import.meta.main) await main(process.argv.slice(2));
