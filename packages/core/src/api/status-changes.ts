import type { EventView } from "./events.ts";
import type { HealthView, PeerView, StatusView } from "./views.ts";

/**
 * What is different in `after`, as one event each, in the order: this node, peers that are gone, new peers and changed ones in
 * the order of the status, health. `at`: wall milliseconds that the events are stamped with. Nothing for what moves all the
 * time, see EventView: two status of a quiet mesh differ in no event.
 */
export function statusChanges(before: StatusView, after: StatusView, at: number): readonly EventView[] {
  const stamp = { version: 1, at } as const;
  const events: EventView[] = [];
  if (differ({ ...before.self, startedAt: 0 }, { ...after.self, startedAt: 0 })) events.push({ ...stamp, type: "self", self: after.self });
  if (differ(before.tunnel, after.tunnel)) events.push({ ...stamp, type: "tunnel", tunnel: after.tunnel });
  if (differ(before.control, after.control)) events.push({ ...stamp, type: "control", control: after.control });
  const known = new Map(before.peers.map((peer) => [peer.id, peer]));
  const present = new Set(after.peers.map(({ id }) => id));
  for (const { id, name } of before.peers) if (!present.has(id)) events.push({ ...stamp, type: "peer-gone", name, id });
  for (const peer of after.peers) {
    const old = known.get(peer.id);
    if (old === undefined) events.push({ ...stamp, type: "peer-added", peer });
    else events.push(...peerChanges(old, peer, stamp));
  }
  for (const health of missing(before.health, after.health)) events.push({ ...stamp, type: "health-cleared", health });
  for (const health of missing(after.health, before.health)) events.push({ ...stamp, type: "health-added", health });
  return events;
}

function peerChanges(old: PeerView, peer: PeerView, stamp: { readonly version: 1; readonly at: number }): readonly EventView[] {
  const { name, id } = peer;
  const events: EventView[] = [];
  if (LASTING.some((key) => old[key] !== peer[key])) events.push({ ...stamp, type: "peer-changed", peer });
  if (old.state !== peer.state) events.push({ ...stamp, type: "peer-state", name, id, from: old.state, to: peer.state });
  if (withoutAges(old.path) !== withoutAges(peer.path) || old.endpoint !== peer.endpoint) {
    const endpoint = peer.endpoint === undefined ? {} : { endpoint: peer.endpoint };
    events.push({ ...stamp, type: "peer-path", name, id, from: old.path, to: peer.path, ...endpoint });
  }
  if (isOtherInstant(old.sessionAt, peer.sessionAt)) {
    events.push({ ...stamp, type: "peer-session", name, id, ...(peer.sessionAt === undefined ? {} : { sessionAt: peer.sessionAt }) });
  }
  if (old.linked !== peer.linked) events.push({ ...stamp, type: "peer-link", name, id, linked: peer.linked });
  return events;
}

/**
 * Milliseconds. Instants are kept by the boot clock and shown by the wall clock, which is slewed all the time; two sessions of
 * one peer are further apart than that (WireGuard's REKEY_TIMEOUT).
 */
const SAME_INSTANT = 5_000;

function isOtherInstant(old: number | undefined, at: number | undefined): boolean {
  if (old === undefined || at === undefined) return old !== at;
  return Math.abs(at - old) >= SAME_INSTANT;
}

/** What of a peer stands in its records, and changes when they do. */
const LASTING = ["name", "number", "role", "address4", "address6", "subnet4", "subnet6", "conflict"] as const;

/** Those of `some` that are not among `others`, ages apart. */
function missing(some: readonly HealthView[], others: readonly HealthView[]): readonly HealthView[] {
  const keys = new Set(others.map(healthKey));
  return some.filter((health) => !keys.has(healthKey(health)));
}

function healthKey({ level, text, hint }: HealthView): string {
  return JSON.stringify([level, withoutAges(text), hint]);
}

/** Texts for people tell ages as `4 s`, `12 m`, `3 h`, `2 d` (node/peer-state.ts); a text that only aged is the same text. */
function withoutAges(text: string): string {
  return text.replace(/\b\d+ (?:ms|s|m|h|d)\b/g, "an age");
}

/** By value: both are plain data, made by the same code in the same order of keys. */
function differ(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) !== JSON.stringify(other);
}
