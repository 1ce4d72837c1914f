export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]];
  return (low + high) / 2;
}

export function describeSamples(samples: readonly number[], unit: string): string {
  const [min, max] = [Math.min(...samples), Math.max(...samples)];
  return `p50 ${median(samples).toFixed(0)} ${unit}, min ${min.toFixed(0)}, max ${max.toFixed(0)} (${samples.length} runs)`;
}
