import { type Clock, type Millis, seconds } from "@mesh/core/ports";

/** A deterministic machine: what happened and the time go in, what is to be done and the next wake-up come out. */
interface Machine<Event, Effect> {
  handle(event: Event, now: Millis): readonly Effect[];
  /** When it wants the timer event; undefined: never. */
  wakeAt(): Millis | undefined;
}

interface NodeDriverOptions<Event, Effect> {
  readonly machine: Machine<Event, Effect>;
  readonly clock: Clock;
  /** Starts what the effect says and returns; what comes of it is a later event. */
  perform(effect: Effect): void;
  readonly timerEvent: Event;
  /** Tells what happened before that time and was not told yet: a stalled process must not take what it has not read for silence. */
  beforeTimer?(): void;
  /** `offset`: wall-clock time minus boot time, in milliseconds. */
  wallClockEvent(offset: Millis): Event;
  /** The machine or `perform` threw: the driver has stopped, since what it would do next is no longer what the rules say. */
  onFatal(error: unknown): void;
}

const WALL_CHECK_INTERVAL: Millis = seconds(2);

/** NTP slews by at most 0.5 ms a second; more than this at once is a step, a resume, or drift worth a new offset. */
const WALL_TOLERANCE: Millis = 100;

/**
 * Gives one machine a clock and hands its effects out. Holds no rule of its own.
 *  1. events wait in a queue: one dispatched while an effect is performed comes after all effects of its cause;
 *  2. the machine handles the event at `clock.now()`;
 *  3. its effects are performed in order;
 *  4. when the queue is empty, one timer is set to the machine's wake-up time.
 */
export class NodeDriver<Event, Effect> {
  readonly #options: NodeDriverOptions<Event, Effect>;
  readonly #queue: Event[] = [];
  #state: "ready" | "draining" | "stopped" = "ready";
  #timerAt: Millis | undefined;
  #cancelTimer: () => void = () => {};
  #cancelWallCheck: () => void = () => {};
  #offset: Millis | undefined;

  constructor(options: NodeDriverOptions<Event, Effect>) {
    this.#options = options;
  }

  /** Tells the machine the wall-clock time, now and whenever it moves. Before the first event that depends on it. */
  start(): void {
    this.#checkWallClock();
  }

  /** No event is handled and no effect performed any more, not even those that wait. */
  stop(): void {
    this.#state = "stopped";
    this.#queue.length = 0;
    this.#cancelTimer();
    this.#cancelWallCheck();
  }

  dispatch(event: Event): void {
    if (this.#state === "stopped") return;
    this.#queue.push(event);
    if (this.#state === "draining") return;
    this.#state = "draining";
    try {
      this.#drain();
    } catch (error) {
      this.stop();
      this.#options.onFatal(error);
    }
  }

  #drain(): void {
    const { machine, clock, perform } = this.#options;
    // A stop from inside `perform` empties the queue.
    for (let i = 0; i < this.#queue.length; i++) {
      const event = this.#queue[i] as Event;
      for (const effect of machine.handle(event, clock.now())) {
        if (this.#isStopped()) return;
        perform(effect);
      }
    }
    if (this.#isStopped()) return;
    this.#queue.length = 0;
    this.#state = "ready";
    this.#setTimer(machine.wakeAt());
  }

  #isStopped(): boolean {
    return this.#state === "stopped";
  }

  #setTimer(at: Millis | undefined): void {
    if (at === this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = at === undefined ? () => {} : this.#options.clock.at(at, () => this.#wake());
  }

  #wake(): void {
    this.#timerAt = undefined;
    this.#options.beforeTimer?.();
    this.dispatch(this.#options.timerEvent);
  }

  #checkWallClock(): void {
    if (this.#isStopped()) return;
    const { clock, wallClockEvent } = this.#options;
    const offset = clock.wallNow() - clock.now();
    this.#cancelWallCheck = clock.at(clock.now() + WALL_CHECK_INTERVAL, () => this.#checkWallClock());
    if (this.#offset !== undefined && Math.abs(offset - this.#offset) <= WALL_TOLERANCE) return;
    this.#offset = offset;
    this.dispatch(wallClockEvent(offset));
  }
}
