import type { Millis } from "../time/millis.ts";
import { REJECT_AFTER_TIME } from "./constants.ts";

/** One session as far as its life is concerned; the keys are with the engine. */
export interface Session {
  readonly localIndex: number;
  readonly role: "initiator" | "responder";
  readonly createdAt: Millis;
}

/**
 * The sessions of one peer, at most three. `current` seals; all three open. A responder's session is `next` until the
 * initiator used it, because until then nobody knows that the initiator has the keys.
 *
 *             next   current   previous
 *  initiated  —      new       next, or where there is none current
 *  responded  new    stays     —
 *  confirmed  —      next      current
 *
 * What has no place any more is dropped. The table is WireGuard's (whitepaper, sections 5.4.4 and 6.3; wireguard-go's
 * BeginSymmetricSession), and the engines keep the same one (engine/engine-peer.ts, native engine.cc).
 */
export interface SessionRotation {
  readonly next?: Session;
  readonly current?: Session;
  readonly previous?: Session;
}

export interface Rotated {
  readonly rotation: SessionRotation;
  readonly dropped: readonly Session[];
}

export function rotateInitiated(rotation: SessionRotation, session: Session): Rotated {
  return rotated(rotation, { next: undefined, current: session, previous: rotation.next ?? rotation.current });
}

export function rotateResponded(rotation: SessionRotation, session: Session): Rotated {
  return rotated(rotation, { next: session, current: rotation.current, previous: undefined });
}

/** undefined when it is not `next` that was confirmed: a session confirms itself once. */
export function rotateConfirmed(rotation: SessionRotation, localIndex: number): Rotated | undefined {
  if (rotation.next?.localIndex !== localIndex) return undefined;
  return rotated(rotation, { next: undefined, current: rotation.next, previous: rotation.current });
}

/** Drops what is past REJECT_AFTER_TIME. */
export function rotateExpired(rotation: SessionRotation, now: Millis): Rotated {
  const alive = (session: Session | undefined): Session | undefined =>
    session === undefined || now >= expiresAt(session) ? undefined : session;
  return rotated(rotation, { next: alive(rotation.next), current: alive(rotation.current), previous: alive(rotation.previous) });
}

export function expiresAt(session: Session): Millis {
  return session.createdAt + REJECT_AFTER_TIME;
}

export function sessionsOf(rotation: SessionRotation): readonly Session[] {
  return [rotation.next, rotation.current, rotation.previous].filter((session) => session !== undefined);
}

type Slots = { readonly [slot in keyof SessionRotation]: Session | undefined };

function rotated(before: SessionRotation, { next, current, previous }: Slots): Rotated {
  const rotation: SessionRotation = { ...(next && { next }), ...(current && { current }), ...(previous && { previous }) };
  const kept = sessionsOf(rotation);
  return { rotation, dropped: sessionsOf(before).filter((session) => !kept.includes(session)) };
}
