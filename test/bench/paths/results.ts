import type { Metric, MetricName } from "./targets.ts";

/** What one run gave; undefined: it did not come within the time. */
export interface Sample {
  readonly metric: MetricName;
  readonly value: number | undefined;
}

/** Of all runs. Infinity stands for what never came, and counts as longer than anything. */
export interface Summary {
  readonly runs: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  /** Runs that gave nothing. */
  readonly never: number;
}

/** The nearest rank: the smallest value that so large a part of all is not above. Undefined without samples. */
export function summarize(values: readonly (number | undefined)[]): Summary | undefined {
  const sorted = values.map((value) => value ?? Number.POSITIVE_INFINITY).toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
  if (sorted.length === 0) return undefined;
  return { runs: sorted.length, p50: at(0.5), p95: at(0.95), max: at(1), never: values.filter((value) => value === undefined).length };
}

/** undefined: nothing was asked for. */
export function isMet({ p50, p95 }: Metric, summary: Summary): boolean | undefined {
  if (p50 === undefined || p95 === undefined) return undefined;
  return summary.p50 <= p50 && summary.p95 <= p95;
}

/** A table for people and for docs/results.md, metrics in the order of `metrics`; without those that no sample is of. */
export function* formatTable(metrics: Readonly<Record<MetricName, Metric>>, samples: readonly Sample[]): Iterable<string> {
  yield "| what | unit | asked p50 / p95 | p50 | p95 | max | runs | |";
  yield "|---|---|---|---|---|---|---|---|";
  for (const [name, metric] of Object.entries(metrics)) {
    const summary = summarize(samples.filter((sample) => sample.metric === name).map(({ value }) => value));
    if (summary === undefined) continue;
    const met = isMet(metric, summary);
    const asked = met === undefined ? "–" : `${metric.p50} / ${metric.p95}`;
    const measured = [summary.p50, summary.p95, summary.max].map(formatValue).join(" | ");
    const runs = summary.never === 0 ? String(summary.runs) : `${summary.runs}, ${summary.never} never`;
    const verdict = met === undefined ? "" : met ? "met" : "not met";
    yield `| ${metric.what} | ${metric.unit} | ${asked} | ${measured} | ${runs} | ${verdict} |`;
  }
}

export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return "never";
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 1 : 0);
}
