import { type Endpoint, formatEndpoint, parseEndpoint } from "../address/endpoint.ts";
import { type Ip, parseIp } from "../address/ip.ts";
import { SeededRandom } from "./seeded-random.ts";
import { SequenceDiagram } from "./sequence-diagram.ts";
import { SimClock } from "./sim-clock.ts";
import type { NatBehaviour } from "./sim-nat.ts";
import { type LinkQuality, SimNetwork } from "./sim-network.ts";
import type { SimSite } from "./sim-site.ts";

/** One way; nothing is lost, and nothing overtakes. */
export const LATENCY = 10;
const EXACT: LinkQuality = { latency: LATENCY, jitter: 0, loss: 0, duplication: 0 };
/** More than a datagram takes. */
export const ARRIVED = LATENCY + 1;

export interface Lab {
  readonly clock: SimClock;
  readonly network: SimNetwork;
  /** A socket, with what came in by it. */
  socket(name: string, endpoint: string, site?: SimSite): LabSocket;
}

export interface LabSocket {
  readonly endpoint: Endpoint;
  /** Where the datagrams seem to come from, in order. */
  readonly inbox: string[];
  send(to: string, options?: { readonly ttl?: number }): void;
}

export function openLab(seed = 1, quality: LinkQuality = EXACT): Lab {
  const clock = new SimClock();
  const network = new SimNetwork({ clock, random: new SeededRandom(seed), diagram: new SequenceDiagram(), quality });
  const socket = (name: string, text: string, site?: SimSite): LabSocket => {
    const endpoint = endpointOf(text);
    const inbox: string[] = [];
    network.bind(name, endpoint, (from) => inbox.push(formatEndpoint(from)), { site });
    return { endpoint, inbox, send: (to, options = {}) => network.send(endpoint, endpointOf(to), Uint8Array.of(1), { ...options, site }) };
  };
  return { clock, network, socket };
}

/** Two addresses with two ports each, as RFC 5780 asks of a server. */
export interface ProbeServer {
  readonly sockets: Readonly<Record<"a1" | "a2" | "b1" | "b2", LabSocket>>;
}

export function openServer(lab: Lab): ProbeServer {
  const at = (endpoint: string): LabSocket => lab.socket("server", endpoint);
  return { sockets: { a1: at("203.0.113.1:3478"), a2: at("203.0.113.1:3479"), b1: at("203.0.113.2:3478"), b2: at("203.0.113.2:3479") } };
}

/** As which endpoint the server's socket sees what the client sends; undefined: it does not arrive. */
export function reflexive(lab: Lab, client: LabSocket, server: LabSocket): string | undefined {
  const before = server.inbox.length;
  client.send(formatEndpoint(server.endpoint));
  lab.clock.advance(ARRIVED);
  return server.inbox.length > before ? server.inbox.at(-1) : undefined;
}

/** Does what the server's socket sends there come in at the client? */
export function arrives(lab: Lab, server: LabSocket, to: { readonly external: string; readonly client: LabSocket }): boolean {
  const before = to.client.inbox.length;
  server.send(to.external);
  lab.clock.advance(ARRIVED);
  return to.client.inbox.length > before;
}

/** RFC 5780, section 4.3: from one socket to the first address, then the other address, then the other port there. */
export function mappingOf(lab: Lab, client: LabSocket, { sockets }: ProbeServer): NatBehaviour | "none" {
  const [first, second, third] = [sockets.a1, sockets.b1, sockets.b2].map((server) => reflexive(lab, client, server));
  if (first === formatEndpoint(client.endpoint)) return "none";
  if (first === second) return "endpoint-independent";
  return second === third ? "address-dependent" : "address-and-port-dependent";
}

/** RFC 5780, section 4.4, from a socket that has sent nothing yet: answers from the other address and port, then from the other port. */
export function filteringOf(lab: Lab, client: LabSocket, { sockets }: ProbeServer): NatBehaviour {
  const external = reflexive(lab, client, sockets.a1);
  if (external === undefined) throw new TypeError("no UDP");
  if (arrives(lab, sockets.b2, { external, client })) return "endpoint-independent";
  return arrives(lab, sockets.a2, { external, client }) ? "address-dependent" : "address-and-port-dependent";
}

export function endpointOf(text: string): Endpoint {
  const endpoint = parseEndpoint(text);
  if (endpoint === undefined) throw new TypeError(`no endpoint: ${text}`);
  return endpoint;
}

export function ipOf(text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new TypeError(`no address: ${text}`);
  return ip;
}

export function portOf(text: string | undefined): number {
  return endpointOf(text ?? "").port;
}
