import type { AddressPlan } from "../address/address-plan.ts";
import type { Endpoint } from "../address/endpoint.ts";
import type { AgreementKey, Crypto, Random } from "../crypto/crypto.ts";
import type { Millis } from "../time/millis.ts";
import type { Counters } from "./counters.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { Pong } from "./peer.ts";

/** What a node's peers need of the node around them. */
export interface PeersOptions {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly key: AgreementKey;
  readonly counters: Counters;
  readonly plan: AddressPlan;
  /** The last ceiling of handshake stamps that became durable, as wall time. */
  readonly stampFloor: Millis;
  /** Where this host can be found by its own addresses. */
  readonly ownEndpoints: () => readonly Endpoint[];
  /** Where routers let others in, by their word. */
  readonly mappedEndpoints: () => readonly Endpoint[];
  /** This node takes TLS WebSocket: the agent hands on what comes by it, from loopback addresses. */
  readonly takesTcp?: () => boolean;
  readonly onPong: (pong: Pong) => readonly NodeEffect[];
  /** Makes this ceiling of handshake stamps durable, then calls `Peers.stampsReserved`. */
  readonly onReserve: (until: Millis) => readonly NodeEffect[];
}
