/** RFC 6479 with 8,192 bits in 64-bit words; one word is always being cleared, so 8,128 counters back are accepted. */
const WORDS = 128n;
const WORD_BITS = 64n;
const WIDTH = (WORDS - 1n) * WORD_BITS;

/** The counters of one session that were seen. Counters are u64. */
export class ReplayWindow {
  #last = 0n;
  readonly #words = new BigUint64Array(Number(WORDS));

  /** Whether the counter can still be accepted. Changes nothing: it is asked before the packet is known to be authentic. */
  mayAccept(counter: bigint): boolean {
    if (counter > this.#last) return true;
    if (this.#last - counter > WIDTH) return false;
    return (this.#word(counter) & bit(counter)) === 0n;
  }

  /** Marks an authentic packet's counter as seen. Only after mayAccept said yes. */
  commit(counter: bigint): void {
    const newestWord = this.#last / WORD_BITS;
    const newer = counter / WORD_BITS - newestWord;
    if (newer >= WORDS) this.#words.fill(0n);
    else for (let i = 1n; i <= newer; i++) this.#words[wordIndex((newestWord + i) * WORD_BITS)] = 0n;
    if (counter > this.#last) this.#last = counter;
    this.#words[wordIndex(counter)] = this.#word(counter) | bit(counter);
  }

  #word(counter: bigint): bigint {
    return this.#words[wordIndex(counter)] ?? 0n;
  }
}

function wordIndex(counter: bigint): number {
  return Number((counter / WORD_BITS) % WORDS);
}

function bit(counter: bigint): bigint {
  return 1n << (counter % WORD_BITS);
}
