import assert from "node:assert/strict";
import { nodeCrypto } from "../../node-crypto.ts";
import type { Ip } from "../address/ip.ts";
import type { Way } from "../address/way.ts";
import type { AgreementKey, Crypto } from "../crypto/crypto.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { Millis } from "../time/millis.ts";
import type { SessionEffect, SessionKeys } from "./session-event.ts";
import { SessionTable } from "./session-table.ts";

/** Two tables that know each other under one slot, and what tests do with them. */
export interface TwoTables {
  readonly a: SessionTable;
  readonly b: SessionTable;
}

export const crypto: Crypto = nodeCrypto();
export const SLOT = 7;
export const FROM_A: Way = { endpoint: { ip: "192.0.2.1" as Ip, port: 1_001 } };
export const FROM_B: Way = { endpoint: { ip: "192.0.2.2" as Ip, port: 1_002 } };
export const KEY_A: AgreementKey = crypto.agreementKey(new Uint8Array(32).fill(0xa));
export const KEY_B: AgreementKey = crypto.agreementKey(new Uint8Array(32).fill(0xb));
export const WALL: Millis = 1_700_000_000_000;

export function tables(seed: number, options: { readonly presharedKey?: Uint8Array } = {}): TwoTables {
  const psk = options.presharedKey === undefined ? {} : { presharedKey: options.presharedKey };
  const a = new SessionTable({ crypto, random: new SeededRandom(seed), key: KEY_A });
  const b = new SessionTable({ crypto, random: new SeededRandom(seed + 1_000_000), key: KEY_B });
  for (const table of [a, b]) table.handle({ type: "wall-clock", offset: WALL }, 0);
  a.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_B.publicKey, ...psk }, 0);
  b.handle({ type: "peer-added", slot: SLOT, tunnelKey: KEY_A.publicKey, ...psk }, 0);
  return { a, b };
}

export function only<T extends SessionEffect["type"]>(effects: readonly SessionEffect[], type: T): Extract<SessionEffect, { type: T }> {
  const found = effects.filter((effect): effect is Extract<SessionEffect, { type: T }> => effect.type === type);
  const [first] = found;
  assert.ok(first !== undefined && found.length === 1, `one ${type} in ${types(effects)}`);
  return first;
}

export function types(effects: readonly SessionEffect[]): string {
  return effects.map((effect) => (effect.type === "dropped" ? `dropped ${effect.cause}` : effect.type)).join(", ");
}

export function initiate(table: SessionTable, now: Millis): Uint8Array {
  return only(table.handle({ type: "session-wanted", slot: SLOT }, now), "send-handshake").bytes;
}

export function toA(table: SessionTable, bytes: Uint8Array, now: Millis): readonly SessionEffect[] {
  return table.handle({ type: "message", from: FROM_B, bytes }, now);
}

export function toB(table: SessionTable, bytes: Uint8Array, now: Millis): readonly SessionEffect[] {
  return table.handle({ type: "message", from: FROM_A, bytes }, now);
}

export function establish(pair: TwoTables, now: Millis): { readonly ofA: SessionKeys; readonly ofB: SessionKeys } {
  const answered = toB(pair.b, initiate(pair.a, now), now);
  const finished = toA(pair.a, only(answered, "reply").bytes, now);
  const ofB = only(answered, "install-session").session;
  pair.b.handle({ type: "session-confirmed", slot: SLOT, localIndex: ofB.localIndex }, now);
  return { ofA: only(finished, "install-session").session, ofB };
}
