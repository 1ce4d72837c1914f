import type { Random } from "@mesh/core/node";
import { type Clock, type Endpoint, ipFamily, isUnicast, type Millis, seconds } from "@mesh/core/ports";
import type { Uplink } from "./uplinks.ts";

export type MappingProtocol = "pcp" | "nat-pmp" | "upnp";

/** What a router gave, checked. */
export interface Grant {
  readonly protocol: MappingProtocol;
  /** Packets to it come to the tunnel's UDP port. */
  readonly external: Endpoint;
  /** How long it is good. */
  readonly lifetime: Millis;
  /** Seconds since the router lost its mappings; UPnP does not tell. */
  readonly epoch?: number;
  /** Takes it back. Returns when the router has answered, or not; does not throw. */
  release(signal: AbortSignal): Promise<void>;
}

/** One question to one router. */
export interface MappingQuestion {
  readonly uplink: Uplink;
  /** The tunnel's UDP port. Also the external port that is wished for; never 0, which some routers take for all ports. */
  readonly internalPort: number;
  /** What was held before, to have it again. */
  readonly suggested: Endpoint | undefined;
  /** Names the mapping for PCP. */
  readonly nonce: Uint8Array; // 12 B
  readonly ports: GatewayPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: Faults;
  readonly signal: AbortSignal;
}

/** Where routers listen. */
export interface GatewayPorts {
  /** NAT-PMP and PCP. */
  readonly control: number;
  readonly search: number;
}

export const GATEWAY_PORTS: GatewayPorts = { control: 5351, search: 1900 };

/** What routers, and others in their name, did wrong. */
export type MappingFault =
  | "stranger" // not from the router that was asked
  | "flood" // more than anyone needs to say
  | "malformed" // no answer to what was asked
  | "refused" // an error, said properly
  | "lifetime" // none, or too short to be worth anything
  | "external" // an address or port that nobody could use
  | "permanent" // only for good, which is longer than anyone wants it
  | "unreachable" // a socket failed
  | "rebooted"; // it has lost its mappings

export class Faults {
  readonly #counts = new Map<MappingFault, number>();

  count(fault: MappingFault): void {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
  }

  view(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}

/** RFC 6886 section 3.3 recommends it: short enough that nothing of us stays for long, long enough to be cheap. */
export const LEASE: Millis = seconds(7_200);

/** A router that gives less would be asked all the time. */
const SHORTEST_LEASE: Millis = seconds(60);

/** A lease as it is counted on; undefined, and counted, when it is of no use. A longer one than asked for is believed no further than that. */
export function usableLifetime(given: number, faults: Faults): Millis | undefined {
  const lifetime = Math.min(LEASE, seconds(given));
  if (lifetime >= SHORTEST_LEASE) return lifetime;
  faults.count("lifetime");
  return undefined;
}

/** May others be told of it? Private addresses may: whoever is behind the same carrier's NAT reaches them. */
export function usableExternal({ ip, port }: Endpoint, { faults, uplink }: MappingQuestion): boolean {
  const isUsable = (port >= 1_024 || port === 443) && isUnicast(ip) && ipFamily(ip) === ipFamily(uplink.source);
  if (!isUsable) faults.count("external");
  return isUsable;
}
