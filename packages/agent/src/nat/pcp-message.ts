import { type Endpoint, type Ip, ipBytes16, ipFromBytes } from "@mesh/core/ports";

//  request:  | ver 2 | op 1   | reserved 2       | lifetime u32 | client ip 16              | map 36 |
//  response: | ver 2 | op 129 | res. 1 | result 1 | lifetime u32 | epoch u32 | reserved 12   | map 36 | options |
//  map:      | nonce 12 | protocol 1 | reserved 3 | internal port u16 | external port u16 | external ip 16 |
// RFC 6887 sections 7.1, 7.2 and 11.1; big-endian, IPv4 as ::ffff:a.b.c.d. Reserved bytes are written as zero and not read.
const VERSION = 2;
const MAP = 1;
const RESPONSE = 0x80;
const UDP = 17;
const HEADER_BYTES = 24;
const MAP_BYTES = HEADER_BYTES + 36;
/** RFC 6887 section 7. */
const MAX_BYTES = 1_100;

export const PCP_NONCE_BYTES = 12;
export const PCP_SUCCESS = 0;

export interface PcpRequest {
  /** Seconds; 0 deletes. */
  readonly lifetime: number;
  /** What it is sent from, and what the mapping leads to. */
  readonly client: Ip;
  /** Names the mapping: only who knows it can renew or delete it. */
  readonly nonce: Uint8Array; // 12 B
  readonly internalPort: number;
  /** Absent: any. */
  readonly suggested?: Endpoint;
}

export interface PcpResponse {
  /** 0 is success; otherwise RFC 6887 section 7.4. */
  readonly result: number;
  /** Seconds; of an error, for how long it is pointless to ask again. */
  readonly lifetime: number;
  /** Seconds since the router lost its mappings. */
  readonly epoch: number;
  readonly nonce: Uint8Array; // 12 B
  readonly internalPort: number;
  readonly external: Endpoint;
}

/** A MAP request for UDP. */
export function encodePcpRequest({ lifetime, client, nonce, internalPort, suggested }: PcpRequest): Uint8Array {
  const bytes = Buffer.alloc(MAP_BYTES);
  bytes.set([VERSION, MAP]);
  bytes.writeUInt32BE(lifetime, 4);
  bytes.set(ipBytes16(client), 8);
  bytes.set(nonce, HEADER_BYTES);
  bytes[HEADER_BYTES + 12] = UDP;
  bytes.writeUInt16BE(internalPort, HEADER_BYTES + 16);
  bytes.writeUInt16BE(suggested?.port ?? 0, HEADER_BYTES + 18);
  // "Any" of IPv4 is ::ffff:0.0.0.0, and tells the router which family is meant.
  bytes.set(ipBytes16(suggested?.ip ?? anyOf(client)), HEADER_BYTES + 20);
  return bytes;
}

/**
 * What is no answer to a MAP request for UDP is undefined; `unsupported` is a router's that knows only NAT-PMP, or another
 * version (RFC 6886 section 3.5, RFC 6887 section 9).
 */
export function decodePcpResponse(bytes: Uint8Array): PcpResponse | "unsupported" | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [version, op = 0] = view;
  if (view.length < 8 || view.length > MAX_BYTES || op < RESPONSE) return undefined;
  if (version !== VERSION) return "unsupported";
  if (view.length < MAP_BYTES || view.length % 4 !== 0 || op !== (RESPONSE | MAP)) return undefined;
  if (view[HEADER_BYTES + 12] !== UDP) return undefined;
  return {
    result: view.readUInt8(3),
    lifetime: view.readUInt32BE(4),
    epoch: view.readUInt32BE(8),
    nonce: new Uint8Array(view.subarray(HEADER_BYTES, HEADER_BYTES + PCP_NONCE_BYTES)),
    internalPort: view.readUInt16BE(HEADER_BYTES + 16),
    external: { port: view.readUInt16BE(HEADER_BYTES + 18), ip: ipFromBytes(view.subarray(HEADER_BYTES + 20, MAP_BYTES)) },
  };
}

/** For tests: what a router would say. */
export function encodePcpResponse({ result, lifetime, epoch, nonce, internalPort, external }: PcpResponse): Uint8Array {
  const bytes = Buffer.alloc(MAP_BYTES);
  bytes.set([VERSION, RESPONSE | MAP, 0, result]);
  bytes.writeUInt32BE(lifetime, 4);
  bytes.writeUInt32BE(epoch, 8);
  bytes.set(nonce, HEADER_BYTES);
  bytes[HEADER_BYTES + 12] = UDP;
  bytes.writeUInt16BE(internalPort, HEADER_BYTES + 16);
  bytes.writeUInt16BE(external.port, HEADER_BYTES + 18);
  bytes.set(ipBytes16(external.ip), HEADER_BYTES + 20);
  return bytes;
}

function anyOf(client: Ip): Ip {
  return (client.includes(":") ? "::" : "0.0.0.0") as Ip;
}
