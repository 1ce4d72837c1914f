import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  formatPrefix,
  type HostView,
  type Ip,
  type LinkPlan,
  type Prefix,
  parseIp,
  parsePrefix,
} from "../../packages/core/src/ports/index.ts";
import type { HostAnswer, HostRequest, HostResult } from "./host-driver.ts";

/** Milliseconds until something that must happen is missed. */
const DEADLINE = 10_000;
export const DRIVER: string = join(import.meta.dirname, "host-driver.ts");
export const NAMESPACE_PREFIX = "mesh-host-";

/** Lines of {@link everythingIn} that come and go by themselves: duplicate address detection, groups of multicast, counters. */
const KERNELS_OWN = /fe80:|ff00:|conntrack_count|random|fastopen_key|^$/;

/** Fails with the lines that differ. */
export function assertSame(now: readonly string[], before: readonly string[]): void {
  const left = now.filter((line) => !before.includes(line)).map((line) => `+ ${line}`);
  const gone = before.filter((line) => !now.includes(line)).map((line) => `- ${line}`);
  assert.deepEqual([...left, ...gone], []);
}

/** Why these tests cannot run; false when they can. */
export const hostRefusal: string | false = process.geteuid?.() === 0 ? false : "needs root: it makes network namespaces";

export const ip = (text: string): Ip => parseIp(text) ?? assert.fail(text);
export const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);

export function plan(change: Partial<LinkPlan> = {}): LinkPlan {
  return {
    device: "mesh0",
    mtu: 1420,
    addresses: [ip("10.77.2.1"), ip("fd00:77::1")],
    routes: [prefix("10.77.0.0/16"), prefix("fd00:77::/48")],
    ...change,
  };
}

/** A machine of its own: a network namespace with two ends of a cable, one with addresses, and a tunnel device. */
export class TestHost {
  readonly namespace: string = `${NAMESPACE_PREFIX}${randomBytes(4).toString("hex")}`;
  readonly directory: string = mkdtempSync(join(tmpdir(), NAMESPACE_PREFIX));
  readonly #drivers: Driver[] = [];
  readonly #namespaces: string[] = [];

  constructor() {
    this.#addNamespace(this.namespace);
    this.ip("link set lo up", "link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up");
    this.ip("address add 192.0.2.2/24 dev eth0", "address add 2001:db8::2/64 dev eth0 nodad", "route add default via 192.0.2.1");
    // The engine makes the real one; to the host side they are alike.
    this.ip("tuntap add dev mesh0 mode tun");
  }

  async close(): Promise<void> {
    for (const driver of this.#drivers) await driver.end();
    for (const namespace of this.#namespaces) {
      for (const pid of pidsIn(namespace)) process.kill(pid, "SIGKILL");
      run("ip", "netns", "delete", namespace);
    }
    rmSync(this.directory, { recursive: true });
  }

  /** Moves eth1 to another machine: 192.0.2.1/24 and 2001:db8::1/64, with routes to the mesh through this one. */
  neighbour(): string {
    const namespace = `${this.namespace}-lan`;
    this.#addNamespace(namespace);
    this.ip(`link set eth1 netns ${namespace}`);
    const commands = [
      "link set lo up",
      "link set eth1 up",
      "address add 192.0.2.1/24 dev eth1",
      "address add 2001:db8::1/64 dev eth1 nodad",
      "route add 10.77.0.0/16 via 192.0.2.2",
      "-6 route add fd00:77::/48 via 2001:db8::2",
    ];
    for (const command of commands) run("ip", "-n", namespace, ...command.split(" "));
    return namespace;
  }

  /** Runs `ip` with each of the words. */
  ip(...commands: readonly string[]): string {
    return commands.map((command) => run("ip", "-n", this.namespace, ...command.split(" "))).join("");
  }

  run(command: string, ...args: readonly string[]): string {
    return run("ip", "netns", "exec", this.namespace, command, ...args);
  }

  /** Returns what ends it, with whatever it started. */
  spawn(command: string, ...args: readonly string[]): () => void {
    const child = spawn("ip", ["netns", "exec", this.namespace, command, ...args], { stdio: "ignore", detached: true });
    return () => void (child.pid !== undefined && process.kill(-child.pid, "SIGKILL"));
  }

  nft(script: string): string {
    return execFileSync("ip", ["netns", "exec", this.namespace, "nft", "-f", "-"], { input: script, encoding: "utf8" });
  }

  sysctl(path: string, value?: string): string {
    if (value !== undefined) this.run("sh", "-c", 'echo "$1" > "/proc/sys/$0"', path, value);
    return this.run("cat", `/proc/sys/${path}`).trim();
  }

  /** All that `ip` says about addresses and routes, without what changes by itself. */
  state(device?: string): string {
    const dev = device === undefined ? "" : ` dev ${device}`;
    const shown = this.ip(`-o address show${dev}`, `-4 route show table main${dev}`, `-6 route show table main${dev}`);
    return shown
      .replaceAll(/^\d+: /gm, "")
      .replaceAll(/\\ +valid_lft.*$/gm, "")
      .replaceAll(/ (linkdown|pref medium)/g, "")
      .replaceAll(/.*fe80::.*\n/g, "")
      .replaceAll(/ +/g, " ")
      .replaceAll(/ +$/gm, "")
      .trim();
  }

  everything(): readonly string[] {
    return everythingIn(this.namespace);
  }

  pids(): number[] {
    return pidsIn(this.namespace);
  }

  /** Of the program, running here. */
  monitors(program: "ip" | "nft"): number[] {
    return this.pids().filter((pid) => {
      const [first = "", second] = commandLine(pid);
      return first === program && second === "monitor";
    });
  }

  /** A host side with the state of all others here, as one agent started again. */
  async start(...wrapper: readonly string[]): Promise<Driver> {
    const state = join(this.directory, "state");
    const driver = new Driver({ namespace: this.namespace, log: join(this.directory, `${this.#drivers.length}.log`), state, wrapper });
    this.#drivers.push(driver);
    await within(once(driver.process, "message"), "the driver's start");
    return driver;
  }

  #addNamespace(name: string): void {
    run("ip", "netns", "add", name);
    this.#namespaces.push(name);
  }
}

interface DriverOptions {
  readonly namespace: string;
  readonly log: string;
  readonly state: string;
  readonly wrapper: readonly string[];
}

/** The host side, running in a process inside a network namespace. */
export class Driver {
  readonly process: ChildProcess;
  readonly changes: string[] = [];
  readonly #log: string;
  readonly #answers = new Map<number, (answer: HostAnswer) => void>();
  #onChange: () => void = () => {};
  #nextId = 0;

  constructor({ namespace, log, state, wrapper }: DriverOptions) {
    this.#log = log;
    const command = ["netns", "exec", namespace, ...wrapper, process.execPath, DRIVER, log, state];
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

  /** The result; a failure fails the test. */
  async must(request: HostRequest): Promise<HostResult> {
    const answer = await this.call(request);
    assert.ok(answer.type === "done", JSON.stringify(answer));
    return answer.result;
  }

  /** The error; anything else fails the test. */
  async fails(request: HostRequest): Promise<Extract<HostAnswer, { readonly type: "failed" }>> {
    const answer = await this.call(request);
    assert.ok(answer.type === "failed", JSON.stringify(answer));
    return answer;
  }

  async apply(wanted: LinkPlan): Promise<void> {
    await this.must({ call: "apply", plan: wanted });
  }

  async undo(): Promise<void> {
    await this.must({ call: "undo" });
  }

  async observe(): Promise<string> {
    const { view } = await this.must({ call: "observe", exceptDevice: "mesh0" });
    assert.ok(view !== undefined);
    return viewText(view);
  }

  /** Applies the plan and watches; returns when the watch listens. */
  async applyAndWatch(host: TestHost, wanted: LinkPlan = plan()): Promise<void> {
    await this.apply(wanted);
    await this.observe();
    await this.must({ call: "watch", exceptDevice: "mesh0" });
    const isGuarded = (await this.must({ call: "guard" })).guard?.guarded === true;
    await until("the monitors run", () => host.monitors("ip").length === 1 && host.monitors("nft").length === (isGuarded ? 1 : 0));
  }

  /** Number of commands of each plan that was applied, in order. */
  changeCounts(): number[] {
    return this.logged("tunnel device is as planned").map((line) => Number(line["changes"]));
  }

  /** Lines that say this, in their message or as its reason. */
  logged(text: string): Record<string, unknown>[] {
    const lines = readFileSync(this.#log, "utf8").trim().split("\n").filter(Boolean);
    return lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => `${line["msg"]} ${line["reason"]}`.includes(text));
  }

  /** Waits for a report that holds the text. */
  async changed(text: string): Promise<void> {
    while (!this.changes.some((change) => change.includes(text))) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onChange = resolve;
      await within(promise, `a report of ${text}; so far ${JSON.stringify(this.changes)}`);
    }
  }

  /** As kill -9. */
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

export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const { promise: missed, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not within ${DEADLINE} ms: ${what}`)), DEADLINE);
  return await Promise.race([promise, missed]).finally(() => clearTimeout(timer));
}

export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `not within ${DEADLINE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Everything a guest could leave, a line each: links, addresses, routes and rules of all tables, nftables, sysctls of the network. */
export function everythingIn(namespace: string): readonly string[] {
  const show = (words: string): string => run("ip", "-n", namespace, ...words.split(" "));
  const inside = (...words: readonly string[]): string => run("ip", "netns", "exec", namespace, ...words);
  const parts = [
    show("-o link show").replaceAll(/(qdisc|state|mode|group|qlen) \S+/g, ""),
    show("-o address show").replaceAll(/\\ +valid_lft.*$/gm, ""),
    ...["-4 rule show", "-6 rule show", "-4 route show table all", "-6 route show table all"].map(show),
    inside("nft", "list", "ruleset"),
    inside("sh", "-c", "sysctl -a --pattern '^net[.]' 2>/dev/null || true"),
  ];
  const lines = parts.join("\n").replaceAll(" linkdown", "").split("\n");
  return lines.filter((line) => !KERNELS_OWN.test(line));
}

/** Empty for a process that has ended. */
function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
  } catch {
    return [];
  }
}

function pidsIn(namespace: string): number[] {
  return run("ip", "netns", "pids", namespace).split("\n").filter(Boolean).map(Number);
}
