import { type Ip, ipBytes, ipFromBytes } from "./ip.ts";
import { makePrefix, type Prefix, prefixContains } from "./prefix.ts";

/**
 * What a node number means in one network. In a mesh 10.77.0.0/16 with /24 nodes, number 2 is 10.77.2.0/24 and
 * fdxx:xxxx:xxxx:2::/64; the node itself is 10.77.2.1 and ::1 there, containers get the rest. Number 0 is never given.
 */
export interface AddressPlan {
  readonly prefix4: Prefix;
  /** Length of one node's IPv4 prefix. */
  readonly nodeLength: number;
  /** fd00::/8 and the first 40 bits of the network id (RFC 4193): a /48. */
  readonly prefix6: Prefix;
  /** Highest number there is. */
  readonly maxNumber: number;
}

/** A node's IPv6 subnet is always a /64 of the /48, so 16 bits of number at most. */
const MAX_NODE_BITS = 16;

/** Smallest subnet that still leaves addresses for containers beside the node's own. */
export const MAX_NODE_LENGTH = 30;

export function addressPlan(prefix4: Prefix, nodeLength: number, networkIdBytes: Uint8Array): AddressPlan {
  const ula = new Uint8Array(16);
  ula[0] = 0xfd;
  ula.set(networkIdBytes.subarray(0, 5), 1);
  return { prefix4, nodeLength, prefix6: makePrefix(ipFromBytes(ula), 48), maxNumber: 2 ** (nodeLength - prefix4.length) - 1 };
}

/** Whether a network can have these lengths: at least three nodes, at most 65,535. */
export function isNodeLength(prefixLength: number, nodeLength: number): boolean {
  const bits = nodeLength - prefixLength;
  return prefixLength >= 8 && nodeLength <= MAX_NODE_LENGTH && bits >= 2 && bits <= MAX_NODE_BITS;
}

export function subnet4(plan: AddressPlan, number: number): Prefix {
  const base = new DataView(ipBytes(plan.prefix4.ip).buffer);
  base.setUint32(0, base.getUint32(0) + number * 2 ** (32 - plan.nodeLength));
  return { ip: ipFromBytes(new Uint8Array(base.buffer)), length: plan.nodeLength };
}

export function subnet6(plan: AddressPlan, number: number): Prefix {
  const base = ipBytes(plan.prefix6.ip);
  base[6] = number >> 8;
  base[7] = number & 255;
  return { ip: ipFromBytes(base), length: 64 };
}

/** The node's own IPv4 address. */
export function address4(plan: AddressPlan, number: number): Ip {
  return firstAddress(subnet4(plan, number));
}

export function address6(plan: AddressPlan, number: number): Ip {
  return firstAddress(subnet6(plan, number));
}

/** Is the address inside the mesh? Such addresses are never used to reach a node from outside. */
export function isMeshAddress(plan: AddressPlan, ip: Ip): boolean {
  return prefixContains(plan.prefix4, ip) || prefixContains(plan.prefix6, ip);
}

function firstAddress(prefix: Prefix): Ip {
  const bytes = ipBytes(prefix.ip);
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) | 1; // a subnet may begin in the middle of the last byte
  return ipFromBytes(bytes);
}
