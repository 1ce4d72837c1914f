/** Routes, addresses and links that change under a running agent: ours come back, others' are never touched, and nobody fights. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Driver, hostRefusal, TestHost, until } from "./host-fixture.ts";

const RESTORED = "something changed the tunnel device or its guard";
const KEEPS_CHANGING = "something keeps changing the tunnel device or its guard";

describe("what changes under us", { skip: hostRefusal }, () => {
  let host: TestHost;
  let driver: Driver;

  beforeEach(async () => {
    host = new TestHost();
    driver = await host.start();
    await driver.applyAndWatch(host);
  });

  afterEach(async () => {
    await host.close();
  });

  /** What the tunnel looks like, link and all. */
  function tunnel(): string {
    return `${/<.*> mtu \d+/.exec(host.ip("-o link show dev mesh0"))?.[0]}\n${host.state("mesh0")}`;
  }

  /** A change elsewhere that is reported: whatever was to be done before has been done. */
  async function afterAnotherLook(): Promise<void> {
    host.ip("address add 203.0.113.9/24 dev eth1");
    await driver.changed("203.0.113.9/24 eth1");
  }

  const disturbances: Readonly<Record<string, readonly string[]>> = {
    "a route deleted": ["route del 10.77.0.0/16 dev mesh0"],
    "addresses flushed": ["address flush dev mesh0"],
    "link down": ["link set mesh0 down"],
    "MTU changed": ["link set mesh0 mtu 1300"],
    "MTU below IPv6's least, which takes IPv6 away": ["link set mesh0 mtu 1000"],
    "link renamed": ["link set dev mesh0 down", "link set dev mesh0 name elsewhere"],
    "link renamed while it is up": ["link set dev mesh0 name elsewhere"],
    "routes of all devices flushed": ["route flush table main", "-6 route flush table main"],
  };
  for (const [what, commands] of Object.entries(disturbances))
    test(`${what}: as planned again within 2 s, and it is said`, async (t) => {
      const wanted = tunnel();
      host.ip(...commands);
      const startedAt = performance.now();
      await until("it is as planned", () => host.ip("-o link show").includes("mesh0") && tunnel() === wanted);
      t.diagnostic(`after ${Math.round(performance.now() - startedAt)} ms`);
      assert.ok(performance.now() - startedAt < 2_000);
      await afterAnotherLook();
      const said = driver.logged(RESTORED);
      // A device that was down, or below IPv6's least, takes a second step where the kernel brings its own part late.
      assert.ok(said.length === 1 || said.length === 2, JSON.stringify(said.map(({ wrong }) => wrong)));
      assert.equal(tunnel(), wanted);
    });

  test("IPv6 switched off on the tunnel is switched on again", async () => {
    const wanted = tunnel();
    host.sysctl("net/ipv6/conf/mesh0/disable_ipv6", "1");
    await until("it is as planned", () => tunnel() === wanted);
  });

  test("a link that is deleted is said once, and nothing is tried: the engine ends the agent", async () => {
    host.ip("link del mesh0");
    await until("it is said", () => driver.logged("could not be restored: it is gone").length === 1);
    await afterAnotherLook();
    assert.equal(driver.logged("could not be restored").length, 1);
    assert.equal(driver.logged(RESTORED).length, 0);
  });

  test("another device that took the tunnel's name is not dressed, by a restore or by a plan", async () => {
    host.ip("link set dev mesh0 down", "link set dev mesh0 name elsewhere");
    host.ip("tuntap add dev mesh0 mode tun", "address add 10.99.0.1/24 dev mesh0");
    await until("one of both is said", () => driver.logged(RESTORED).length + driver.logged("another device took its name").length > 0);
    // Whoever was quicker: when our device has its name again, the foreign one could not be made.
    const names = host.ip("-o link show");
    if (!names.includes("elsewhere")) return;
    const foreign = host.state("mesh0");
    await afterAnotherLook();
    const failure = await driver.fails({ call: "apply", plan: { device: "mesh0", mtu: 1300, addresses: [], routes: [] } });
    assert.match(failure.message, /not the tunnel that this agent opened/);
    assert.equal(host.state("mesh0"), foreign);
    host.ip("link del mesh0");
    await until("it has its name again", () => host.ip("-o link show").includes("mesh0"));
  });

  test("a foreign route of the same prefix beside ours stays there, and ours too", async () => {
    const wanted = tunnel();
    host.ip("route add 10.77.0.0/16 dev eth1 metric 50", "-6 route add fd00:77::/48 dev eth1 metric 50");
    await driver.changed("10.77.0.0/16 via eth1");
    await driver.changed("fd00:77::/48 via eth1");
    assert.equal(tunnel(), wanted);
    assert.match(host.state("eth1"), /10\.77\.0\.0\/16 scope link metric 50[\s\S]*fd00:77::\/48 metric 50/);
    assert.equal(driver.logged(RESTORED).length, 0);
  });

  test("a foreign route in the place of ours is not taken back by force; when it goes, ours is there", async () => {
    const wanted = tunnel();
    host.ip("route replace 10.77.0.0/16 dev eth1", "-6 route del fd00:77::/48 dev mesh0");
    await until(
      "it is said",
      () => driver.logged("could not be restored: This host routes 10.77.0.0/16 elsewhere already: eth1").length === 1,
    );
    await afterAnotherLook();
    assert.match(host.state("mesh0"), /fd00:77::\/48 proto 109/, "what is not in dispute is restored");
    assert.match(host.state("eth1"), /10\.77\.0\.0\/16/);
    assert.equal(driver.logged("could not be restored").length, 1, "once for the same trouble");
    host.ip("route del 10.77.0.0/16 dev eth1");
    await until("ours is back", () => tunnel() === wanted);
  });

  test("a flush of the rules is nobody's business of ours: nothing is made, nothing loops", async () => {
    host.ip("rule flush");
    const rules = host.ip("rule show");
    await afterAnotherLook();
    assert.equal(host.ip("rule show"), rules);
    assert.equal(driver.logged(RESTORED).length, 0);
  });

  test("a daemon that removes all foreign routes every second for 10 s: ours are back within 1 s of each, and after the last", async (t) => {
    const wanted = tunnel();
    const times: number[] = [];
    for (let round = 0; round < 10; round++) {
      const startedAt = performance.now();
      host.ip("route flush proto 109", "-6 route flush proto 109");
      await until("ours are back", () => tunnel() === wanted);
      times.push(Math.round(performance.now() - startedAt));
      await sleep(Math.max(0, 1_000 - (performance.now() - startedAt)));
    }
    t.diagnostic(`back after ${times.join(", ")} ms`);
    assert.ok(Math.max(...times) < 1_000);
    assert.equal(tunnel(), wanted);
    assert.equal(driver.logged(KEEPS_CHANGING).length, 0);
  });

  test("a daemon that removes ours as soon as it is there is not fought: 20 times at once, then once a second, with a line that says so", async () => {
    const watcher = `ip monitor route | while read -r line; do case "$line" in Deleted*) ;; *"10.77.0.0/16 dev mesh0"*) ip route del 10.77.0.0/16 dev mesh0; esac; done`;
    const fight = host.spawn("sh", "-c", `sleep 0.2; ip route del 10.77.0.0/16 dev mesh0 & ${watcher}`);
    try {
      await until("it is said", () => driver.logged(KEEPS_CHANGING).length === 1);
      const before = driver.logged(RESTORED).length;
      assert.ok(before >= 20 && before <= 26, `${before} restores`);
      await sleep(3_000);
      const later = driver.logged(RESTORED).length - before;
      assert.ok(later >= 1 && later <= 4, `${later} restores in 3 s`);
      const [line] = driver.logged(KEEPS_CHANGING);
      assert.deepEqual(line?.["wrong"], ["route add 10.77.0.0/16 dev mesh0 proto 109 src 10.77.2.1"]);
      assert.ok(Array.isArray(line?.["running"]));
      assert.equal(driver.logged(KEEPS_CHANGING).length, 1);
    } finally {
      fight();
    }
    await until("ours is back", () => host.state("mesh0").includes("10.77.0.0/16 proto 109"));
  });
});
