/** What the agent changes on a host is undone: by itself, by the next one after kill -9, and never more than that. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { IpChange } from "../../packages/agent/src/host/host-change.ts";
import { decodeJournal, encodeJournal, type JournalEntry } from "../../packages/agent/src/host/undo-journal.ts";
import { openStore } from "../../packages/agent/src/store/store.ts";
import { assertSame, hostRefusal, ip, plan, run, TestHost } from "./host-fixture.ts";

const MAC = "02:6d:65:73:68:01";

describe("what was changed on a host", { skip: hostRefusal }, () => {
  let host: TestHost;

  beforeEach(() => {
    host = new TestHost();
  });

  afterEach(async () => {
    await host.close();
  });

  async function journal(): Promise<readonly JournalEntry[]> {
    const bytes = await (await openStore(join(host.directory, "state"))).read("host");
    return bytes === undefined ? [] : decodeJournal(bytes);
  }

  async function kinds(): Promise<string> {
    return (await journal()).map(({ change }) => change.kind).join(" ");
  }

  function index(device: string): number {
    return Number(/^(\d+):/.exec(host.ip(`-o link show dev ${device}`))?.[1]);
  }

  test("a tunnel: journaled before, undone on a clean exit, the host equal to before; a second undo has nothing to do", async () => {
    host.ip("link set dev mesh0 mtu 1420 addrgenmode none", "link set dev mesh0 up");
    const before = host.everything();
    const driver = await host.start();
    await driver.apply(plan());
    assert.equal(await kinds(), "nft-table address address route route");
    assert.throws(() => assertSame(host.everything(), before));
    await driver.undo();
    assertSame(host.everything(), before);
    assert.deepEqual(await journal(), []);
    await driver.undo();
    assertSame(host.everything(), before);
  });

  test("a tunnel of an agent that was killed: the next one undoes it, wherever the plan had got to", async () => {
    host.sysctl("net/ipv6/conf/mesh0/disable_ipv6", "1");
    host.ip("link set dev mesh0 mtu 1420 addrgenmode none", "link set dev mesh0 up");
    const before = host.everything();
    const first = await host.start();
    await first.apply(plan());
    await first.apply(plan({ addresses: [ip("10.77.9.1"), ip("fd00:77::1")] }));
    await first.end();
    assert.equal(await kinds(), "sysctl nft-table address route address route");
    const second = await host.start();
    await second.undo();
    assertSame(host.everything(), before);
    assert.deepEqual(await journal(), []);
  });

  test("what was undone is not restored, even while the watch goes on", async () => {
    host.ip("link set dev mesh0 mtu 1420 addrgenmode none", "link set dev mesh0 up");
    const before = host.everything();
    const driver = await host.start();
    await driver.applyAndWatch(host);
    await driver.undo();
    host.ip("address add 203.0.113.9/24 dev eth1");
    await driver.changed("203.0.113.9/24 eth1");
    host.ip("address del 203.0.113.9/24 dev eth1");
    assertSame(host.everything(), before);
    assert.deepEqual(await journal(), []);
  });

  test("a tunnel that died with its agent leaves a table and a journal; both go, and nothing else is asked", async () => {
    const first = await host.start();
    host.ip("link del mesh0");
    const before = host.everything();
    host.ip("tuntap add dev mesh0 mode tun");
    await first.apply(plan());
    await first.end();
    host.ip("link del mesh0");
    assert.match(host.run("nft", "list", "ruleset"), /mesh_mesh0/);
    await (await host.start()).undo();
    assertSame(host.everything(), before);
  });

  test("another device that has the tunnel's name by now is not touched", async () => {
    const first = await host.start();
    await first.apply(plan());
    await first.end();
    host.ip("link del mesh0", "tuntap add dev mesh0 mode tun", "address add 10.77.2.1/32 dev mesh0 noprefixroute", "link set mesh0 up");
    host.ip("route add 10.77.0.0/16 dev mesh0 proto 109");
    const before = host.state();
    await (await host.start()).undo();
    assert.equal(host.state(), before);
    assert.deepEqual(await journal(), []);
  });

  const changesOf = (eth1: number): readonly IpChange[] => [
    { kind: "link", device: "meshbr", type: "bridge", mac: MAC },
    { kind: "address", device: "eth1", index: eth1, address: "10.77.5.1/24" },
    { kind: "route", device: "eth1", index: eth1, prefix: "10.78.0.0/16", table: 254 },
    { kind: "route", device: "eth1", index: eth1, prefix: "fd00:78::/48", table: 1109 },
    { kind: "rule", family: 4, priority: 5209, selector: "iif eth1", table: 1109 },
    { kind: "rule", family: 6, priority: 5209, selector: "from fd00:77::/48 fwmark 0x5", table: 1109 },
  ];

  for (const how of ["a clean exit", "kill -9"])
    test(`links, addresses, routes, rules and sysctls: ${how}`, async () => {
      const before = host.everything();
      const driver = await host.start();
      assert.deepEqual((await driver.must({ call: "make", changes: changesOf(index("eth1")) })).made, Array(6).fill(true));
      await driver.must({ call: "sysctl", path: "net/ipv4/conf/eth1/rp_filter", value: "2" });
      assert.equal(host.sysctl("net/ipv4/conf/eth1/rp_filter"), "2");
      assert.equal(await kinds(), "link address route route rule rule sysctl");
      assert.match(host.ip("link show meshbr"), new RegExp(MAC));
      assert.match(host.ip("-4 rule show", "-6 rule show"), /5209:.*iif eth1 lookup 1109 proto 109[\s\S]*fwmark 0x5 lookup 1109 proto 109/);
      await driver.end();
      const other = await host.start();
      if (how === "kill -9")
        assert.deepEqual((await other.must({ call: "make", changes: changesOf(index("eth1")) })).made, Array(6).fill(true));
      await (how === "kill -9" ? await host.start() : other).undo();
      assertSame(host.everything(), before);
      assert.deepEqual(await journal(), []);
    });

  test("what was there before is no change of ours and stays", async () => {
    const eth1 = index("eth1");
    host.ip("address add 10.77.5.1/24 dev eth1", "rule add pref 5209 iif eth1 lookup 1109");
    host.sysctl("net/ipv4/conf/eth1/rp_filter", "2");
    const before = host.everything();
    const driver = await host.start();
    const [, address, , , rule] = changesOf(eth1);
    assert.ok(address !== undefined && rule !== undefined);
    assert.deepEqual((await driver.must({ call: "make", changes: [address, rule] })).made, [false, false]);
    await driver.must({ call: "sysctl", path: "net/ipv4/conf/eth1/rp_filter", value: "2" });
    assert.deepEqual(await journal(), []);
    await (await host.start()).undo();
    assertSame(host.everything(), before);
  });

  test("a link or a route of somebody else in the place is refused and left there", async () => {
    host.ip("link add meshbr type bridge", "route add 10.78.0.0/16 dev eth0");
    const before = host.everything();
    const driver = await host.start();
    const [link, , route] = changesOf(index("eth1"));
    assert.ok(link !== undefined && route !== undefined);
    for (const change of [link, route]) {
      const { code, message } = await driver.fails({ call: "make", changes: [change] });
      assert.equal(code, "host/command-failed");
      assert.match(message, /(device meshbr|route 10\.78\.0\.0\/16) is not ours/);
    }
    await driver.undo();
    assertSame(host.everything(), before);
  });

  test("a link is known by its mark: ours goes by its new name, another one with the old name stays", async () => {
    const [link] = changesOf(0);
    assert.ok(link !== undefined);
    await (await host.start()).must({ call: "make", changes: [link] });
    host.ip("link set dev meshbr name elsewhere");
    host.ip("link add meshbr type bridge");
    await (await host.start()).undo();
    assert.match(host.ip("-o link show"), /meshbr/);
    assert.doesNotMatch(host.ip("-o link show"), /elsewhere/);
    host.ip("link del meshbr");

    await (await host.start()).must({ call: "make", changes: [link] });
    host.ip("link del meshbr");
    host.ip("link add meshbr type bridge");
    const third = await host.start();
    await third.undo();
    assert.match(host.ip("-o link show"), /meshbr/);
    assert.equal(third.logged("the device meshbr is not ours").length, 1);
  });

  test("a sysctl that somebody changed meanwhile is left alone, and it is said; of two changes of ours the first one's before counts", async () => {
    const path = "net/ipv4/conf/eth1/rp_filter";
    const before = host.sysctl(path);
    const first = await host.start();
    await first.must({ call: "sysctl", path, value: "1" });
    await first.must({ call: "sysctl", path, value: "2" });
    await (await host.start()).undo();
    assert.equal(host.sysctl(path), before);

    const third = await host.start();
    await third.must({ call: "sysctl", path, value: "2" });
    host.sysctl(path, "1");
    const fourth = await host.start();
    await fourth.undo();
    assert.equal(host.sysctl(path), "1");
    assert.equal(fourth.logged(`somebody set ${path} to 1 meanwhile`).length, 1);
    assert.deepEqual(await journal(), []);
  });

  test("what cannot be undone stays in the journal, and the error names it with the command to type", async () => {
    const path = "net/ipv4/conf/eth1/rp_filter";
    const before = host.everything();
    const driver = await host.start();
    await driver.must({ call: "sysctl", path, value: "2" });
    await driver.must({ call: "make", changes: changesOf(index("eth1")).slice(0, 1) });
    await driver.end();
    const readOnly = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"';
    const second = await host.start("unshare", "--mount", "sh", "-c", readOnly, "sh");
    const failure = await second.fails({ call: "undo" });
    const command = "sysctl -w net.ipv4.conf.eth1.rp_filter=0";
    assert.equal(failure.code, "host/command-failed");
    assert.deepEqual(failure.details, { command, output: `${command}: EROFS` });
    assert.match(failure.message, /^One change of this host could not be undone: sysctl -w net\.ipv4\.conf\.eth1\.rp_filter=0: EROFS\.$/);
    assert.match(failure.hint, /By hand, as root: sysctl -w/);
    assert.equal(await kinds(), "sysctl", "the bridge is undone");
    host.run("sh", "-c", command);
    await (await host.start()).undo();
    assertSame(host.everything(), before);
  });

  test("after a reboot nothing of it can exist: the journal is emptied without a look at a host that only looks alike", async () => {
    const driver = await host.start();
    await driver.apply(plan());
    await driver.end();
    const store = await openStore(join(host.directory, "state"));
    await store.write("host", encodeJournal((await journal()).map((entry) => ({ ...entry, boot: "another" }))));
    const before = host.everything();
    await (await host.start()).undo();
    assertSame(host.everything(), before);
    assert.deepEqual(await journal(), []);
  });

  test("what was changed in another network namespace is not touched from here, and not forgotten while that lives", async () => {
    const driver = await host.start();
    await driver.apply(plan());
    await driver.end();
    const entries = await journal();
    const other = new TestHost();
    try {
      const store = await openStore(join(other.directory, "state"));
      await store.write("host", encodeJournal(entries));
      const otherState = other.everything();
      const failure = await (await other.start()).fails({ call: "undo" });
      assert.equal(failure.code, "host/command-failed");
      assert.match(JSON.stringify(failure.details), /nft delete table inet mesh_mesh0: it is in another network namespace, net:\[\d+\]/);
      assertSame(other.everything(), otherState);
      await store.write("host", encodeJournal(entries.map((entry) => ({ ...entry, netns: "net:[1]" }))));
      await (await other.start()).undo();
      assert.deepEqual(decodeJournal((await store.read("host")) ?? new Uint8Array()), []);
    } finally {
      await other.close();
    }
  });

  for (const [what, write] of [
    ["a damaged journal", (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 70))],
    ["a journal of a later version", undefined],
  ] as const)
    test(`${what} is said, stops nothing, and the table is adopted by its mark`, async () => {
      const first = await host.start();
      await first.apply(plan());
      await first.end();
      const store = await openStore(join(host.directory, "state"));
      if (write === undefined) await store.write("host", Buffer.from('{"version":9,"things":["mesh_mesh0"]}'));
      else write(join(host.directory, "state", "host.state"));

      const second = await host.start();
      const failure = await second.fails({ call: "undo" });
      assert.equal(failure.code, "state/damaged");
      assert.match(failure.hint, /undo (it )?by hand/);
      const unreadable = readFileSync(join(host.directory, "state", "host.state"));
      assert.equal(second.logged("cannot be read; it is not undone by itself").length, 1);

      await second.apply(plan());
      assert.deepEqual(readFileSync(join(host.directory, "state", "host.state.damaged")), unreadable);
      assert.deepEqual((await second.must({ call: "guard" })).guard, { guarded: true });
      await second.undo();
      assert.equal(host.run("nft", "list", "ruleset"), "");
    });

  test("nothing is changed when the journal cannot be written", async () => {
    const state = join(host.directory, "state");
    mkdirSync(state, { mode: 0o700 });
    // Before the driver: it has a view of its own of what is mounted.
    run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", state);
    try {
      const driver = await host.start();
      writeFileSync(join(state, "filler"), new Uint8Array(60 * 1024));
      assert.throws(() => writeFileSync(join(state, "rest"), new Uint8Array(64 * 1024)), { code: "ENOSPC" });
      const before = host.everything();
      const failure = await driver.fails({ call: "apply", plan: plan() });
      assert.equal(failure.code, "state/unwritable");
      assert.match(failure.message, /host\.state cannot be written: the disk is full/);
      assertSame(host.everything(), before);
      rmSync(join(state, "rest"));
      rmSync(join(state, "filler"));
      await driver.apply(plan());
      await driver.undo();
      await driver.end();
    } finally {
      run("umount", state);
    }
  });
});
