import type { PingView } from "../api/views.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { CommandId } from "./node-event.ts";

/** A PING a person asked for is called unanswered after this long. */
export const PING_TIMEOUT: Millis = seconds(2);

/** PINGs waited for at once; a further one is answered "unanswered" at once. Bounds what API clients can pile up. */
const MAX_WAITING = 256;

/** People who wait for an answer of a peer. */
export class PingDesk {
  readonly #waiting = new Map<CommandId, { readonly node: NodeId; readonly dueAt: Millis }>();

  /** False when too many wait. */
  add(id: CommandId, node: NodeId, now: Millis): boolean {
    if (this.#waiting.size >= MAX_WAITING) return false;
    this.#waiting.set(id, { node, dueAt: now + PING_TIMEOUT });
    return true;
  }

  /** Who waited for this node. */
  takeAnswered(node: NodeId): readonly CommandId[] {
    return this.#take((waiting) => waiting.node === node).map(([id]) => id);
  }

  /** Whose time is over, and for which node. */
  takeOverdue(now: Millis): readonly (readonly [CommandId, NodeId])[] {
    return this.#take((waiting) => waiting.dueAt <= now);
  }

  wakeAt(): Millis | undefined {
    return earliest(...[...this.#waiting.values()].map(({ dueAt }) => dueAt));
  }

  #take(isWanted: (waiting: { readonly node: NodeId; readonly dueAt: Millis }) => boolean): readonly (readonly [CommandId, NodeId])[] {
    const taken = [...this.#waiting].filter(([, waiting]) => isWanted(waiting));
    for (const [id] of taken) this.#waiting.delete(id);
    return taken.map(([id, { node }]) => [id, node] as const);
  }
}

/** By which path a PING was answered; one of `endpoint` and `relay` is there. */
export interface PingAnswer {
  readonly path: string;
  readonly endpoint?: string;
  readonly relay?: string;
  readonly rtt: Millis;
}

/** What a ping command tells, from the pieces that know. */
export function pingView(parts: {
  readonly node: string;
  readonly address: string;
  /** The path as it is, for a PING that was not answered. */
  readonly path: string;
  readonly answer: PingAnswer | undefined;
  readonly session: boolean;
  readonly throughTunnel: boolean;
}): PingView {
  const { node, address, answer, session, throughTunnel } = parts;
  const base = { node, address, session, answered: answer !== undefined, ...(session && { throughTunnel }) };
  if (answer === undefined) return { ...base, path: parts.path };
  const { path, endpoint, relay, rtt } = answer;
  return { ...base, path, ...(endpoint !== undefined && { endpoint }), ...(relay !== undefined && { relay }), rttMs: rtt };
}
