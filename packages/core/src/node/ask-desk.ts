import type { NodeId } from "../ids/node-id.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { CommandId } from "./node-event.ts";

/** Who has not answered by then is shown as silent. */
export const ASK_TIMEOUT: Millis = seconds(1);

/** Commands waited for at once; a further one asks nobody. Bounds what API clients can make us send. */
const MAX_WAITING = 8;

/** Commands that wait until several members have answered one PING each. */
export class AskDesk {
  readonly #waiting = new Map<CommandId, { readonly nodes: Set<NodeId>; readonly dueAt: Millis }>();

  get isFull(): boolean {
    return this.#waiting.size >= MAX_WAITING;
  }

  add(id: CommandId, nodes: readonly NodeId[], now: Millis): void {
    this.#waiting.set(id, { nodes: new Set(nodes), dueAt: now + ASK_TIMEOUT });
  }

  /** Whom nobody else has to answer now. */
  takeAnswered(node: NodeId): readonly CommandId[] {
    for (const { nodes } of this.#waiting.values()) nodes.delete(node);
    return this.#take(({ nodes }) => nodes.size === 0);
  }

  /** Whose time is over. */
  takeOverdue(now: Millis): readonly CommandId[] {
    return this.#take(({ dueAt }) => dueAt <= now);
  }

  wakeAt(): Millis | undefined {
    return earliest(...[...this.#waiting.values()].map(({ dueAt }) => dueAt));
  }

  #take(isDone: (waiting: { readonly nodes: ReadonlySet<NodeId>; readonly dueAt: Millis }) => boolean): readonly CommandId[] {
    const done = [...this.#waiting].filter(([, waiting]) => isDone(waiting)).map(([id]) => id);
    for (const id of done) this.#waiting.delete(id);
    return done;
  }
}
