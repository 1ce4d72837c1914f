import { setTimeout as sleep } from "node:timers/promises";
import type { MeshAgent } from "../../e2e/lab/agent.ts";

import { restartNat } from "../../e2e/lab/site-changes.ts";
import { type Gateway, gatewayOf, type InternetSpec } from "../../e2e/lab/sites.ts";
import { addressOf, pathOf, type Scenario, withRig } from "./rig.ts";
import { EchoStream, TypedLines } from "./streams.ts";

/** Milliseconds between datagrams, that a change is watched for, and between changes. */
const INTERVAL = 5;
const WATCHED = 20_000;
const REST = 11_000;

const SPEC: InternetSpec = {
  public: ["pub-1", "pub-2"],
  sites: [
    { name: "hotel", nat: "masq", hosts: ["laptop"], ipv6: "none" },
    { name: "work", nat: "eimr-apdf", hosts: ["office"], ipv6: "none" },
  ],
};

/** A firewall begins to block UDP, under traffic and then before the agent starts; each time it is taken away again. */
export const tcp: Scenario = async (bench) => {
  const { tcpRelay, runs } = bench.options;
  if (tcpRelay === undefined) return bench.say("tcp: not measured, because no --tcp-relay was given");
  const publicFlags = ["--tcp-relay", String(tcpRelay)];
  await withRig({ bench, spec: SPEC, publicFlags }, async ({ lab, mesh, internet }) => {
    const [laptop, office] = [mesh.agent("laptop"), mesh.agent("office")];
    const open = gatewayOf(internet.gateways, "hotel");
    const blocked: Gateway = { ...open, nat: "udp-block" };
    const address = await addressOf(office);
    for (let run = 1; run <= runs; run++) {
      const lines = new TypedLines(laptop.host, address);
      const live = await firstAnswer(laptop, address, async () => {
        await sleep(REST);
        await restartNat(lab, blocked);
      });
      bench.record("tcp.live", live);
      bench.say(`tcp ${run}: UDP blocked under traffic, back ${live?.toFixed() ?? "never"} ms; ${await pathOf(laptop, office)}`);
      const { ending } = await lines.end();
      if (ending !== "whole") bench.complain(`the TCP connection was lost: ${ending}`);
      await laptop.down();
      await laptop.up();
      const cold = await firstAnswer(laptop, address, async () => {});
      bench.record("tcp.cold", cold);
      bench.say(`tcp ${run}: started with UDP blocked, first answer ${cold?.toFixed() ?? "never"} ms; ${await pathOf(laptop, office)}`);
      await laptop.down();
      await restartNat(lab, open);
      await laptop.up();
    }
  });
};

/** Milliseconds from the end of `change` to the first answer to what was sent later; datagrams flow all the time. */
async function firstAnswer({ host }: MeshAgent, address: string, change: () => Promise<void>): Promise<number | undefined> {
  const stream = new EchoStream(host, address, INTERVAL);
  await change();
  const at = Date.now();
  const echo = await stream.firstSentAfter(at, WATCHED);
  await stream.end();
  return echo === undefined ? undefined : echo.backAt - at;
}
