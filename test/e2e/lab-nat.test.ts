import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { findCommand } from "../prepare-host.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import type { Lab } from "./lab/lab.ts";
import { labRefusal } from "./lab/lab.ts";
import { NAT_KINDS, type NatKindName } from "./lab/nat-kinds.ts";
import { type NatReport, openNatProber } from "./lab/nat-prober.ts";
import { parseLeaks } from "./lab/nat-rules.ts";
import { changeWanAddress, hostAddresses, moveHost, rebootNat } from "./lab/site-changes.ts";
import { type InternetSpec, planInternet, type SiteSpec } from "./lab/sites.ts";
import { withLab } from "./lab/with-lab.ts";

const skip: string | false = labRefusal() ?? (findCommand("nft") === undefined && "nft is missing: apt-get install nftables");
const skipReboot: string | false = skip || (compilerRefusal() ?? false);
const KINDS = Object.keys(NAT_KINDS) as readonly NatKindName[];
/** Probes that run at once: each is a process of its own. */
const AT_ONCE = 3;
const FIXED_PORTS = [20_001, 20_002, 20_003, 20_004];
/** Seconds that a mapping lives where that is measured, and milliseconds after which something is sent to one. */
const SHORT = 3;
const WAITS = [500, 1_500, 4_500];

test("each kind of NAT has the class that it says, and loses its mappings in a reboot as it says", { skip: skipReboot }, async (t) => {
  const internet = planInternet({ public: ["stun"], sites: KINDS.map((nat) => ({ name: nat, nat, hosts: [`h-${nat}`] })) });
  await withLab(t, internet.topology, async (lab) => {
    const prober = await openNatProber(lab, "stun");
    const wrong: string[] = [];
    await inTurns(KINDS, async (nat) => {
      const kind = NAT_KINDS[nat];
      const report = await prober.probe(`h-${nat}`);
      if (!isDeepStrictEqual(report.class, kind.class)) wrong.push(`${nat} is ${JSON.stringify(report.class)}`);
      if (report.class === "blocked") return;
      if (report.hairpin !== "nothing" && report.class.mapping !== "none") wrong.push(`${nat} hairpins`);
      const before = await prober.outsidePorts(`h-${nat}`, FIXED_PORTS);
      await rebootNat(lab, internet, nat);
      const after = await prober.outsidePorts(`h-${nat}`, FIXED_PORTS);
      if (isDeepStrictEqual(before, after) !== kind.stable) wrong.push(`${nat}: ports ${before}, after its reboot ${after}`);
    });
    assert.deepEqual(wrong, []);
    await assertNoLeak(lab);
  });
});

test("mappings end when they should, hairpins show the outside source, and of two NATs in a row the stricter one counts", {
  skip,
}, async (t) => {
  const internet = planInternet({
    public: ["stun"],
    carriers: [
      { name: "cgn-open", nat: "eimr-eif" },
      { name: "cgn-block", nat: "sym-block" },
    ],
    sites: [
      { name: "short-masq", nat: "masq", hosts: ["h-short-masq"], udpTimeout: SHORT },
      { name: "short-eif", nat: "eimr-eif", hosts: ["h-short-eif"], udpTimeout: SHORT },
      { name: "hair-kept", nat: "eim-apdf", hosts: ["h-hair-kept"], hairpin: true },
      { name: "hair-hashed", nat: "eimr-adf", hosts: ["h-hair-hashed"], hairpin: true },
      { name: "masq-open", nat: "masq", hosts: ["h-masq-open"], behind: "cgn-open" },
      { name: "rand-open", nat: "sym-rand", hosts: ["h-rand-open"], behind: "cgn-open" },
      { name: "eif-block", nat: "eim-eif", hosts: ["h-eif-block"], behind: "cgn-block" },
    ],
  });
  await withLab(t, internet.topology, async (lab) => {
    const prober = await openNatProber(lab, "stun");
    const reports = new Map<string, NatReport>();
    await inTurns(["short-masq", "short-eif", "hair-kept", "hair-hashed", "masq-open", "rand-open", "eif-block"], async (site) => {
      reports.set(site, await prober.probe(`h-${site}`, site.startsWith("short") ? WAITS : []));
    });
    for (const site of ["short-masq", "short-eif"]) {
      const { openAt = 0, closedAt = 0 } = reports.get(site) ?? {};
      assert.ok(openAt > 0 && openAt < SHORT * 1_000, `${site} is open at ${openAt}`);
      assert.ok(closedAt >= SHORT * 1_000 && closedAt < Number.POSITIVE_INFINITY, `${site} is closed at ${closedAt}`);
    }
    for (const site of ["hair-kept", "hair-hashed"]) assert.equal(reports.get(site)?.hairpin, "outside", site);
    assert.deepEqual(reports.get("hair-kept")?.class, NAT_KINDS["eim-apdf"].class);
    assert.deepEqual(reports.get("hair-hashed")?.class, NAT_KINDS["eimr-adf"].class);
    assert.deepEqual(reports.get("masq-open")?.class, { mapping: "EIM", filtering: "APDF", allocation: "scattered", pooled: false });
    assert.deepEqual(reports.get("rand-open")?.class, { mapping: "APDM", filtering: "APDF", allocation: "scattered", pooled: false });
    assert.deepEqual(reports.get("eif-block")?.class, { mapping: "APDM", filtering: "APDF", allocation: "block", pooled: false });
    await assertNoLeak(lab);
  });
});

test("a host that moves, a NAT with a new address and IPv6 behind each of them", { skip: skipReboot }, async (t) => {
  const start = planInternet({
    public: ["server"],
    carriers: [{ name: "cgn", nat: "eim-eif" }],
    sites: [
      { name: "home", nat: "masq", hosts: ["phone", "tv"], ipv6: "firewalled" },
      { name: "cafe", nat: "sym-pool", hosts: ["guest"], behind: "cgn", ipv6: "open" },
      { name: "office", nat: "fw", hosts: ["desk"] },
    ],
  });
  await withLab(t, start.topology, async (lab) => {
    const server = lab.host("server");
    const sees = async (host: string, address: string): Promise<boolean> =>
      (await lab.host(host).run("ping", ["-n", "-c", "1", "-W", "1", address])).code === 0;
    for (const host of ["phone", "guest", "desk"]) {
      assert.ok(await sees(host, server.address4), `${host} reaches the server`);
      assert.ok(await sees(host, server.address6), `${host} reaches the server by IPv6`);
    }
    assert.ok(await sees("phone", lab.host("tv").address4), "one LAN");
    assert.equal(await sees("server", lab.host("desk").address4), false, "a firewall");
    assert.ok(await sees("server", lab.host("guest").address6), "open IPv6, through the carrier");
    assert.equal(await answersTcp(lab, "server", lab.host("phone").address6), false, "IPv6 behind a firewall");
    assert.equal(await answersTcp(lab, "server", lab.host("guest").address6), true);

    const moved = await moveHost(lab, start, { host: "phone", to: "cafe" });
    const [address4 = "", address6 = ""] = hostAddresses(moved, "phone");
    assert.ok(await sees("phone", server.address4), "from the cafe");
    assert.ok(await sees("guest", address4), "the new LAN");
    assert.ok(await sees("server", address6), "as open as the cafe is");
    assert.equal(await sees("tv", lab.host("phone").address4), false, "gone from home");
    await lab.cut("phone");
    assert.equal(await sees("phone", server.address4), false);
    await lab.heal("phone");
    assert.ok(await sees("phone", server.address4), "its link is cut and healed where it is now");

    const prober = await openNatProber(lab, "server");
    const own = await changeWanAddress(lab, moved, "home");
    const both = await changeWanAddress(lab, await changeWanAddress(lab, own, "cgn"), "cafe");
    const office = await changeWanAddress(lab, both, "office");
    assert.equal(office.gateways.get("home")?.place.wanAddresses[0], "198.18.3.3");
    for (const host of ["tv", "phone", "desk"]) assert.ok(await sees(host, server.address4), `${host} after its new address`);
    assert.equal((await prober.probe("phone")).class === "blocked", false);
    await rebootNat(lab, office, "cafe", 200);
    assert.ok(await sees("phone", server.address4), "after a reboot that took a while");
    await assertNoLeak(lab);
  });
});

test("a private address that gets out is counted as a leak and goes no further", { skip }, async (t) => {
  const { topology } = planInternet({ public: ["server"], sites: [{ name: "home", nat: "masq", hosts: ["phone"] }] });
  await withLab(t, topology, async (lab) => {
    await lab.host("gw-home").run("nft", ["delete", "table", "ip", "lab_nat"]);
    assert.notEqual((await lab.host("phone").run("ping", ["-n", "-c", "1", "-W", "1", lab.host("server").address4])).code, 0);
    await assert.rejects(assertNoLeak(lab), /1 !== 0/);
  });
});

const IMPOSSIBLE: readonly (readonly [Partial<InternetSpec>, RegExp])[] = [
  [{ public: ["a", "a"] }, /a is there twice/],
  [{ public: ["core"] }, /core is there twice/],
  [{ public: ["Ä"] }, /Ä is no name/],
  [{ sites: [home({ name: "thirteen-char" })] }, /gw-thirteen-char is no name/],
  [{ sites: [home({ behind: "cgn" })] }, /home: no carrier cgn/],
  [{ sites: [home({ nat: "sym-rand", hairpin: true })] }, /home: sym-rand cannot hairpin/],
  [{ sites: [home({ nat: "fw", lan: "192.168.1" })] }, /home: fw has a public LAN/],
  [{ wires: { cable: {} } }, /no link cable/],
];

for (const [spec, complaint] of IMPOSSIBLE) {
  test(`an internet that cannot be built is refused: ${complaint.source}`, () => {
    assert.throws(() => planInternet({ public: [], sites: [], ...spec }), complaint);
  });
}

function home(site: Partial<SiteSpec>): SiteSpec {
  return { name: "home", nat: "masq", hosts: ["phone"], ...site };
}

async function inTurns<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** A refused connection is an answer. */
async function answersTcp(lab: Lab, from: string, address: string): Promise<boolean> {
  const script = `
    const socket = require("node:net").connect(9, process.argv[1]);
    socket.setTimeout(1000, () => process.exit(1)).once("error", ({ code }) => process.exit(code === "ECONNREFUSED" ? 0 : 1));`;
  return (await lab.host(from).run(process.execPath, ["-e", script, address])).code === 0;
}

async function assertNoLeak(lab: Lab): Promise<void> {
  const { stdout } = await lab.host("core").run("nft", ["list", "counter", "inet", "lab_core", "leaks"]);
  assert.equal(parseLeaks(stdout), 0);
}
