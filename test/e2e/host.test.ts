import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, test } from "node:test";
import { DRIVER, hostRefusal, ip, NAMESPACE_PREFIX, plan, prefix, run, TestHost, until, within } from "./host-fixture.ts";

describe("host network", { skip: hostRefusal }, () => {
  let host: TestHost;

  beforeEach(() => {
    host = new TestHost();
  });

  afterEach(async () => {
    await host.close();
  });

  test("dresses the device exactly as planned, and a second time changes nothing", async () => {
    const before = host.state();
    assert.equal(host.state("mesh0"), "");
    const driver = await host.start();
    await driver.apply(plan());
    const dressed = [
      "mesh0 inet 10.77.2.1/32 scope global noprefixroute mesh0",
      "mesh0 inet6 fd00:77::1/128 scope global nodad noprefixroute",
      "10.77.0.0/16 proto 109 scope link src 10.77.2.1",
      "fd00:77::/48 proto 109 src fd00:77::1 metric 1024",
    ].join("\n");
    assert.equal(host.state("mesh0"), dressed);
    assert.match(host.ip("link show dev mesh0"), /<[^>]*\bUP\b[^>]*> mtu 1420 /);
    await driver.apply(plan());
    assert.equal(host.state("mesh0"), dressed);
    assert.deepEqual(driver.changeCounts(), [6, 0]);
    assert.doesNotMatch(host.ip("address show dev mesh0"), /fe80::/, "no link-local address on a tunnel");

    await driver.apply(plan({ addresses: [], routes: [] }));
    assert.equal(host.state(), before, "an empty plan leaves the host as it was");
  });

  test("a new plan takes the old one away, also by another process, and nothing that others put there", async () => {
    const first = await host.start();
    await first.apply(plan());
    host.ip("address add 10.99.0.1/24 dev mesh0", "address add 10.99.1.1/32 dev mesh0", "route add 10.98.0.0/16 dev mesh0 proto static");
    host.ip("address add 198.51.100.1/32 dev eth1 noprefixroute", "route add 10.97.0.0/16 dev eth1 proto 109");
    const others = host.state("eth0") + host.state("eth1");
    await first.end();

    const second = await host.start();
    await second.apply(
      plan({ mtu: 1380, addresses: [ip("10.88.2.1"), ip("fd00:77::1")], routes: [prefix("10.88.0.0/16"), prefix("fd00:77::/48")] }),
    );
    assert.equal(
      host.state("mesh0"),
      [
        "mesh0 inet 10.99.0.1/24 scope global mesh0",
        "mesh0 inet 10.99.1.1/32 scope global mesh0",
        "mesh0 inet 10.88.2.1/32 scope global noprefixroute mesh0",
        "mesh0 inet6 fd00:77::1/128 scope global nodad noprefixroute",
        "10.88.0.0/16 proto 109 scope link src 10.88.2.1",
        "10.98.0.0/16 proto static scope link",
        "10.99.0.0/24 proto kernel scope link src 10.99.0.1",
        "fd00:77::/48 proto 109 src fd00:77::1 metric 1024",
      ].join("\n"),
    );
    assert.match(host.ip("link show dev mesh0"), / mtu 1380 /);
    assert.equal(host.state("eth0") + host.state("eth1"), others);
  });

  for (const taken of ["10.77.0.0/16", "fd00:77::/48"])
    test(`a prefix that the host routes elsewhere is refused and left there: ${taken}`, async () => {
      host.ip(`route add ${taken} dev eth1${taken.includes(":") ? " metric 1024" : ""}`);
      const before = host.state("eth1");
      const driver = await host.start();
      const answer = await driver.call({ call: "apply", plan: plan() });
      assert.ok(answer.type === "failed", JSON.stringify(answer));
      assert.equal(answer.code, "host/prefix-taken");
      assert.deepEqual(answer.details, { prefix: taken, by: "eth1" });
      assert.equal(host.state("eth1"), before);
    });

  test("a device that is not there is an error that names the command", async () => {
    const answer = await (await host.start()).call({ call: "apply", plan: plan({ device: "mesh9" }) });
    assert.ok(answer.type === "failed");
    assert.equal(answer.code, "host/command-failed");
    assert.match(answer.hint, /ip -[46] -details -json address show dev mesh9/);
  });

  test("observes the host without loopback and without the device", async () => {
    const driver = await host.start();
    await driver.apply(plan());
    assert.equal(
      await driver.observe(),
      "192.0.2.2/24 eth0, 2001:db8::2/64 eth0, 0.0.0.0/0 via eth0, 192.0.2.0/24 via eth0, 2001:db8::/64 via eth0",
    );
  });

  test("watch reports changes from outside, survives the end of its monitor, and leaves none behind", async () => {
    const driver = await host.start();
    await driver.apply(plan());
    await driver.observe();
    await driver.call({ call: "watch", exceptDevice: "mesh0" });
    await until("the monitor runs", () => host.monitors("ip").length === 1);

    host.ip("address add 198.51.100.9/24 dev eth1");
    await driver.changed("198.51.100.9/24 eth1");
    host.ip("route add 203.0.113.0/24 via 192.0.2.1");
    await driver.changed("203.0.113.0/24 via eth0");
    assert.equal(driver.changes.length, 2, "one report a change");

    const [monitor = 0] = host.monitors("ip");
    process.kill(monitor, "SIGKILL");
    await until("the monitor is gone", () => host.monitors("ip").length === 0);
    host.ip("address del 198.51.100.9/24 dev eth1", "address add 198.51.100.10/24 dev eth1");
    await driver.changed("198.51.100.10/24 eth1");
    await until("another monitor runs", () => host.monitors("ip").length === 1);

    await driver.call({ call: "stop" });
    await until("the monitor is gone", () => host.monitors("ip").length === 0);
    driver.process.disconnect();
    await within(once(driver.process, "exit"), "nothing keeps the process alive");
  });

  test("while it watches, the device stays as planned; one that was set down comes up again", async () => {
    const driver = await host.start();
    await driver.apply(plan());
    await driver.observe();
    const dressed = host.state("mesh0");
    await driver.call({ call: "watch", exceptDevice: "mesh0" });
    await until("the monitor runs", () => host.monitors("ip").length === 1);
    host.ip("route del 10.77.0.0/16 dev mesh0", "address del fd00:77::1/128 dev mesh0");
    await until("address and routes are back", () => host.state("mesh0") === dressed);

    host.ip("link set mesh0 down", "address add 198.51.100.9/24 dev eth1");
    await driver.changed("198.51.100.9/24 eth1");
    await until("it is up, with address and routes", () => host.state("mesh0") === dressed);
    assert.match(host.ip("link show dev mesh0"), /\bUP\b/);
    assert.deepEqual(driver.changes.length, 1, "what happens on our own device is not the host's news");
  });

  test("after SIGKILL of the agent no monitor is left", async () => {
    const driver = await host.start();
    await driver.call({ call: "watch", exceptDevice: "mesh0" });
    await until("the monitor runs", () => host.monitors("ip").length === 1);
    await driver.end();
    await until("nothing is left", () => host.pids().length === 0);
  });

  test("switches IPv6 on for its own device where new devices have it off", async () => {
    host.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    host.ip("link del mesh0", "tuntap add dev mesh0 mode tun", "link add eth2 type veth peer name eth3");
    await (await host.start()).apply(plan());
    assert.match(host.state("mesh0"), /fd00:77::1\/128/);
    assert.equal(host.sysctl("net/ipv6/conf/eth2/disable_ipv6"), "1");
  });

  test("goes without IPv6 where it is off and /proc/sys is read-only, as in many containers", async () => {
    host.sysctl("net/ipv6/conf/mesh0/disable_ipv6", "1");
    const readOnly = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"';
    const driver = await host.start("unshare", "--mount", "sh", "-c", readOnly, "sh");
    await driver.apply(plan());
    await driver.apply(plan());
    assert.equal(
      host.state("mesh0"),
      "mesh0 inet 10.77.2.1/32 scope global noprefixroute mesh0\n10.77.0.0/16 proto 109 scope link src 10.77.2.1",
    );
    assert.match(String(driver.logged("IPv4 only")[0]?.["reason"]), /mesh0\/disable_ipv6: EROFS/);
  });

  const user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const unprivileged = (): string | false => {
    try {
      run("setpriv", ...user.slice(1), process.execPath, "--eval", `require("node:fs").accessSync(${JSON.stringify(DRIVER)})`);
      return false;
    } catch {
      return "needs setpriv and a checkout that user 65534 can read";
    }
  };

  test("without the right to change links it says so", async (t) => {
    const why = unprivileged();
    if (why !== false) return t.skip(why);
    run("chmod", "777", host.directory);
    const answer = await (await host.start(...user)).call({ call: "apply", plan: plan() });
    assert.ok(answer.type === "failed", JSON.stringify(answer));
    assert.equal(answer.code, "host/not-root");
    assert.deepEqual(answer.details, { action: "set up the tunnel device mesh0" });
    assert.equal(host.state("mesh0"), "");
  });

  test("CAP_NET_ADMIN is all it needs", async (t) => {
    const why = unprivileged();
    if (why !== false) return t.skip(why);
    run("chmod", "777", host.directory);
    const driver = await host.start(...user, "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin");
    await driver.apply(plan());
    assert.match(host.state("mesh0"), /10\.77\.0\.0\/16 proto 109[\s\S]*fd00:77::\/48 proto 109/);
  });
});

test("these tests leave no namespace", { skip: hostRefusal }, () => {
  const left = existsSync("/run/netns") ? readdirSync("/run/netns").filter((name) => name.startsWith(NAMESPACE_PREFIX)) : [];
  assert.deepEqual(left, []);
});
