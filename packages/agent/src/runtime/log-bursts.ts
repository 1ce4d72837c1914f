import { type Clock, type Millis, minutes } from "@mesh/core/ports";

/** Lines of one message that are written whole in one minute: enough to see who and why, few enough that a flood fills no disk. */
const WHOLE_LINES = 20;

/** From the first line of a burst until what was held back is counted. */
const WINDOW: Millis = minutes(1);

/** Messages that are counted at once. Ours are some fifty; beyond it a message is written as it comes. */
const MAX_MESSAGES = 512;

/** pino's number of the level info. What is below is written only when somebody asked for it, and is not counted. */
const INFO = 30;

/** Writes the line as it is; with fields, the same message with these instead of its own. */
type WriteLine = (fields?: object) => void;

interface Burst {
  readonly startedAt: Millis;
  count: number;
  /** Of the last line that was held back: same message, same level, same child logger. */
  writeLast: WriteLine;
  /** Set when something was held back. */
  cancel: (() => void) | undefined;
}

/**
 * Bursts of the same message: the first 20 in a minute are written, the others counted. When the minute is over, one line of the
 * message with the field `repeated` says how many more there were; while it goes on, only that line comes, once a minute.
 */
export class LogBursts {
  readonly #clock: Clock;
  readonly #bursts = new Map<string, Burst>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  pass(message: string, level: number, write: WriteLine): void {
    if (level < INFO) return write();
    const key = `${level} ${message}`;
    const burst = this.#current(key);
    if (burst === undefined) return write();
    burst.count++;
    if (burst.count <= WHOLE_LINES) return write();
    burst.writeLast = write;
    burst.cancel ??= this.#clock.at(burst.startedAt + WINDOW, () => this.#end(key, burst));
  }

  /** Counts what is held back now. */
  close(): void {
    for (const burst of this.#bursts.values()) {
      burst.cancel?.();
      tell(burst);
    }
    this.#bursts.clear();
  }

  /** The message's count of this minute; undefined when there are too many messages. */
  #current(key: string): Burst | undefined {
    const burst = this.#bursts.get(key);
    if (burst !== undefined && !this.#isOver(burst)) return burst;
    if (burst === undefined && this.#bursts.size >= MAX_MESSAGES) this.#forget();
    if (burst === undefined && this.#bursts.size >= MAX_MESSAGES) return undefined;
    return this.#begin(key, 0);
  }

  #begin(key: string, count: number): Burst {
    const burst = { startedAt: this.#clock.now(), count, writeLast: () => {}, cancel: undefined };
    this.#bursts.set(key, burst);
    return burst;
  }

  #end(key: string, burst: Burst): void {
    tell(burst);
    this.#begin(key, WHOLE_LINES);
  }

  #forget(): void {
    for (const [key, burst] of this.#bursts) if (this.#isOver(burst)) this.#bursts.delete(key);
  }

  /** One with held lines ends by its timer. */
  #isOver({ startedAt, cancel }: Burst): boolean {
    return cancel === undefined && this.#clock.now() - startedAt >= WINDOW;
  }
}

function tell({ count, writeLast }: Burst): void {
  if (count > WHOLE_LINES) writeLast({ repeated: count - WHOLE_LINES });
}
