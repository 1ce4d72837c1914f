import { isNodeLength } from "../address/address-plan.ts";
import { type Ip, ipBytes, ipFromBytes, isPrivate, isUnicast } from "../address/ip.ts";
import { formatPrefix, makePrefix, type Prefix, parsePrefix, prefixesOverlap } from "../address/prefix.ts";
import type { Random } from "../crypto/crypto.ts";
import { randomBelow } from "../crypto/random.ts";
import { MeshError } from "../errors.ts";
import type { HostView } from "../ports/host-network.ts";

/** Where default prefixes are taken from: private, rarely used whole, and clear of 100.64.0.0/10, which Tailscale drops. */
const DEFAULT_RANGE = { first: 64, count: 64 }; // 10.64.0.0/10
const DEFAULT_NODE_LENGTH = 24;

/** The prefix a person asked for, checked against the host; throws a MeshError that says what is wrong with it. */
export function chosenPrefix(
  cidr: string,
  nodeBits: number | undefined,
  host: HostView,
): { readonly prefix4: Prefix; readonly nodeLength: number } {
  const prefix4 = parsePrefix(cidr);
  const nodeLength = nodeBits ?? DEFAULT_NODE_LENGTH;
  if (prefix4 === undefined || prefix4.ip.includes(":") || !isUnicast(prefix4.ip)) {
    throw new MeshError(
      "config/invalid",
      `--cidr ${cidr} is not an IPv4 prefix for hosts.`,
      { key: "cidr", reason: "not a prefix" },
      {
        hint: "Write it like 10.77.0.0/16, with zeros after the prefix.",
      },
    );
  }
  if (!isNodeLength(prefix4.length, nodeLength)) {
    throw new MeshError(
      "config/invalid",
      `A /${prefix4.length} cannot be cut into /${nodeLength} subnets for nodes.`,
      { key: "nodeBits", reason: "out of range" },
      {
        hint: "The node prefix must be 2 to 16 bits longer than the mesh prefix, and at most /30: for example --cidr 10.77.0.0/16 --node-bits 24.",
      },
    );
  }
  const taken = hostCollision(prefix4, host);
  if (taken !== undefined) {
    throw new MeshError(
      "host/prefix-taken",
      `${cidr} collides with ${taken} of this host.`,
      { prefix: cidr, by: taken },
      {
        hint: "Choose another prefix with --cidr, or leave it out and a free one is found.",
      },
    );
  }
  if (![prefix4.ip, lastOf(prefix4)].every(isPrivate)) {
    throw new MeshError(
      "config/invalid",
      `${cidr} holds public addresses: no host of this mesh would reach their owners any more.`,
      { key: "cidr", reason: "public" },
      {
        hint: "Choose a prefix within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10.",
      },
    );
  }
  return { prefix4, nodeLength };
}

function lastOf({ ip, length }: Prefix): Ip {
  return ipFromBytes(ipBytes(ip).map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, length - 8 * i)))));
}

/** A random free /16 of 10.64.0.0/10. */
export function freePrefix(random: Random, host: HostView): { readonly prefix4: Prefix; readonly nodeLength: number } {
  const start = randomBelow(random, DEFAULT_RANGE.count);
  for (let i = 0; i < DEFAULT_RANGE.count; i++) {
    const second = DEFAULT_RANGE.first + ((start + i) % DEFAULT_RANGE.count);
    const prefix4 = makePrefix(ipFromBytes(Uint8Array.of(10, second, 0, 0)), 16);
    if (hostCollision(prefix4, host) === undefined) return { prefix4, nodeLength: DEFAULT_NODE_LENGTH };
  }
  throw new MeshError(
    "host/prefix-taken",
    "Every /16 of 10.64.0.0/10 collides with a route of this host.",
    { prefix: "10.64.0.0/10", by: "routes" },
    {
      hint: "Choose a free prefix with --cidr.",
    },
  );
}

/** Routes this short are someone's way to everywhere (VPNs cut the default route into halves and quarters): they collide with nothing. */
const LONGEST_DEFAULT = 4;

/** The route or address of the host that the prefix collides with, for people. */
export function hostCollision(prefix: Prefix, host: HostView): string | undefined {
  const route = host.routes.find((candidate) => candidate.prefix.length > LONGEST_DEFAULT && prefixesOverlap(candidate.prefix, prefix));
  if (route !== undefined) return `route ${formatPrefix(route.prefix)} dev ${route.device}`;
  const address = host.addresses.find((candidate) => prefixesOverlap(makePrefix(candidate.ip, candidate.prefixLength), prefix));
  return address === undefined ? undefined : `address ${address.ip}/${address.prefixLength} dev ${address.device}`;
}
