/** The table of nftables against spoofed packets: what it drops, what it must not touch, and how it gets along with others. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { type Driver, hostRefusal, ip, plan, prefix, run, TestHost, until } from "./host-fixture.ts";

const TO_NODE = "to this node, not by the tunnel";
const FROM_MESH = "from the mesh, not by the tunnel";
const FROM_SELF = "from this node itself";

const refusal = hostRefusal !== false ? hostRefusal : findCommand("nft") === undefined && "needs nft";

describe("the guard", { skip: refusal }, () => {
  let host: TestHost;

  beforeEach(() => {
    host = new TestHost();
  });

  afterEach(async () => {
    await host.close();
  });

  /** Packets that the rule dropped, of both families. */
  function dropped(rule: string): number {
    const listing = host.run("nft", "list", "table", "inet", "mesh_mesh0");
    const counts = [...listing.matchAll(new RegExp(`counter packets (\\d+) [^\\n]*"mesh guard: ${rule}"`, "g"))];
    return counts.reduce((sum, [, packets]) => sum + Number(packets), 0);
  }

  function ours(): string {
    return host.run("nft", "list", "table", "inet", "mesh_mesh0").replaceAll(/packets \d+ bytes \d+/g, "");
  }

  /** Without our table. */
  function foreign(): string {
    return host.run("nft", "list", "ruleset").replace(/table inet mesh_mesh0 \{[\s\S]*?\n\}\n/, "");
  }

  /** Is one ping answered? */
  function answers(namespace: string, ...args: readonly string[]): boolean {
    return spawnSync("ip", ["netns", "exec", namespace, "ping", "-c", "1", "-W", "0.5", ...args]).status === 0;
  }

  async function isGuarded(driver: Driver): Promise<boolean> {
    return (await driver.must({ call: "guard" })).guard?.guarded === true;
  }

  test("drops what claims to be of the mesh and has not come by the tunnel, each way counted; without it, it comes through", async () => {
    const lan = host.neighbour();
    const driver = await host.start();
    await driver.apply(plan());
    run("ip", "-n", lan, "address", "add", "10.77.9.9/32", "dev", "lo");
    run("ip", "-n", lan, "address", "add", "fd00:77::9/128", "dev", "lo");
    const attacks: readonly (readonly [rule: string, ...args: string[]])[] = [
      [TO_NODE, "10.77.2.1"],
      [TO_NODE, "fd00:77::1"],
      [FROM_MESH, "-I", "10.77.9.9", "192.0.2.2"],
      [FROM_MESH, "-I", "fd00:77::9", "2001:db8::2"],
    ];
    for (const [rule, ...args] of attacks) {
      const before = dropped(rule);
      assert.ok(!answers(lan, ...args), args.join(" "));
      assert.equal(dropped(rule), before + 1, args.join(" "));
    }
    run("ip", "-n", lan, "route", "flush", "10.77.0.0/16");
    run("ip", "-n", lan, "-6", "route", "flush", "fd00:77::/48");
    run("ip", "-n", lan, "address", "add", "10.77.2.1/32", "dev", "lo");
    run("ip", "-n", lan, "address", "add", "fd00:77::1/128", "dev", "lo");
    for (const [source = "", target = ""] of [
      ["10.77.2.1", "192.0.2.2"],
      ["fd00:77::1", "2001:db8::2"],
    ]) {
      const before = dropped(FROM_SELF);
      assert.ok(!answers(lan, "-I", source, target));
      assert.equal(dropped(FROM_SELF), before + 1, source);
    }

    host.run("nft", "delete", "table", "inet", "mesh_mesh0");
    run("ip", "-n", lan, "address", "flush", "dev", "lo", "scope", "global");
    run("ip", "-n", lan, "route", "add", "10.77.0.0/16", "via", "192.0.2.2");
    assert.ok(answers(lan, "10.77.2.1"), "this is what the guard is for");
  });

  test("leaves everything else alone: the host itself, its LAN, what it forwards, a LAN inside the mesh's prefix", async () => {
    const lan = host.neighbour();
    await (await host.start()).apply(plan());
    for (const target of ["10.77.2.1", "fd00:77::1", "127.0.0.1", "192.0.2.2", "192.0.2.1", "2001:db8::1"])
      assert.ok(answers(host.namespace, target), `this host to ${target}`);
    for (const target of ["192.0.2.2", "2001:db8::2"]) assert.ok(answers(lan, target), `the LAN to ${target}`);

    // A person's own LAN, which the host knows by a more specific route, has always been there and goes on to work.
    host.ip("address add 10.77.200.1/24 dev eth0");
    run("ip", "-n", lan, "address", "add", "10.77.200.2/24", "dev", "eth1");
    assert.ok(answers(lan, "10.77.200.1"));
    assert.ok(answers(host.namespace, "10.77.200.2"));

    // Behind this host: it forwards for them, and what they send to the mesh is the engine's to judge.
    host.sysctl("net/ipv4/ip_forward", "1");
    host.ip("link add eth2 type veth peer name eth3", "link set eth2 up", "address add 198.51.100.1/24 dev eth2");
    const inner = `${host.namespace}-in`;
    run("ip", "netns", "add", inner);
    try {
      host.ip(`link set eth3 netns ${inner}`);
      for (const words of ["link set eth3 up", "address add 198.51.100.2/24 dev eth3", "route add default via 198.51.100.1"])
        run("ip", "-n", inner, ...words.split(" "));
      run("ip", "-n", lan, "route", "add", "198.51.100.0/24", "via", "192.0.2.2");
      assert.ok(answers(inner, "192.0.2.1"));
      assert.ok(answers(lan, "198.51.100.2"));
      assert.ok(!answers(inner, "10.77.3.1"), "nobody reads the tunnel here");
    } finally {
      run("ip", "netns", "delete", inner);
    }
    for (const rule of [TO_NODE, FROM_MESH, FROM_SELF]) assert.equal(dropped(rule), 0, rule);
  });

  test("leaves the host its own multicasts from a mesh address, which come back to it from the LAN's device", async () => {
    await (await host.start()).apply(plan());
    const script = `
      const { createSocket } = require("node:dgram");
      const receiver = createSocket("udp4"), sender = createSocket("udp4");
      receiver.on("message", (_, { address }) => { console.log(address); process.exit(0); });
      receiver.bind(5353, () => {
        receiver.addMembership("239.1.2.3", "192.0.2.2");
        sender.bind(0, "10.77.2.1", () => {
          sender.setMulticastInterface("192.0.2.2");
          sender.send("x", 5353, "239.1.2.3");
        });
      });
      setTimeout(() => process.exit(1), 3_000);`;
    assert.equal(host.run(process.execPath, "--eval", script).trim(), "10.77.2.1");
    assert.equal(dropped(FROM_SELF), 0);
  });

  test("a family that the mesh does not use here has no rules, and a table that a crash left drops nothing", async () => {
    const lan = host.neighbour();
    const driver = await host.start();
    await driver.apply(plan({ addresses: [ip("fd00:77::1")], routes: [prefix("fd00:77::/48")] }));
    assert.doesNotMatch(ours(), /ip (saddr|daddr)/);
    await driver.apply(plan());
    assert.match(ours(), /ip daddr 10\.77\.2\.1/);
    await driver.end();
    host.ip("link del mesh0");
    run("ip", "-n", lan, "address", "add", "10.77.9.9/32", "dev", "lo");
    host.ip("route add 10.77.9.9/32 via 192.0.2.1");
    assert.ok(answers(lan, "-I", "10.77.9.9", "192.0.2.2"));
    assert.equal(dropped(FROM_MESH), 0);
  });

  test("follows the plan as a whole, stays where nothing changed, and leaves with the last address", async () => {
    const driver = await host.start();
    await driver.apply(plan());
    assert.ok(await isGuarded(driver));
    const handles = host.run("nft", "-a", "list", "table", "inet", "mesh_mesh0");
    await driver.apply(plan({ mtu: 1400 }));
    assert.equal(host.run("nft", "-a", "list", "table", "inet", "mesh_mesh0"), handles, "nothing of it changed");
    await driver.apply(plan({ addresses: [ip("10.77.8.1"), ip("fd00:77::1")] }));
    assert.match(ours(), /10\.77\.8\.1/);
    assert.doesNotMatch(ours(), /10\.77\.2\.1/);
    await driver.apply(plan({ addresses: [], routes: [] }));
    assert.equal(host.run("nft", "list", "ruleset"), "");
    assert.ok(!(await isGuarded(driver)));
  });

  test("where nft is missing or nothing is permitted: one line, a reason to show, and the mesh works on", async () => {
    const bin = join(host.directory, "bin");
    mkdirSync(bin);
    symlinkSync("/bin/false", join(bin, "nft"));
    // Everything else is found; `nft` is there, too, and fails.
    const driver = await host.start("env", `PATH=${bin}:${process.env["PATH"]}`);
    await driver.apply(plan());
    await driver.apply(plan({ mtu: 1300 }));
    assert.match(host.state("mesh0"), /10\.77\.0\.0\/16 proto 109/);
    assert.deepEqual((await driver.must({ call: "guard" })).guard, { guarded: false, reason: "exit code 1" });
    assert.equal(driver.logged("no guard against spoofed packets").length, 1);
    await driver.undo();
  });

  test("another program's table of that name is not touched, and neither is it undone", async () => {
    host.nft("table inet mesh_mesh0 { chain mine { type filter hook input priority 0; counter; }; }");
    const before = host.run("nft", "list", "ruleset");
    const driver = await host.start();
    await driver.apply(plan());
    const { guard } = await driver.must({ call: "guard" });
    assert.deepEqual(guard, { guarded: false, reason: "another program has a table named mesh_mesh0" });
    await driver.undo();
    assert.equal(host.run("nft", "list", "ruleset"), before);
  });

  test("the undo of one agent leaves a guard alone that another one, whose device has the name now, has made", async () => {
    const driver = await host.start();
    await driver.apply(plan());
    const other = host.run("nft", "list", "table", "inet", "mesh_mesh0").replaceAll(/of device \d+/g, "of device 9999");
    host.nft(`delete table inet mesh_mesh0\n${other}`);
    const before = ours();
    await driver.undo();
    assert.equal(ours(), before);
    const next = await host.start();
    await next.apply(plan());
    assert.doesNotMatch(ours(), /9999/, "a guard that is left over is replaced");
    await next.undo();
    assert.doesNotMatch(host.run("nft", "list", "ruleset"), /mesh_mesh0/);
  });

  const FOREIGN = `
    table inet firewalld { chain pre { type filter hook prerouting priority raw; policy accept; ct state invalid drop; }
                           chain in { type filter hook input priority 0; policy accept; tcp dport 22 accept; }; }
    table ip nat { chain post { type nat hook postrouting priority 100; oifname "eth0" masquerade; }; }
    table inet mesh_other { chain guard { type filter hook prerouting priority -300; policy accept; iifname "x" accept comment "mesh guard of device 999"; }; }`;

  test("foreign tables on the same hook, another network's guard among them, are what they were: before, during, after", async () => {
    host.nft(FOREIGN);
    const before = host.run("nft", "list", "ruleset");
    const driver = await host.start();
    await driver.apply(plan());
    await driver.apply(plan({ addresses: [ip("10.77.8.1")] }));
    assert.equal(foreign(), before);
    await driver.end();
    await (await host.start()).undo();
    assert.equal(host.run("nft", "list", "ruleset"), before);
  });

  const iptables = findCommand("iptables-nft");
  test("rules made by iptables-nft are what they were", { skip: iptables === undefined && "needs iptables-nft" }, async () => {
    assert.ok(iptables !== undefined);
    host.run(iptables, "-t", "raw", "-A", "PREROUTING", "-s", "203.0.113.7", "-j", "DROP");
    host.run(iptables, "-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT");
    const rules = (): string => host.run(iptables, "-t", "raw", "-S") + host.run(iptables, "-S");
    const before = rules();
    const driver = await host.start();
    await driver.applyAndWatch(host);
    assert.equal(rules(), before);
    host.run(iptables, "-F");
    host.run(iptables, "-t", "raw", "-F");
    assert.match(ours(), /mesh guard/);
    await driver.undo();
    assert.doesNotMatch(rules(), /mesh/);
  });

  const disturbances: Readonly<Record<string, (table: string) => void>> = {
    "flush ruleset": () => host.nft("flush ruleset"),
    "a reload of nftables.service": () => host.nft(`flush ruleset\n${FOREIGN}`),
    "delete of our table": () => host.nft("delete table inet mesh_mesh0"),
  };
  for (const [what, disturb] of Object.entries(disturbances))
    test(`${what}: ours is back within 2 s, theirs is as they made it`, async (t) => {
      host.nft(FOREIGN);
      const driver = await host.start();
      await driver.applyAndWatch(host);
      const wanted = ours();
      disturb("mesh_mesh0");
      const startedAt = performance.now();
      const theirs = foreign();
      await until("the guard is back", () => host.run("nft", "list", "tables").includes("mesh_mesh0") && ours() === wanted);
      t.diagnostic(`back after ${Math.round(performance.now() - startedAt)} ms`);
      assert.ok(performance.now() - startedAt < 2_000);
      assert.equal(foreign(), theirs);
      await until("it is said", () => driver.logged("something changed the tunnel device or its guard").length === 1);
      assert.ok(await isGuarded(driver));
    });

  test("our chain emptied, or a rule put into it, is found at the next look; a firewall's reload of its own tables disturbs nobody", async () => {
    host.nft(FOREIGN);
    const driver = await host.start();
    await driver.applyAndWatch(host);
    const wanted = ours();
    for (const script of ["flush table inet mesh_mesh0", "insert rule inet mesh_mesh0 guard accept"]) {
      host.nft(script);
      assert.notEqual(ours(), wanted);
      host.ip("address add 198.51.100.9/24 dev eth1", "address del 198.51.100.9/24 dev eth1");
      await until(`${script} is mended`, () => ours() === wanted);
    }
    await until("both are said", () => driver.logged("something changed").length === 2);
    const handles = host.run("nft", "-a", "list", "table", "inet", "mesh_mesh0");
    host.nft("delete table inet firewalld\ntable inet firewalld { chain in { type filter hook input priority 0; tcp dport 80 accept; }; }");
    host.ip("address add 203.0.113.9/24 dev eth1");
    await driver.changed("203.0.113.9/24 eth1");
    assert.equal(host.run("nft", "-a", "list", "table", "inet", "mesh_mesh0"), handles);
    assert.equal(driver.logged("something changed").length, 2);
  });
});
