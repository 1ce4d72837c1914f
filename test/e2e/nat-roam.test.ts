/** A laptop behind a NAT that changes, with TCP connections open: none of them is lost, and packets are soon back. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { findCommand } from "../prepare-host.ts";
import { openStreams } from "../soak/open-streams.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { PingWatch } from "./lab/ping-watch.ts";
import { changeWanAddress, moveHost, rebootNat } from "./lab/site-changes.ts";
import { type Internet, type InternetSpec, planInternet } from "./lab/sites.ts";
import { withLab } from "./lab/with-lab.ts";
import { NatMesh } from "./nat/nat-mesh.ts";

const skip: string | false =
  labRefusal() ?? (findCommand("nft") === undefined ? "nft is missing: apt-get install nftables" : (compilerRefusal() ?? false));

const SPEC: InternetSpec = {
  public: ["pub-1", "pub-2"],
  sites: [
    { name: "home", nat: "eimr-apdf", hosts: ["laptop"], ipv6: "none" },
    { name: "cafe", nat: "masq", hosts: [], ipv6: "none" },
    { name: "work", nat: "eimr-apdf", hosts: ["office"], ipv6: "none" },
  ],
};
/** Milliseconds that a change is watched for. */
const WATCHED = 15_000;
const REST = 3_000;

type Change = (lab: Lab, internet: Internet, mesh: NatMesh) => Promise<Internet>;

/** What is done to the laptop's network, and how long packets may stay away: with an event on the host, and without any. */
const CHANGES: readonly { readonly what: string; readonly within: number; readonly change: Change }[] = [
  {
    what: "it is carried to another NAT",
    within: 1_500,
    change: (lab, internet) => moveHost(lab, internet, { host: "laptop", to: "cafe" }),
  },
  {
    what: "the NAT forgets everything",
    within: 3_500,
    change: async (lab, internet) => {
      await rebootNat(lab, internet, "cafe");
      return internet;
    },
  },
  { what: "the NAT gets another public address", within: 4_000, change: (lab, internet) => changeWanAddress(lab, internet, "cafe") },
  {
    what: "a member that relays dies",
    within: 3_000,
    change: async (_lab, internet, mesh) => {
      await mesh.agent("pub-2").kill9();
      return internet;
    },
  },
  { what: "it is carried back", within: 1_500, change: (lab, internet) => moveHost(lab, internet, { host: "laptop", to: "home" }) },
];

test("a laptop roams, its NAT reboots and is renumbered, a relay dies: packets are back within seconds, and no TCP connection is lost", {
  skip,
}, async (t) => {
  const planned = planInternet(SPEC);
  await withLab(t, planned.topology, async (lab) => {
    const mesh = await NatMesh.open(lab, ["pub-1", "pub-2", "laptop", "office"]);
    const [laptop, office] = [mesh.agent("laptop"), mesh.agent("office")];
    const streams = await openStreams([laptop, office, mesh.agent("pub-1")], "nat");
    const { address4 } = await mesh.view("laptop", "office");
    const ping = new PingWatch(laptop.host, address4);
    await sleep(REST);
    await watchChanges(t, { lab, mesh, ping, internet: planned });
    ping.stop();
    for (const { name, sent, received } of await streams.end()) {
      assert.equal(sent.ending, "whole", name);
      assert.deepEqual(received, { name, bytes: sent.bytes, ending: "whole" });
    }
  });
});

async function watchChanges(
  t: TestContext,
  { lab, mesh, ping, internet }: { readonly lab: Lab; readonly mesh: NatMesh; readonly ping: PingWatch; readonly internet: Internet },
): Promise<void> {
  let present = internet;
  const late: string[] = [];
  for (const { what, within, change } of CHANGES) {
    const before = Date.now();
    present = await change(lab, present, mesh);
    const changedAt = Date.now();
    const outage = await ping.outage(changedAt, WATCHED);
    t.diagnostic(
      `${what} (${changedAt - before} ms): packets back after ${outage?.toFixed()} ms, ${(await mesh.view("laptop", "office")).path}`,
    );
    if (outage === undefined || outage > within) late.push(`${what}: ${outage?.toFixed()} ms`);
    await sleep(REST);
    const { path } = await mesh.view("laptop", "office");
    if (!path.startsWith("direct")) late.push(`${what}: ${REST} ms later still ${path}`);
  }
  assert.deepEqual(late, []);
}
