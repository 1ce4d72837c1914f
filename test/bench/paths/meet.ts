import { setTimeout as sleep } from "node:timers/promises";
import type { InternetSpec, SiteSpec } from "../../e2e/lab/sites.ts";
import { describeLost, doubledOf, lostOf, reorderedBursts } from "./echoes.ts";
import { countAt } from "./gateway-counts.ts";
import { addressOf, type Bench, pathOf, publicAddressOf, type Rig, type Scenario, withRig } from "./rig.ts";
import { DirectWatch, EchoStream } from "./streams.ts";

type MeetingName = "easy" | "seq" | "rand";
type Pair = readonly [string, string];

interface Meeting {
  readonly spec: InternetSpec;
  /** Each meets once: then they know each other. */
  readonly pairs: readonly Pair[];
  /** Milliseconds that a direct path may take. */
  readonly within: number;
}

const PUBLIC = ["pub-1", "pub-2"];
/** Milliseconds between datagrams. */
const INTERVAL = 10;
/** Milliseconds that the stream goes on once it is direct: what was sent by the relay has come then, or never will. */
const AFTERWARDS = 1_000;
const REST = 1_000;

/**
 * Two hosts that have never heard of each other exchange datagrams: the first goes by a relay, the others soon straight. A path is
 * direct when a session's packet has come straight to both hosts.
 */
export function meet(name: MeetingName): Scenario {
  return async (bench) => {
    const { spec, pairs, within } = name === "easy" ? easyPairs() : hardPairs(name);
    for (let done = 0; done < bench.options.runs; done += pairs.length) {
      const some = pairs.slice(0, bench.options.runs - done);
      await withRig({ bench, spec }, async (rig) => {
        for (const pair of some) await measure(rig, bench, { name, pair, within });
      });
    }
  };
}

/** Endpoint-independent mappings, and nobody comes in unasked. */
function easyPairs(): Meeting {
  const kinds = ["eimr-apdf", "masq", "eimr-apdf", "masq", "eimr-apdf", "masq"] as const;
  const sites = kinds.map((nat, n): SiteSpec => ({ name: `easy-${n}`, nat, hosts: [`host-${n}`], ipv6: "none" }));
  const hosts = sites.flatMap((site) => site.hosts);
  const pairs = hosts.flatMap((one, n) => hosts.slice(n + 1).map((other): Pair => [one, other]));
  return { spec: { public: PUBLIC, sites }, pairs, within: 10_000 };
}

/** One end has another port for every destination. */
function hardPairs(name: "seq" | "rand"): Meeting {
  const varying = [0, 1, 2].map((n): SiteSpec => ({ name: `hard-${n}`, nat: `sym-${name}`, hosts: [`hard-host-${n}`], ipv6: "none" }));
  const kinds = ["eimr-apdf", "masq", "eimr-apdf", "masq"] as const;
  const steady = kinds.map((nat, n): SiteSpec => ({ name: `easy-${n}`, nat, hosts: [`host-${n}`], ipv6: "none" }));
  // Each end is the first to speak in half of them.
  const pairs = varying.flatMap(({ hosts: [one = ""] }, i) =>
    steady.map(({ hosts: [other = ""] }, j): Pair => ((i + j) % 2 === 0 ? [one, other] : [other, one])),
  );
  return { spec: { public: PUBLIC, sites: [...varying, ...steady] }, pairs, within: 15_000 };
}

async function measure(
  { lab, mesh, internet }: Rig,
  bench: Bench,
  { name, pair, within }: { readonly name: MeetingName; readonly pair: Pair; readonly within: number },
): Promise<void> {
  const [one, other] = [mesh.agent(pair[0]), mesh.agent(pair[1])];
  const address = await addressOf(other);
  const gateways = pair.map((host) => lab.host(`gw-${internet.homes.get(host)?.site}`));
  const counts = await Promise.all(gateways.map(countAt));
  const sum = async (): Promise<number> => (await Promise.all(counts.map((count) => count()))).reduce((all, { probes }) => all + probes, 0);
  const watches = await Promise.all([one, other].map((agent) => DirectWatch.open(agent.host)));
  const probesBefore = await sum();
  const openedAt = Date.now();
  const stream = new EchoStream(one.host, address, INTERVAL);
  const first = await stream.firstSentAfter(openedAt, within);
  const startedAt = stream.echoes.find(({ sequence }) => sequence === 0)?.sentAt ?? first?.sentAt ?? openedAt;
  const from = [publicAddressOf(internet, pair[1]), publicAddressOf(internet, pair[0])];
  const arrivals = await Promise.all(watches.map((watch, n) => watch.firstAfter(startedAt, from[n] ?? "", within)));
  const direct = arrivals.some((at) => at === undefined) ? undefined : Math.max(...arrivals.map((at) => (at ?? 0) - startedAt));
  const probes = (await sum()) - probesBefore;
  await sleep(AFTERWARDS);
  const sent = await stream.end();
  for (const watch of watches) watch.close();
  const { echoes } = stream;
  const opening = echoes.find(({ sequence }) => sequence === 0);
  bench.record(`${name}.first`, opening === undefined ? undefined : opening.arrivedAt - opening.sentAt);
  bench.record(`${name}.direct`, direct);
  bench.record(`${name}.lost`, lostOf(echoes, sent));
  bench.record(`${name}.reordered`, reorderedBursts(echoes));
  bench.record(`${name}.probes`, probes);
  const lost = lostOf(echoes, sent);
  const words = [
    opening === undefined ? "first lost" : `first ${(opening.arrivedAt - opening.sentAt).toFixed()} ms`,
    `direct ${direct?.toFixed() ?? "never"}`,
    `lost ${lost} of ${sent}${lost === 0 ? "" : ` (${describeLost(echoes, sent)})`}`,
    `reordered ${reorderedBursts(echoes)}, twice ${doubledOf(echoes)}, probes ${probes}`,
    `paths: ${await pathOf(one, other)}; ${await pathOf(other, one)}`,
  ];
  bench.say(`${name} ${pair.join(" → ")}: ${words.join(", ")}`);
  await sleep(REST);
}
