import { addressPlan, isNodeLength } from "../address/address-plan.ts";
import { ipFromBytes } from "../address/ip.ts";
import { formatPrefix, makePrefix, type Prefix, parsePrefix, prefixesOverlap } from "../address/prefix.ts";
import type { Crypto, Random, SigningKey } from "../crypto/crypto.ts";
import { randomBelow } from "../crypto/random.ts";
import { MeshError } from "../errors.ts";
import { networkId, networkIdBytes } from "../ids/network-id.ts";
import { nodeId } from "../ids/node-id.ts";
import { EMPTY_LEDGER, GRANT_BLOCK_SIZE } from "../membership/ledger.ts";
import type { HostView } from "../ports/host-network.ts";
import { signCertificate, signConsent } from "../records/certificate.ts";
import { signNetworkStatement } from "../records/network-statement.ts";
import type { Millis } from "../time/millis.ts";
import type { NodeSnapshot } from "./snapshot.ts";

/** Where default prefixes are taken from: private, rarely used whole, and clear of 100.64.0.0/10, which Tailscale drops. */
const DEFAULT_RANGE = { first: 64, count: 64 }; // 10.64.0.0/10
const DEFAULT_NODE_LENGTH = 24;

export interface FoundOptions {
  readonly crypto: Crypto;
  /** Key of this first node, and of the network's root, which this node will hold. */
  readonly key: SigningKey;
  readonly root: SigningKey;
  readonly name: string;
  readonly nodeName: string;
  readonly prefix4: Prefix;
  readonly nodeLength: number;
  readonly wallNow: Millis;
}

/** Makes a network whose first member and admin is this node, number 1. */
export function foundNetwork(options: FoundOptions): Omit<NodeSnapshot, "udpPort" | "tcpPort"> {
  const { crypto, key, root, name, nodeName, prefix4, nodeLength, wallNow } = options;
  const statement = signNetworkStatement(crypto, root, { name, prefix4, nodeLength });
  const network = networkId(crypto.sha256(statement));
  const { maxNumber } = addressPlan(prefix4, nodeLength, networkIdBytes(network));
  const certificate = signCertificate(crypto, root, {
    network,
    subject: nodeId(key.publicKey),
    serial: Math.floor(wallNow),
    role: "admin",
    name: nodeName,
    number: 1,
    generation: 0,
    assignedWallAt: Math.floor(wallNow),
    grant: [{ first: 1, count: Math.min(GRANT_BLOCK_SIZE, maxNumber) }],
    consent: signConsent(crypto, key, network),
    issuerCertificate: new Uint8Array(),
  });
  return { statement, certificate, sequence: 0, ledger: EMPTY_LEDGER };
}

/** The prefix a person asked for, checked against the host; throws a MeshError that says what is wrong with it. */
export function chosenPrefix(
  cidr: string,
  nodeBits: number | undefined,
  host: HostView,
): { readonly prefix4: Prefix; readonly nodeLength: number } {
  const prefix4 = parsePrefix(cidr);
  const nodeLength = nodeBits ?? DEFAULT_NODE_LENGTH;
  if (prefix4 === undefined || prefix4.ip.includes(":")) {
    throw new MeshError(
      "config/invalid",
      `--cidr ${cidr} is not an IPv4 prefix.`,
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
  const taken = overlap(prefix4, host);
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
  return { prefix4, nodeLength };
}

/** A random free /16 of 10.64.0.0/10. */
export function freePrefix(random: Random, host: HostView): { readonly prefix4: Prefix; readonly nodeLength: number } {
  const start = randomBelow(random, DEFAULT_RANGE.count);
  for (let i = 0; i < DEFAULT_RANGE.count; i++) {
    const second = DEFAULT_RANGE.first + ((start + i) % DEFAULT_RANGE.count);
    const prefix4 = makePrefix(ipFromBytes(Uint8Array.of(10, second, 0, 0)), 16);
    if (overlap(prefix4, host) === undefined) return { prefix4, nodeLength: DEFAULT_NODE_LENGTH };
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

/** The route or address of the host that the prefix collides with, for people. Default routes collide with nothing. */
export function overlap(prefix: Prefix, host: HostView): string | undefined {
  const route = host.routes.find((candidate) => candidate.prefix.length > 0 && prefixesOverlap(candidate.prefix, prefix));
  if (route !== undefined) return `route ${formatPrefix(route.prefix)} dev ${route.device}`;
  const address = host.addresses.find((candidate) => prefixesOverlap(makePrefix(candidate.ip, candidate.prefixLength), prefix));
  return address === undefined ? undefined : `address ${address.ip}/${address.prefixLength} dev ${address.device}`;
}
