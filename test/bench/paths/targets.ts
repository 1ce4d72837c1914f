import type { PathsOptions } from "./options.ts";

export type Unit = "ms" | "datagrams" | "bursts" | "per min";

/** What is measured, and what was asked for (RTT of 20 ms between hosts). A figure that no run may exceed is both p50 and p95. */
export interface Metric {
  readonly what: string;
  readonly unit: Unit;
  readonly p50?: number;
  readonly p95?: number;
}

export type MetricName =
  | "easy.first"
  | "easy.direct"
  | "easy.lost"
  | "easy.reordered"
  | "easy.probes"
  | HardMetric<"seq">
  | HardMetric<"rand">
  | ChangeMetric<"roam">
  | ChangeMetric<"reboot">
  | ChangeMetric<"reboot-sym">
  | ChangeMetric<"wan">
  | ChangeMetric<"resume">
  | "relay-death.traffic"
  | "nat-idle.first"
  | "nat-idle.lost"
  | "idle.sent"
  | "idle.received"
  | "tcp.live"
  | "tcp.cold";

type HardMetric<Name extends string> = `${Name}.first` | `${Name}.direct` | `${Name}.lost` | `${Name}.reordered` | `${Name}.probes`;
type ChangeMetric<Name extends string> = `${Name}.traffic` | `${Name}.direct`;

/** Easy pairs, by what is lost at most: those figures were asked for at 0, 5 and 20 %. */
const EASY_DIRECT: readonly { readonly loss: number; readonly p50: number; readonly p95: number }[] = [
  { loss: 0, p50: 200, p95: 400 },
  { loss: 0.05, p50: 700, p95: 1_200 },
  { loss: 0.2, p50: 1_000, p95: 2_500 },
];

export function metricsFor({ loss }: Pick<PathsOptions, "loss">): Readonly<Record<MetricName, Metric>> {
  const easy = EASY_DIRECT.find((target) => loss <= target.loss);
  // Nothing was asked of a network that itself loses and reorders.
  const [noLoss, oneBurst] = loss > 0 ? [{}, {}] : [most(0), most(1)];
  return {
    "easy.first": ms("first packet, by a relay whose binding is warm", 60, 150),
    "easy.direct": { what: "first packet → direct both ways, easy pair", unit: "ms", ...(easy ?? {}) },
    "easy.lost": { what: "relay → direct: lost", unit: "datagrams", ...noLoss },
    "easy.reordered": { what: "relay → direct: reordered", unit: "bursts", ...oneBurst },
    "easy.probes": { what: "probes of both ends in an easy round, at their gateways", unit: "datagrams", ...most(100) },
    ...hard("seq", "sequential × EIM", { p50: 600, p95: 1_200 }, { noLoss, oneBurst }),
    ...hard("rand", "random × EIM", { p50: 1_500, p95: 5_000 }, { noLoss, oneBurst }),
    "roam.traffic": ms("link change with an event: packets back", 300, 700),
    "roam.direct": ms("link change with an event: direct", 800, 1_500),
    "reboot.traffic": ms("silent NAT reboot: packets back", 1_500, 2_500),
    "reboot.direct": ms("silent NAT reboot: direct", 2_500, 4_000),
    "reboot-sym.traffic": ms("silent reboot of a random NAT: packets back", 1_500, 2_500),
    "reboot-sym.direct": ms("silent reboot of a random NAT: direct", 2_500, 4_000),
    "wan.traffic": ms("silent change of the WAN address: packets back", 1_500, 2_500),
    "wan.direct": ms("silent change of the WAN address: direct", 2_500, 4_000),
    "resume.traffic": ms("resume: packets back", 500, 1_500),
    "resume.direct": { what: "resume: direct", unit: "ms" },
    "relay-death.traffic": ms("death of the relay: packets back by the standby", 1_000, 2_000),
    "nat-idle.first": ms("NAT of 15 s, idle peer: first packet", 60, 150),
    "nat-idle.lost": { what: "NAT of 15 s, idle peer: lost", unit: "datagrams", ...noLoss },
    "idle.sent": { what: "idle node behind a NAT: datagrams sent", unit: "per min", ...most(3.5) },
    "idle.received": { what: "idle node behind a NAT: datagrams received", unit: "per min", ...most(3.5) },
    "tcp.live": ms("UDP blocked under traffic: packets back, by TCP", 1_500, 3_500),
    "tcp.cold": ms("UDP blocked at the start: tunnel up → first answer", 1_500, 3_500),
  };
}

function hard<Name extends "seq" | "rand">(
  name: Name,
  pair: string,
  direct: { readonly p50: number; readonly p95: number },
  { noLoss, oneBurst }: { readonly noLoss: Partial<Metric>; readonly oneBurst: Partial<Metric> },
): Readonly<Record<HardMetric<Name>, Metric>> {
  const metrics: Readonly<Record<string, Metric>> = {
    [`${name}.first`]: ms(`${pair}: first packet, by a relay`, 60, 150),
    [`${name}.direct`]: { what: `${pair}: first packet → direct both ways`, unit: "ms", ...direct },
    [`${name}.lost`]: { what: `${pair}: relay → direct: lost`, unit: "datagrams", ...noLoss },
    [`${name}.reordered`]: { what: `${pair}: relay → direct: reordered`, unit: "bursts", ...oneBurst },
    [`${name}.probes`]: { what: `${pair}: probes of both ends, at their gateways`, unit: "datagrams", ...most(2_400) },
  };
  return metrics as Readonly<Record<HardMetric<Name>, Metric>>;
}

function ms(what: string, p50: number, p95: number): Metric {
  return { what, unit: "ms", p50, p95 };
}

function most(count: number): Pick<Metric, "p50" | "p95"> {
  return { p50: count, p95: count };
}
