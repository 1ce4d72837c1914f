// Two nodes behind NATs with two public members, and what passes between them.
import type { NatName, SimMesh, SimNode, SimSite } from "@mesh/core/testing";

/** After this long all have heard of each other, and nothing that they said to each other then is open any more. */
const SETTLED = 120_000;
const SEND_EVERY = 20;
/** Of the relay's header before what it carries. */
const RELAY_HEADER_BYTES = 12;
const [PROBE, TO_RELAY] = [0x21, 0x22];

/** Public addresses of the two sites. */
export const OUTSIDE: { readonly a: SimNode["ip"]; readonly b: SimNode["ip"] } = {
  a: "203.0.113.1" as SimNode["ip"],
  b: "203.0.113.2" as SimNode["ip"],
};

export interface PunchedPair {
  readonly mesh: SimMesh;
  readonly a: SimNode;
  readonly b: SimNode;
  readonly sites: { readonly a: SimSite; readonly b: SimSite };
}

export function punchedPairs(mesh: SimMesh, [kindOfA, kindOfB]: readonly [NatName, NatName]): PunchedPair {
  const site = (name: string, kind: NatName, ip: SimNode["ip"]): SimSite => mesh.network.addSite(name, { kind, publicIps: [ip] });
  const sites = { a: site("site-a", kindOfA, OUTSIDE.a), b: site("site-b", kindOfB, OUTSIDE.b) };
  const pub = mesh.found("pub");
  mesh.join("pub-2", pub);
  const a = mesh.join("a", pub, { site: sites.a });
  const b = mesh.join("b", pub, { site: sites.b });
  mesh.clock.advance(SETTLED);
  return { mesh, a, b, sites };
}

export interface Talk {
  /** Since the first packet; both ends, for the first time. undefined: never. */
  readonly directAfter: number | undefined;
  /** How often one of them was not direct any more. */
  readonly flaps: number;
  readonly lost: number;
  /** Probes that left the two sites, whatever became of them. */
  readonly probes: number;
}

/** Each sends to the other fifty times a second for so long. `each` is called before every packet. */
export function talk({ mesh, a, b }: PunchedPair, duration: number, options: { readonly each?: () => void } = {}): Talk {
  const beganAt = mesh.clock.now();
  const received = [a.received.length, b.received.length];
  let [probes, sent, flaps] = [0, 0, 0];
  let directAfter: number | undefined;
  let wasDirect = false;
  mesh.network.onDatagram = (from, _, bytes) => {
    const isProbe = bytes[0] === PROBE || (bytes[0] === TO_RELAY && bytes[RELAY_HEADER_BYTES] === PROBE);
    if (isProbe && (from.ip === OUTSIDE.a || from.ip === OUTSIDE.b)) probes++;
  };
  while (mesh.clock.now() < beganAt + duration) {
    options.each?.();
    a.send(b);
    b.send(a);
    sent++;
    mesh.clock.advance(SEND_EVERY);
    const isDirect = pathOf(a, b).startsWith("direct") && pathOf(b, a).startsWith("direct");
    if (isDirect) directAfter ??= mesh.clock.now() - beganAt;
    if (wasDirect && !isDirect) flaps++;
    wasDirect = isDirect;
  }
  mesh.clock.advance(100);
  mesh.network.onDatagram = undefined;
  const lost = 2 * sent - (a.received.length - (received[0] ?? 0)) - (b.received.length - (received[1] ?? 0));
  return { directAfter, flaps, lost, probes };
}

export function pathOf(from: SimNode, to: SimNode): string {
  return from.status().peers.find(({ id }) => id === to.id)?.path ?? "no peer";
}
