/** Counters this far behind the highest are too old to tell: probes are few, and a burst of them is a dozen. */
const WINDOW = 64;

/** Which counters of one key were seen (RFC 4303 section 3.4.3). Check and accept only what was authenticated. */
export class ReplayWindow {
  #highest = -1n;
  #seen = 0n; // bit i: highest - i was seen

  /** False when the counter was seen or is too old; else remembers it. */
  accept(counter: bigint): boolean {
    if (counter > this.#highest) {
      const step = counter - this.#highest;
      this.#seen = step >= BigInt(WINDOW) ? 1n : ((this.#seen << step) | 1n) & MASK;
      this.#highest = counter;
      return true;
    }
    const age = this.#highest - counter;
    if (age >= BigInt(WINDOW) || ((this.#seen >> age) & 1n) === 1n) return false;
    this.#seen |= 1n << age;
    return true;
  }
}

const MASK = (1n << BigInt(WINDOW)) - 1n;
