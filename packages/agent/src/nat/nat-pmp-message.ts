import { type Ip, ipBytes, ipFromBytes } from "@mesh/core/ports";

//  request:  | ver 0 | op 0 |                                        the outside address
//            | ver 0 | op 1 | reserved 2 | internal u16 | external u16 | lifetime u32 |
//  response: | ver 0 | op 128 | result u16 | epoch u32 | ip 4 |
//            | ver 0 | op 129 | result u16 | epoch u32 | internal u16 | external u16 | lifetime u32 |
// RFC 6886 section 3; big-endian. A response that is no success may end after the epoch.
const RESPONSE = 0x80;
const HEADER_BYTES = 8;
const ADDRESS_BYTES = 12;
const MAP_BYTES = 16;

export const NAT_PMP_SUCCESS = 0;

export type NatPmpRequest =
  | { readonly type: "address" }
  /** For UDP. Lifetime in seconds; 0 deletes, and its external port must be 0. */
  | { readonly type: "map"; readonly internalPort: number; readonly externalPort: number; readonly lifetime: number };

export type NatPmpResponse =
  | { readonly type: "refused"; readonly to: NatPmpRequest["type"]; readonly result: number; readonly epoch: number }
  | { readonly type: "address"; readonly epoch: number; readonly ip: Ip }
  | {
      readonly type: "map";
      /** Seconds since the router lost its mappings. */
      readonly epoch: number;
      readonly internalPort: number;
      readonly externalPort: number;
      /** Seconds. */
      readonly lifetime: number;
    };

export function encodeNatPmpRequest(request: NatPmpRequest): Uint8Array {
  if (request.type === "address") return Uint8Array.of(0, 0);
  const bytes = Buffer.alloc(12);
  bytes[1] = 1;
  bytes.writeUInt16BE(request.internalPort, 4);
  bytes.writeUInt16BE(request.externalPort, 6);
  bytes.writeUInt32BE(request.lifetime, 8);
  return bytes;
}

/** undefined for anything else. */
export function decodeNatPmpResponse(bytes: Uint8Array): NatPmpResponse | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [version, op] = view;
  if (view.length < HEADER_BYTES || version !== 0 || (op !== RESPONSE && op !== (RESPONSE | 1))) return undefined;
  const isMap = op !== RESPONSE;
  const result = view.readUInt16BE(2);
  const epoch = view.readUInt32BE(4);
  if (view.length > (isMap ? MAP_BYTES : ADDRESS_BYTES)) return undefined;
  if (result !== NAT_PMP_SUCCESS) return { type: "refused", to: isMap ? "map" : "address", result, epoch };
  if (view.length !== (isMap ? MAP_BYTES : ADDRESS_BYTES)) return undefined;
  if (!isMap) return { type: "address", epoch, ip: ipFromBytes(view.subarray(8, 12)) };
  return { type: "map", epoch, internalPort: view.readUInt16BE(8), externalPort: view.readUInt16BE(10), lifetime: view.readUInt32BE(12) };
}

/** For tests: what a router would say. */
export function encodeNatPmpResponse(response: NatPmpResponse): Uint8Array {
  const isMap = response.type === "map" || (response.type === "refused" && response.to === "map");
  const bytes = Buffer.alloc(response.type === "refused" ? HEADER_BYTES : isMap ? MAP_BYTES : ADDRESS_BYTES);
  bytes[1] = RESPONSE | (isMap ? 1 : 0);
  bytes.writeUInt16BE(response.type === "refused" ? response.result : NAT_PMP_SUCCESS, 2);
  bytes.writeUInt32BE(response.epoch, 4);
  if (response.type === "address") bytes.set(ipBytes(response.ip), 8);
  if (response.type === "map") {
    bytes.writeUInt16BE(response.internalPort, 8);
    bytes.writeUInt16BE(response.externalPort, 10);
    bytes.writeUInt32BE(response.lifetime, 12);
  }
  return bytes;
}
