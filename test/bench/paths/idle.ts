import { setTimeout as sleep } from "node:timers/promises";
import type { InternetSpec } from "../../e2e/lab/sites.ts";
import { lostOf } from "./echoes.ts";
import { countAt } from "./gateway-counts.ts";
import { addressOf, pathOf, type Scenario, withRig } from "./rig.ts";
import { EchoStream } from "./streams.ts";

const PUBLIC = ["pub-1", "pub-2"];
/** Seconds after which the NATs forget, whatever a mapping has carried. */
const FORGETFUL = 15;
const PAIRS = 4;
/** Milliseconds between datagrams, and of talk before and after the silence. */
const INTERVAL = 20;
const TALK = 1_500;
/** Milliseconds after which nothing of the start is left to be done, and paths of the first greetings are forgotten. */
const AT_REST = 60_000;

/** The first packet to a peer that nobody has spoken to for a while, through NATs that have forgotten. */
export const natIdle: Scenario = async (bench) => {
  const timeouts = { udpTimeout: FORGETFUL, udpStreamTimeout: FORGETFUL };
  const hosts = Array.from({ length: 2 * PAIRS }, (_, n) => `host-${n}`);
  const sites = hosts.map(
    (host, n) => ({ name: `home-${n}`, nat: n % 2 === 0 ? "eimr-apdf" : "masq", hosts: [host], ...timeouts }) as const,
  );
  const spec: InternetSpec = { public: PUBLIC, sites };
  await withRig({ bench, spec }, async ({ mesh }) => {
    const pairs = Array.from({ length: PAIRS }, (_, n) => [mesh.agent(`host-${2 * n}`), mesh.agent(`host-${2 * n + 1}`)] as const);
    const addresses = await Promise.all(pairs.map(async ([, to]) => await addressOf(to)));
    const talk = async (n: number): Promise<{ readonly first: number | undefined; readonly lost: number }> => {
      const stream = new EchoStream(pairs[n]?.[0].host ?? mesh.agent("host-0").host, addresses[n] ?? "", INTERVAL);
      await sleep(TALK);
      const sent = await stream.end();
      const opening = stream.echoes.find(({ sequence }) => sequence === 0);
      return { first: opening === undefined ? undefined : opening.arrivedAt - opening.sentAt, lost: lostOf(stream.echoes, sent) };
    };
    for (let run = 0; run < bench.options.runs; run += PAIRS) {
      if (run === 0) for (const n of pairs.keys()) await talk(n);
      await sleep(bench.options.idle * 1_000);
      for (const [n, [from, to]] of pairs.entries()) {
        const before = await pathOf(from, to);
        const { first, lost } = await talk(n);
        bench.record("nat-idle.first", first);
        bench.record("nat-idle.lost", lost);
        bench.say(`nat-idle ${run + n + 1}: ${before}; first ${first?.toFixed() ?? "lost"} ms, lost ${lost}; ${await pathOf(from, to)}`);
      }
    }
  });
};

/** Nodes that nobody speaks to. Each is a run. */
export const idle: Scenario = async (bench) => {
  const hosts = Array.from({ length: 6 }, (_, n) => `host-${n}`);
  const sites = hosts.map((host, n) => ({ name: `home-${n}`, nat: n % 2 === 0 ? "eimr-apdf" : "masq", hosts: [host] }) as const);
  await withRig({ bench, spec: { public: PUBLIC, sites } }, async ({ lab }) => {
    await sleep(AT_REST);
    const counts = await Promise.all(sites.map(({ name }) => countAt(lab.host(`gw-${name}`))));
    await sleep(bench.options.window * 1_000);
    for (const [n, count] of counts.entries()) {
      const { sent, received } = await count();
      const perMinute = 60 / bench.options.window;
      bench.record("idle.sent", sent * perMinute);
      bench.record("idle.received", received * perMinute);
      bench.say(`idle ${hosts[n]}: ${sent} sent, ${received} received in ${bench.options.window} s`);
    }
  });
};
