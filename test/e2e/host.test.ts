import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import {
  formatPrefix,
  type HostView,
  type Ip,
  type LinkPlan,
  type Prefix,
  parseIp,
  parsePrefix,
} from "../../packages/core/src/ports/index.ts";
import type { HostAnswer, HostRequest } from "./host-driver.ts";

/** Milliseconds until something that must happen is missed. */
const DEADLINE = 10_000;
const DRIVER = join(import.meta.dirname, "host-driver.ts");

const ip = (text: string): Ip => parseIp(text) ?? assert.fail(text);
const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);

function plan(change: Partial<LinkPlan> = {}): LinkPlan {
  return {
    device: "mesh0",
    mtu: 1420,
    addresses: [ip("10.77.2.1"), ip("fd00:77::1")],
    routes: [prefix("10.77.0.0/16"), prefix("fd00:77::/48")],
    ...change,
  };
}

/** The host side, running in a process inside a network namespace. */
class Driver {
  readonly process: ChildProcess;
  readonly changes: string[] = [];
  readonly #log: string;
  readonly #answers = new Map<number, (answer: HostAnswer) => void>();
  #onChange: () => void = () => {};
  #nextId = 0;

  constructor(namespace: string, log: string, wrapper: readonly string[]) {
    this.#log = log;
    const command = ["netns", "exec", namespace, ...wrapper, process.execPath, DRIVER, log];
    this.process = spawn("ip", command, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.process.on("message", (message: HostAnswer) => this.#received(message));
  }

  async call(request: HostRequest): Promise<HostAnswer> {
    const id = this.#nextId++;
    const answer = Promise.withResolvers<HostAnswer>();
    this.#answers.set(id, answer.resolve);
    this.process.send({ ...request, id });
    return await within(answer.promise, request.call);
  }

  async apply(wanted: LinkPlan): Promise<void> {
    assert.deepEqual(await this.call({ call: "apply", plan: wanted }), { type: "done", id: this.#nextId - 1 });
  }

  async observe(): Promise<string> {
    const answer = await this.call({ call: "observe", exceptDevice: "mesh0" });
    assert.ok(answer.type === "done" && answer.view !== undefined);
    return viewText(answer.view);
  }

  /** Number of commands of each plan that was applied, in order. */
  changeCounts(): number[] {
    return this.logged("tunnel device is as planned").map((line) => Number(line["changes"]));
  }

  logged(msg: string): Record<string, unknown>[] {
    const lines = readFileSync(this.#log, "utf8").trim().split("\n");
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => String(line["msg"]).includes(msg));
  }

  /** Waits for a report that holds the text. */
  async changed(text: string): Promise<void> {
    while (!this.changes.some((change) => change.includes(text))) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onChange = resolve;
      await within(promise, `a report of ${text}; so far ${JSON.stringify(this.changes)}`);
    }
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await exited;
  }

  #received(message: HostAnswer): void {
    if (message.type === "done" || message.type === "failed") this.#answers.get(message.id)?.(message);
    if (message.type !== "changed") return;
    this.changes.push(viewText(message.view));
    this.#onChange();
  }
}

function viewText(view: HostView): string {
  const addresses = view.addresses.map((address) => `${address.ip}/${address.prefixLength} ${address.device}`);
  return [...addresses, ...view.routes.map((route) => `${formatPrefix(route.prefix)} via ${route.device}`)].join(", ");
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const { promise: missed, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not within ${DEADLINE} ms: ${what}`)), DEADLINE);
  return await Promise.race([promise, missed]).finally(() => clearTimeout(timer));
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `not within ${DEADLINE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const reason = process.geteuid?.() === 0 ? false : "needs root: it makes network namespaces";

describe("host network", { skip: reason }, () => {
  let namespace: string;
  let directory: string;
  let drivers: Driver[];

  beforeEach(() => {
    namespace = `mesh-host-${randomBytes(4).toString("hex")}`;
    directory = mkdtempSync(join(tmpdir(), "mesh-host-"));
    drivers = [];
    run("ip", "netns", "add", namespace);
    // A home of its own: one end with addresses, the other without.
    inside("link set lo up", "link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up");
    inside("address add 192.0.2.2/24 dev eth0", "address add 2001:db8::2/64 dev eth0 nodad", "route add default via 192.0.2.1");
    // The engine makes the real one; to the host side they are alike.
    inside("tuntap add dev mesh0 mode tun");
  });

  afterEach(async () => {
    for (const driver of drivers) await driver.end();
    for (const pid of pidsInside()) process.kill(pid, "SIGKILL");
    run("ip", "netns", "delete", namespace);
    rmSync(directory, { recursive: true });
  });

  function run(command: string, ...args: readonly string[]): string {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  function inside(...commands: readonly string[]): string {
    return commands.map((command) => run("ip", "-n", namespace, ...command.split(" "))).join("");
  }

  /** All that `ip` says about addresses and routes, without what changes by itself. */
  function state(device?: string): string {
    const dev = device === undefined ? "" : ` dev ${device}`;
    const shown = inside(`-o address show${dev}`, `-4 route show table main${dev}`, `-6 route show table main${dev}`);
    return shown
      .replaceAll(/^\d+: /gm, "")
      .replaceAll(/\\ +valid_lft.*$/gm, "")
      .replaceAll(/ (linkdown|pref medium)/g, "")
      .replaceAll(/.*fe80::.*\n/g, "")
      .replaceAll(/ +/g, " ")
      .replaceAll(/ +$/gm, "")
      .trim();
  }

  function pidsInside(): number[] {
    return run("ip", "netns", "pids", namespace).split("\n").filter(Boolean).map(Number);
  }

  function monitors(): number[] {
    return pidsInside().filter((pid) => {
      const file = `/proc/${pid}/cmdline`;
      return existsSync(file) && readFileSync(file, "latin1").includes("\0monitor\0");
    });
  }

  async function start(...wrapper: readonly string[]): Promise<Driver> {
    const driver = new Driver(namespace, join(directory, `${drivers.length}.log`), wrapper);
    drivers.push(driver);
    await within(once(driver.process, "message"), "the driver's start");
    return driver;
  }

  test("dresses the device exactly as planned, and a second time changes nothing", async () => {
    const before = state();
    assert.equal(state("mesh0"), "");
    const driver = await start();
    await driver.apply(plan());
    const dressed = [
      "mesh0 inet 10.77.2.1/32 scope global noprefixroute mesh0",
      "mesh0 inet6 fd00:77::1/128 scope global nodad noprefixroute",
      "10.77.0.0/16 proto 109 scope link src 10.77.2.1",
      "fd00:77::/48 proto 109 src fd00:77::1 metric 1024",
    ].join("\n");
    assert.equal(state("mesh0"), dressed);
    assert.match(inside("link show dev mesh0"), /<[^>]*\bUP\b[^>]*> mtu 1420 /);
    await driver.apply(plan());
    assert.equal(state("mesh0"), dressed);
    assert.deepEqual(driver.changeCounts(), [6, 0]);
    assert.doesNotMatch(inside("address show dev mesh0"), /fe80::/, "no link-local address on a tunnel");

    await driver.apply(plan({ addresses: [], routes: [] }));
    assert.equal(state(), before, "an empty plan leaves the host as it was");
  });

  test("a new plan takes the old one away, also by another process, and nothing that others put there", async () => {
    const first = await start();
    await first.apply(plan());
    inside("address add 10.99.0.1/24 dev mesh0", "address add 10.99.1.1/32 dev mesh0", "route add 10.98.0.0/16 dev mesh0 proto static");
    inside("address add 198.51.100.1/32 dev eth1 noprefixroute", "route add 10.97.0.0/16 dev eth1 proto 109");
    const others = state("eth0") + state("eth1");
    await first.end();

    const second = await start();
    await second.apply(
      plan({ mtu: 1380, addresses: [ip("10.88.2.1"), ip("fd00:77::1")], routes: [prefix("10.88.0.0/16"), prefix("fd00:77::/48")] }),
    );
    assert.equal(
      state("mesh0"),
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
    assert.match(inside("link show dev mesh0"), / mtu 1380 /);
    assert.equal(state("eth0") + state("eth1"), others);
  });

  for (const taken of ["10.77.0.0/16", "fd00:77::/48"])
    test(`a prefix that the host routes elsewhere is refused and left there: ${taken}`, async () => {
      inside(`route add ${taken} dev eth1${taken.includes(":") ? " metric 1024" : ""}`);
      const before = state("eth1");
      const driver = await start();
      const answer = await driver.call({ call: "apply", plan: plan() });
      assert.ok(answer.type === "failed", JSON.stringify(answer));
      assert.equal(answer.code, "host/prefix-taken");
      assert.deepEqual(answer.details, { prefix: taken, by: "eth1" });
      assert.equal(state("eth1"), before);
    });

  test("a device that is not there is an error that names the command", async () => {
    const answer = await (await start()).call({ call: "apply", plan: plan({ device: "mesh9" }) });
    assert.ok(answer.type === "failed");
    assert.equal(answer.code, "host/command-failed");
    assert.match(answer.hint, /ip -[46] -details -json address show dev mesh9/);
  });

  test("observes the host without loopback and without the device", async () => {
    const driver = await start();
    await driver.apply(plan());
    assert.equal(
      await driver.observe(),
      "192.0.2.2/24 eth0, 2001:db8::2/64 eth0, 0.0.0.0/0 via eth0, 192.0.2.0/24 via eth0, 2001:db8::/64 via eth0",
    );
  });

  test("watch reports changes from outside, survives the end of its monitor, and leaves none behind", async () => {
    const driver = await start();
    await driver.apply(plan());
    await driver.observe();
    await driver.call({ call: "watch", exceptDevice: "mesh0" });
    await until("the monitor runs", () => monitors().length === 1);

    inside("address add 198.51.100.9/24 dev eth1");
    await driver.changed("198.51.100.9/24 eth1");
    inside("route add 203.0.113.0/24 via 192.0.2.1");
    await driver.changed("203.0.113.0/24 via eth0");
    assert.equal(driver.changes.length, 2, "one report a change");

    const [monitor = 0] = monitors();
    process.kill(monitor, "SIGKILL");
    await until("the monitor is gone", () => monitors().length === 0);
    inside("address del 198.51.100.9/24 dev eth1", "address add 198.51.100.10/24 dev eth1");
    await driver.changed("198.51.100.10/24 eth1");
    await until("another monitor runs", () => monitors().length === 1);

    await driver.call({ call: "stop" });
    await until("the monitor is gone", () => monitors().length === 0);
    driver.process.disconnect();
    await within(once(driver.process, "exit"), "nothing keeps the process alive");
  });

  test("while it watches, the device stays as planned; one that was set down comes up again", async () => {
    const driver = await start();
    await driver.apply(plan());
    await driver.observe();
    const dressed = state("mesh0");
    await driver.call({ call: "watch", exceptDevice: "mesh0" });
    await until("the monitor runs", () => monitors().length === 1);
    inside("route del 10.77.0.0/16 dev mesh0", "address del fd00:77::1/128 dev mesh0");
    await until("address and routes are back", () => state("mesh0") === dressed);

    inside("link set mesh0 down", "address add 198.51.100.9/24 dev eth1");
    await driver.changed("198.51.100.9/24 eth1");
    await until("it is up, with address and routes", () => state("mesh0") === dressed);
    assert.match(inside("link show dev mesh0"), /\bUP\b/);
    assert.deepEqual(driver.changes.length, 1, "what happens on our own device is not the host's news");
  });

  test("after SIGKILL of the agent no monitor is left", async () => {
    const driver = await start();
    await driver.call({ call: "watch", exceptDevice: "mesh0" });
    await until("the monitor runs", () => monitors().length === 1);
    await driver.end();
    await until("nothing is left", () => pidsInside().length === 0);
  });

  test("switches IPv6 on for its own device where new devices have it off", async () => {
    run("ip", "netns", "exec", namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
    inside("link del mesh0", "tuntap add dev mesh0 mode tun", "link add eth2 type veth peer name eth3");
    await (await start()).apply(plan());
    assert.match(state("mesh0"), /fd00:77::1\/128/);
    const off = run("ip", "netns", "exec", namespace, "sh", "-c", "cat /proc/sys/net/ipv6/conf/eth2/disable_ipv6");
    assert.equal(off.trim(), "1");
  });

  test("goes without IPv6 where it is off and /proc/sys is read-only, as in many containers", async () => {
    run("ip", "netns", "exec", namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/mesh0/disable_ipv6");
    const readOnly = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"';
    const driver = await start("unshare", "--mount", "sh", "-c", readOnly, "sh");
    await driver.apply(plan());
    await driver.apply(plan());
    assert.equal(
      state("mesh0"),
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
    run("chmod", "777", directory);
    const answer = await (await start(...user)).call({ call: "apply", plan: plan() });
    assert.ok(answer.type === "failed", JSON.stringify(answer));
    assert.equal(answer.code, "host/not-root");
    assert.deepEqual(answer.details, { action: "set up the tunnel device mesh0" });
    assert.equal(state("mesh0"), "");
  });

  test("CAP_NET_ADMIN is all it needs", async (t) => {
    const why = unprivileged();
    if (why !== false) return t.skip(why);
    run("chmod", "777", directory);
    const driver = await start(...user, "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin");
    await driver.apply(plan());
    assert.match(state("mesh0"), /10\.77\.0\.0\/16 proto 109[\s\S]*fd00:77::\/48 proto 109/);
  });
});

test("these tests leave no namespace", { skip: reason }, () => {
  const left = existsSync("/run/netns") ? readdirSync("/run/netns").filter((name) => name.startsWith("mesh-host-")) : [];
  assert.deepEqual(left, []);
});
