import type { DatapathCounters, PeerTraffic } from "@mesh/core/ports";

/** What one engine did in one step, in a form that does not depend on when it did it. */
export interface StepTranscript {
  readonly step: string;
  /** By remote; sorted, because an engine may serve peers in any order. Every packet of a session has its own counter. */
  readonly datagrams: readonly (readonly string[])[];
  /** Sockets. */
  readonly opened: readonly number[];
  readonly delivered: readonly string[];
  readonly handedOver: readonly string[];
  readonly confirmed: readonly string[];
  /** Slots for which a session was wanted for the first time since they are in the table. */
  readonly wanted: readonly number[];
  readonly refused: string | undefined;
  readonly counters: DatapathCounters;
  readonly traffic: readonly TrafficTranscript[];
}

/** Instants as whether there is one. */
export type TrafficTranscript = { readonly [K in keyof PeerTraffic]: number | boolean };

export function transcribeTraffic(traffic: PeerTraffic): TrafficTranscript {
  const entries = Object.entries(traffic).map(([name, value]) => [name, name.endsWith("At") ? value > 0 : value]);
  return Object.fromEntries(entries) as TrafficTranscript;
}
