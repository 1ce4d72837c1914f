import type { Millis } from "./millis.ts";

/** Time as the shell sees it. Only agent/runtime and core/testing implement it. */
export interface Clock {
  /** Boot-time milliseconds: never steps back, goes on during sleep. */
  now(): Millis;
  /** Milliseconds since 1970, as the host believes. May step both ways. */
  wallNow(): Millis;
  /** Calls `fn` once, at `dueAt` or later. Returns a function that cancels. */
  at(dueAt: Millis, fn: () => void): () => void;
}
