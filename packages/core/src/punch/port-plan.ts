import type { Endpoint } from "../address/endpoint.ts";
import type { Random } from "../crypto/crypto.ts";
import { randomBelow } from "../crypto/random.ts";
import type { PortPlan } from "../wire/probe.ts";

// Of the ports that a NAT gave to a few flows, which ones it will give to the next. By chance among 64,512: with M = 256 flows
// there, k PINGs to different ports meet one with 1 - C(64512-M, k) / C(64512, k): 50 % for k = 175, 90 % for 580, 99.9 % for 1,720.

/** Flows that show how a NAT gives ports: three steps of one kind are no chance. */
export const SAMPLES = 4;
/** Flows of one search, those of the samples among them: where ports come in a row, and where they come by chance. */
export const SEQUENCE_FLOWS = 64;
export const RANGE_FLOWS = 256;
/** PINGs to ports by chance: 99.9 %, and no more entries than a home router's table can spare. */
export const MAX_KNOCKS = 1_800;
/** Further apart, ports in a row are none. */
const MAX_DELTA = 16;
/** Flows of others that may come between samples and search. */
const STRANGERS = 32;
const SEQUENCE_ROUNDS = 6;
/** Where two rows meet: so many steps on. More flows of others than this before ours, and we are late; 24 fewer than none, and early. */
const MEETING_STEP = 40;
/** A block of ports that a carrier gives to one customer (RFC 7422) has this size or so. */
const BLOCK = 1_024;
/** Linux gives no lower one to a flow from above, and services of the system are nobody's NAT. */
const FIRST_PORT = 1_024;
const LAST_PORT = 65_535;

/** In the order of the flows. undefined: there are too few to tell, or the NAT has several addresses. */
export function planOf(seen: readonly Endpoint[]): PortPlan | undefined {
  const [first] = seen;
  const ports = seen.map(({ port }) => port);
  const last = ports.at(-1);
  if (first === undefined || last === undefined || seen.length < SAMPLES - 1 || seen.some(({ ip }) => ip !== first.ip)) return undefined;
  const { ip } = first;
  const steps = ports.slice(1).map((port, i) => port - (ports[i] ?? 0));
  const delta = Math.min(...steps);
  const count = delta > 0 ? Math.min(SEQUENCE_FLOWS + STRANGERS, Math.floor((LAST_PORT - last) / delta)) : 0;
  if (count > 0 && Math.max(...steps) <= MAX_DELTA) return { kind: "sequence", ip, first: last + delta, delta, count };
  const [low, high] = [Math.min(...ports), Math.max(...ports)];
  if (high - low >= BLOCK) return { kind: "range", ip, first: FIRST_PORT, delta: 1, count: LAST_PORT - FIRST_PORT + 1 };
  const start = Math.max(1, high - BLOCK + 1);
  return { kind: "range", ip, first: start, delta: 1, count: Math.min(LAST_PORT, low + BLOCK - 1) - start + 1 };
}

/** Which ports are knocked at, in which order: a row several times, from where it begins; else by chance, each once. */
export function portsOf({ kind, first, delta, count }: PortPlan, random: Random): readonly number[] {
  const ports = Array.from({ length: count }, (_, i) => first + delta * i).filter((port) => port >= FIRST_PORT);
  if (kind !== "range")
    return Array.from({ length: SEQUENCE_ROUNDS }, () => ports)
      .flat()
      .slice(0, MAX_KNOCKS);
  for (let i = 0; i < Math.min(ports.length, MAX_KNOCKS); i++) {
    const j = i + randomBelow(random, ports.length - i);
    [ports[i], ports[j]] = [ports[j] ?? 0, ports[i] ?? 0];
  }
  return ports.slice(0, MAX_KNOCKS);
}

/** Two rows: all flows of each end go to one port of the other, and the flow that has it comes from the port that the other sends to. */
export function meetingPoint({ kind, ip, first, delta, count }: PortPlan): Endpoint | undefined {
  return kind === "sequence" && count > MEETING_STEP ? { ip, port: first + delta * MEETING_STEP } : undefined;
}

export function onePort({ ip, port }: Endpoint): PortPlan {
  return { kind: "one", ip, first: port, delta: 1, count: 1 };
}

export function endpointOf({ kind, ip, first }: PortPlan): Endpoint | undefined {
  return kind === "one" ? { ip, port: first } : undefined;
}
