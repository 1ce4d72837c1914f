/** IPv6 between real agents: where IPv4 gives no straight way, only one end has it, or both families are as good. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { findCommand } from "../prepare-host.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { mustRun } from "./lab/run-command.ts";
import { planInternet, type SiteSpec } from "./lab/sites.ts";
import { statusOf } from "./lab/status-of.ts";
import { withLab } from "./lab/with-lab.ts";
import { assertCells, type NatCell } from "./nat/nat-cells.ts";
import { NatMesh } from "./nat/nat-mesh.ts";

const skip: string | false =
  labRefusal() ?? (findCommand("nft") === undefined ? "nft is missing: apt-get install nftables" : (compilerRefusal() ?? false));

const IPV4 = /^\d/;
const IPV6 = /^\[2001:db8:/;
const FOUR: SiteSpec = { name: "s-four", nat: "masq", hosts: ["four"], ipv6: "none" };
/** Milliseconds that a path in use is watched for, and between looks. */
const WATCHED = 8_000;
const LOOK = 100;

test("IPv6 alone: straight between firewalls, relayed to whom has IPv4 alone", { skip }, async (t) => {
  const six = ["six-a", "six-b"];
  const cells: readonly NatCell[] = [
    { pair: ["six-a", "six-b"], kind: "direct", endpoint: IPV6 },
    { pair: ["six-a", "four"], kind: "relayed", relay: "pub" },
  ];
  const { topology } = planInternet({ public: ["pub"], sites: [...six.map((host) => dual(host, "masq")), FOUR] });
  await withLab(t, topology, async (lab) => {
    for (const host of six) await dropIpv4(lab, host);
    await assertCells(t, await NatMesh.open(lab, ["pub", ...six, "four"]), cells);
  });
});

// Member and relay each choose a family for their path, and a relay takes only what comes by the one it has chosen; of the reflexive
// addresses of two families a peer keeps only the later.

test("both families: IPv6 leads out of symmetric NATs", { skip }, async (t) => {
  const cells: readonly NatCell[] = [{ pair: ["rand-a", "rand-b"], kind: "direct", endpoint: IPV6 }];
  await withDualStack(t, "sym-rand", ["rand-a", "rand-b"], async (mesh) => await assertCells(t, mesh, cells));
});

test("both families as good as each other: one is kept; IPv4 leads to who has nothing else", { skip }, async (t) => {
  const cells: readonly NatCell[] = [
    { pair: ["both-a", "both-b"], kind: "direct" },
    { pair: ["both-a", "four"], kind: "direct", endpoint: IPV4 },
  ];
  await withDualStack(t, "eimr-apdf", ["both-a", "both-b"], async (mesh) => {
    await assertCells(t, mesh, cells);
    assert.deepEqual(await changesUnderPings(mesh, "both-a", "both-b"), []);
  });
});

async function withDualStack(
  t: TestContext,
  nat: SiteSpec["nat"],
  hosts: readonly string[],
  body: (mesh: NatMesh) => Promise<void>,
): Promise<void> {
  const { topology } = planInternet({ public: ["pub"], sites: [...hosts.map((host) => dual(host, nat)), FOUR] });
  await withLab(t, topology, async (lab) => await body(await NatMesh.open(lab, ["pub", ...hosts, "four"])));
}

function dual(host: string, nat: SiteSpec["nat"]): SiteSpec {
  return { name: `s-${host}`, nat, hosts: [host], ipv6: "firewalled" };
}

async function dropIpv4(lab: Lab, host: string): Promise<void> {
  await mustRun("ip", ["-n", lab.host(host).namespace, "-4", "address", "flush", "dev", "eth0"]);
}

/** Paths of either end other than its first one, while packets flow. None of the pings may be lost. */
async function changesUnderPings(mesh: NatMesh, one: string, other: string): Promise<readonly string[]> {
  const pathOf = async (from: string, to: string): Promise<string> => {
    const { peers } = await statusOf(mesh.agent(from), "nat");
    return `${from}: ${peers.find(({ name }) => name === to)?.path}`;
  };
  const look = (): Promise<readonly string[]> => Promise.all([pathOf(one, other), pathOf(other, one)]);
  const first = await look();
  const count = WATCHED / LOOK;
  const pings = mesh.ping(one, other, { count, interval: LOOK / 1_000 });
  const others = new Set<string>();
  for (let n = 0; n < count; n++) {
    for (const path of await look()) if (!first.includes(path)) others.add(path);
    await sleep(LOOK);
  }
  assert.equal((await pings).length, count);
  return [...others];
}
