import type { Endpoint } from "../address/endpoint.ts";
import { ipBytes16, ipFromBytes } from "../address/ip.ts";
import type { Decoded } from "../bytes/decoded.ts";
import { FieldReader } from "../bytes/fields.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { type NetworkId, networkId, networkIdBytes } from "../ids/network-id.ts";
import { type NodeId, nodeId, nodeKey } from "../ids/node-id.ts";
import { type Envelope, RECORD_KINDS, signRecord } from "./envelope.ts";

/** Where a node says it can be reached. Signed by the node itself; hostile input like everything else of a peer. */
export interface EndpointRecord {
  readonly network: NetworkId;
  readonly node: NodeId;
  /** Data plane, at the host's own addresses. */
  readonly udp: readonly Endpoint[];
  /** Data plane, as others see it: what a NAT makes of it, or a router maps to it. */
  readonly reflexive: readonly Endpoint[];
  /** Control plane. */
  readonly tcp: readonly Endpoint[];
  /** The node's goodbye: it was stopped on purpose, and nobody needs to look for it. Its next start says where it is again. */
  readonly isStopped: boolean;
  /** Others have reached it unasked: no NAT or firewall of its own stands before it. */
  readonly isReachable: boolean;
  /** It relays for members that it can reach. */
  readonly isRelay: boolean;
  /** Members that it keeps a way open to, and that can reach it at any time: its home relays. */
  readonly homes: readonly NodeId[];
  /** It takes datagrams and control streams over TLS WebSocket at this TCP port, at the addresses above; 0: it does not. */
  readonly tcpRelay: number;
}

/** Endpoints of one kind in one record: bounds whom a member can make others probe; hosts have a handful of addresses. */
export const MAX_ENDPOINTS = 16;

/** A NAT with several public addresses has a few. */
export const MAX_REFLEXIVE = 4;

/** Home relays of one node: the one in use and a standby. */
export const MAX_HOMES = 2;

/** What a node says of itself that is nowhere to be found. */
export const NOWHERE: Pick<EndpointRecord, "udp" | "reflexive" | "tcp" | "isReachable" | "isRelay" | "homes" | "tcpRelay"> = {
  udp: [],
  reflexive: [],
  tcp: [],
  isReachable: false,
  isRelay: false,
  homes: [],
  tcpRelay: 0,
};

export function signEndpointRecord(
  crypto: Crypto,
  node: SigningKey,
  record: Omit<EndpointRecord, "node"> & { readonly sequence: number },
): Uint8Array {
  return signRecord(crypto, node, {
    kind: RECORD_KINDS.endpoint,
    subject: new Uint8Array(),
    sequence: record.sequence,
    body: [
      networkIdBytes(record.network),
      record.udp.map(endpointFields),
      record.reflexive.map(endpointFields),
      record.tcp.map(endpointFields),
      record.isStopped,
      record.isReachable,
      record.isRelay,
      record.homes.map((home) => [nodeKey(home)]),
      // Left out by those that do not offer it: members that do not know the field read their records.
      ...(record.tcpRelay === 0 ? [] : [record.tcpRelay]),
    ],
  });
}

export function readEndpointRecord(envelope: Envelope): Decoded<EndpointRecord> {
  if (envelope.subject.length !== 0) return { ok: false, fault: "out-of-range" };
  const reader = new FieldReader(envelope.body);
  const network = networkId(reader.bytes(32));
  const udp = reader.list(MAX_ENDPOINTS, readEndpoint);
  const reflexive = reader.list(MAX_REFLEXIVE, readEndpoint);
  const tcp = reader.list(MAX_ENDPOINTS, readEndpoint);
  const [isStopped, isReachable, isRelay] = [reader.flag(), reader.flag(), reader.flag()];
  const homes = reader.list(MAX_HOMES, (home) => nodeId(home.bytes(32)));
  const tcpRelay = reader.isAtEnd ? 0 : reader.whole(1, 65_535);
  return reader.finish({ network, node: envelope.author, udp, reflexive, tcp, isStopped, isReachable, isRelay, homes, tcpRelay });
}

function endpointFields(endpoint: Endpoint): readonly [Uint8Array, number] {
  return [ipBytes16(endpoint.ip), endpoint.port];
}

function readEndpoint(reader: FieldReader): Endpoint {
  return { ip: ipFromBytes(reader.bytes(16)), port: reader.whole(1, 65_535) };
}
