import { setTimeout as sleep } from "node:timers/promises";
import type { MeshAgent } from "../../e2e/lab/agent.ts";
import type { NatKindName } from "../../e2e/lab/nat-kinds.ts";
import { changeWanAddress, moveHost, rebootNat } from "../../e2e/lab/site-changes.ts";
import type { Internet, InternetSpec } from "../../e2e/lab/sites.ts";
import { addressOf, type Bench, pathOf, publicAddressOf, type Rig, relayOf, type Scenario, withRig } from "./rig.ts";
import { DirectWatch, EchoStream, TypedLines } from "./streams.ts";

type ChangeName = "roam" | "reboot" | "reboot-sym" | "wan" | "resume";

interface Scene extends Rig {
  readonly laptop: MeshAgent;
  readonly office: MeshAgent;
}

/** What happened. */
interface Changed {
  /** As it is now. */
  readonly internet: Internet;
  /** Milliseconds since 1970 when it was done: what is sent later could pass. */
  readonly at: number;
}

type Change = (scene: Scene) => Promise<Changed>;

/** Milliseconds between datagrams, and so the resolution. */
const INTERVAL = 5;
/** Milliseconds that a change is watched for. */
const WATCHED = 20_000;
/** Milliseconds between changes: a host that moves more often tells its endpoints together, once in 10 s. */
const REST = 11_000;
/** Milliseconds that the agent stands still. */
const ASLEEP = 20_000;
/** Milliseconds until a relay that was started again is a home relay of others. */
const RELAY_RETURN = 15_000;

export const roam: Scenario = changing("roam", { home: "eimr-apdf", work: "eimr-apdf" }, async ({ lab, internet, laptop }) => {
  const to = internet.homes.get(laptop.name)?.site === "home" ? "cafe" : "home";
  return done(await moveHost(lab, internet, { host: laptop.name, to }));
});

/** A NAT that has the same ports again, or one that has others. */
export function reboot(name: "reboot" | "reboot-sym"): Scenario {
  const nats: Nats = name === "reboot" ? { home: "masq", work: "eimr-apdf" } : { home: "sym-rand", work: "eimr-adf" };
  return changing(name, nats, async ({ lab, internet }) => {
    await rebootNat(lab, internet, "home");
    return done(internet);
  });
}

export const wan: Scenario = changing("wan", { home: "eimr-apdf", work: "eimr-apdf" }, async ({ lab, internet }) =>
  done(await changeWanAddress(lab, internet, "home")),
);

/** Its packets wait in the kernel meanwhile, and what was sent while it slept does not count. */
export const resume: Scenario = changing("resume", { home: "eimr-apdf", work: "eimr-apdf" }, async ({ internet, laptop }) => {
  const pid = laptop.pid();
  if (pid === undefined) throw new Error(`no agent of ${laptop.name} is running`);
  process.kill(pid, "SIGSTOP");
  try {
    await sleep(ASLEEP);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  return done(internet);
});

interface Nats {
  readonly home: NatKindName;
  readonly work: NatKindName;
}

/** A laptop with a stream of datagrams and a TCP connection to the office; the change comes again and again. */
function changing(name: ChangeName, nats: Nats, change: Change): Scenario {
  const spec: InternetSpec = {
    public: ["pub-1", "pub-2"],
    sites: [
      { name: "home", nat: nats.home, hosts: ["laptop"], ipv6: "none" },
      { name: "cafe", nat: "masq", hosts: [], ipv6: "none" },
      { name: "work", nat: nats.work, hosts: ["office"], ipv6: "none" },
    ],
  };
  return async (bench) =>
    await withRig({ bench, spec }, async (rig) => {
      const [laptop, office] = [rig.mesh.agent("laptop"), rig.mesh.agent("office")];
      const watches = [await DirectWatch.open(laptop.host), await DirectWatch.open(office.host)];
      await underTraffic({ bench, name, from: laptop, to: office }, async (stream) => {
        let { internet } = rig;
        for (let run = 1; run <= bench.options.runs; run++) {
          await sleep(REST);
          const before = await pathOf(laptop, office);
          const changed = await change({ ...rig, internet, laptop, office });
          internet = changed.internet;
          const outage = await outageOf(stream, changed.at);
          const direct = await directAfter({ bench, watches, changed });
          bench.record(`${name}.traffic`, outage);
          bench.record(`${name}.direct`, direct);
          const [there, back] = [await pathOf(laptop, office), await pathOf(office, laptop)];
          bench.say(`${name} ${run}: ${before}; back ${show(outage)}, direct ${show(direct)}; ${there}; ${back}`);
        }
      });
      for (const watch of watches) watch.close();
    });
}

/** A pair that can only be relayed, and the death of the member that does it. It comes back for the next run. */
export const relayDeath: Scenario = async (bench) => {
  const spec: InternetSpec = {
    public: ["pub-1", "pub-2"],
    sites: ["a", "b"].map((host) => ({ name: `home-${host}`, nat: "sym-rand", hosts: [host], ipv6: "none" })),
  };
  await withRig({ bench, spec }, async ({ mesh }) => {
    const [a, b] = [mesh.agent("a"), mesh.agent("b")];
    await underTraffic({ bench, name: "relay-death", from: a, to: b }, async (stream) => {
      for (let run = 1; run <= bench.options.runs; run++) {
        await sleep(run === 1 ? REST : RELAY_RETURN);
        const relay = await relayOf(a, b);
        if (relay === undefined) throw new Error(`a and b are not relayed: ${await pathOf(a, b)}`);
        await mesh.agent(relay).kill9();
        const outage = await outageOf(stream, Date.now());
        bench.record("relay-death.traffic", outage);
        bench.say(`relay-death ${run}: ${relay} died, back ${show(outage)}; ${await pathOf(a, b)}; ${await pathOf(b, a)}`);
        await mesh.agent(relay).up();
      }
    });
  });
};

interface Traffic {
  readonly bench: Bench;
  readonly name: string;
  readonly from: MeshAgent;
  readonly to: MeshAgent;
}

/** One TCP connection lasts from beginning to end. */
async function underTraffic({ bench, name, from, to }: Traffic, body: (stream: EchoStream) => Promise<void>): Promise<void> {
  const address = await addressOf(to);
  const openedAt = Date.now();
  const stream = new EchoStream(from.host, address, INTERVAL);
  if ((await stream.firstSentAfter(openedAt, WATCHED)) === undefined) throw new Error(`${from.name} never reached ${to.name}`);
  const lines = new TypedLines(from.host, address);
  await body(stream);
  const { typed, echoed, ending } = await lines.end();
  bench.say(`${name}: TCP ${ending}, ${echoed} of ${typed} lines came back`);
  if (ending !== "whole") bench.complain(`the TCP connection was lost: ${ending}`);
  await stream.end();
}

/** Milliseconds until the answer came to something sent later. */
async function outageOf(stream: EchoStream, since: number): Promise<number | undefined> {
  const echo = await stream.firstSentAfter(since, WATCHED);
  return echo === undefined ? undefined : echo.backAt - since;
}

/** Milliseconds until a packet sent later had come straight to both ends: what was under way is not taken for one. */
async function directAfter({
  bench: { options },
  watches,
  changed: { at, internet },
}: {
  readonly bench: Bench;
  readonly watches: readonly DirectWatch[];
  readonly changed: Changed;
}): Promise<number | undefined> {
  const underWay = options.delay + options.jitter;
  const froms = [publicAddressOf(internet, "office"), publicAddressOf(internet, "laptop")];
  const arrivals = await Promise.all(watches.map((watch, n) => watch.firstAfter(at + underWay, froms[n] ?? "", WATCHED)));
  return arrivals.some((arrival) => arrival === undefined) ? undefined : Math.max(...arrivals.map((arrival) => (arrival ?? 0) - at));
}

function done(internet: Internet): Changed {
  return { internet, at: Date.now() };
}

function show(ms: number | undefined): string {
  return ms === undefined ? "never" : `${ms.toFixed()} ms`;
}
