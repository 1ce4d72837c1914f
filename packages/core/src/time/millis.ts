/**
 * Milliseconds. An instant's name ends in `At` and is counted on the boot-time clock (it goes on while the
 * machine sleeps), unless the name says `wall`; a duration's name ends in `Interval`, `Timeout` or `After`.
 */
export type Millis = number;

export function seconds(n: number): Millis {
  return n * 1_000;
}

export function minutes(n: number): Millis {
  return n * 60_000;
}
