/** A datagram that came back. Milliseconds since 1970, with fractions. */
export interface Echo {
  readonly sequence: number;
  readonly sentAt: number;
  readonly arrivedAt: number;
  readonly backAt: number;
}

/** A line of udp-echo.ts; undefined when it is another one. */
export function parseEcho(line: string): Echo | undefined {
  const numbers = line.split(" ").map(Number);
  const [sequence, sentAt, arrivedAt, backAt] = numbers;
  if (numbers.length !== 4 || numbers.some(Number.isNaN)) return undefined;
  if (sequence === undefined || sentAt === undefined || arrivedAt === undefined || backAt === undefined) return undefined;
  return { sequence, sentAt, arrivedAt, backAt };
}

/** Datagrams of so many sent that never came back. One that came back twice counts once. */
export function lostOf(echoes: readonly Echo[], sent: number): number {
  return sent - new Set(echoes.map(({ sequence }) => sequence)).size;
}

/** What never came back, as runs of sequences: `3-9, 20`. */
export function describeLost(echoes: readonly Echo[], sent: number): string {
  const back = new Set(echoes.map(({ sequence }) => sequence));
  const runs: string[] = [];
  for (let sequence = 0; sequence < sent; sequence++) {
    if (back.has(sequence)) continue;
    const first = sequence;
    while (sequence + 1 < sent && !back.has(sequence + 1)) sequence += 1;
    runs.push(first === sequence ? String(first) : `${first}-${sequence}`);
  }
  return runs.join(", ");
}

/** Datagrams that came back more than once. */
export function doubledOf(echoes: readonly Echo[]): number {
  return echoes.length - new Set(echoes.map(({ sequence }) => sequence)).size;
}

/** Bursts of reordering: how often, in the order of `echoes`, one or more datagrams in a row came after a later one. */
export function reorderedBursts(echoes: readonly Echo[]): number {
  let highest = -1;
  let isLate = false;
  let bursts = 0;
  const seen = new Set<number>();
  for (const { sequence } of echoes) {
    if (seen.has(sequence)) continue;
    seen.add(sequence);
    const wasLate = isLate;
    isLate = sequence < highest;
    if (isLate && !wasLate) bursts += 1;
    highest = Math.max(highest, sequence);
  }
  return bursts;
}
