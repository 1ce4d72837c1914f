import { MeshError } from "@mesh/core/errors";
import {
  type Clock,
  formatPrefix,
  type HostNetwork,
  type HostView,
  ipFamily,
  type LinkPlan,
  type Prefix,
  parsePrefix,
} from "@mesh/core/ports";
import type { Logger } from "pino";
import { commandFailed, type IpFailure } from "./host-failure.ts";
import { observeHost } from "./host-view.ts";
import { HostWatch } from "./host-watch.ts";
import { IpCommand } from "./ip-command.ts";
import { Ipv6Switch } from "./ipv6-switch.ts";
import { linkChanges } from "./link-changes.ts";
import { readLink } from "./link-state.ts";

interface HostNetworkOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** iproute2's `ip`; by default the one on the path. */
  readonly ipProgram?: string;
  /** Default: /proc/sys. */
  readonly procSys?: string;
}

/** Linux, through iproute2. Starts processes only while a call is running or a watch is on. */
export function openHostNetwork(options: HostNetworkOptions): HostNetwork {
  return new LinuxHostNetwork(options);
}

/**
 * A plan becomes the device's state in these steps:
 *  1. plans wait for each other: one at a time, in the order of the calls;
 *  2. what is on the device now is read (link-state.ts);
 *  3. IPv6 is switched on for the device, or left out of the plan where the host does not allow that;
 *  4. the difference is worked out (link-changes.ts) and done by one `ip -batch` process;
 *  5. while a watch is on, it stays so: every look at the host looks at the device as well.
 */
class LinuxHostNetwork implements HostNetwork {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #ip: IpCommand;
  readonly #ipv6: Ipv6Switch;
  readonly #views = new Map<string, HostView>();
  readonly #plans = new Map<string, LinkPlan>();
  #lastPlan: Promise<void> = Promise.resolve();

  constructor(options: HostNetworkOptions) {
    this.#log = options.log;
    this.#clock = options.clock;
    this.#ip = new IpCommand(options.ipProgram ?? "ip", options.clock);
    this.#ipv6 = new Ipv6Switch(options.procSys ?? "/proc/sys");
  }

  async observe(exceptDevice: string): Promise<HostView> {
    const view = await observeHost(this.#ip, { exceptDevice, hasIpv6: await this.#ipv6.isSupported() });
    this.#views.set(exceptDevice, view);
    return view;
  }

  applyLink(plan: LinkPlan): Promise<void> {
    return this.#inTurn(() => this.#apply(plan));
  }

  watch(exceptDevice: string, onChange: (view: HostView) => void): () => void {
    const watch = new HostWatch({
      ip: this.#ip,
      clock: this.#clock,
      log: this.#log,
      known: this.#views.get(exceptDevice),
      observe: async () => {
        await this.#restore(exceptDevice);
        return await this.observe(exceptDevice);
      },
      onChange,
    });
    watch.start();
    return () => watch.stop();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#lastPlan.then(work);
    this.#lastPlan = done.catch(() => {});
    return done;
  }

  async #apply(plan: LinkPlan): Promise<void> {
    const state = await readLink(this.#ip, plan.device, await this.#ipv6.isSupported());
    const usable = await this.#withoutUnusableIpv6(plan);
    const changes = linkChanges(state, usable);
    await this.#change(changes, plan.device);
    this.#plans.set(plan.device, usable);
    this.#log.debug({ device: plan.device, changes: changes.length }, "tunnel device is as planned");
  }

  /**
   * systemd-networkd and NetworkManager remove routes that are not theirs when they start, and `ip link set down` drops
   * them. A device that was set down comes up again: `mesh down` is the way to stop, and a node that says it is there
   * must carry packets.
   */
  async #restore(device: string): Promise<void> {
    const attempt = async (): Promise<void> => {
      const plan = this.#plans.get(device);
      if (plan === undefined) return;
      const state = await readLink(this.#ip, device, await this.#ipv6.isSupported());
      const changes = linkChanges(state, plan);
      if (changes.length === 0) return;
      this.#log.warn({ device, changes: changes.length }, "something changed the tunnel device; it is made as planned again");
      await this.#change(changes, device);
    };
    await this.#inTurn(attempt).catch((err: unknown) => this.#log.warn({ device, err }, "the tunnel device could not be restored"));
  }

  async #change(changes: readonly string[], device: string): Promise<void> {
    if (changes.length === 0) return;
    const outcome = await this.#ip.batch([], changes);
    if (!outcome.ok) throw await this.#changeFailed(outcome, device);
  }

  async #withoutUnusableIpv6(plan: LinkPlan): Promise<LinkPlan> {
    if (!plan.addresses.some((ip) => ipFamily(ip) === 6)) return plan;
    const reason = await this.#ipv6.turnOn(plan.device);
    if (reason === undefined) return plan;
    this.#log.warn({ device: plan.device, reason }, "IPv6 is off on this host: the mesh is reachable from it by IPv4 only");
    return {
      ...plan,
      addresses: plan.addresses.filter((ip) => ipFamily(ip) === 4),
      routes: plan.routes.filter((prefix) => ipFamily(prefix.ip) === 4),
    };
  }

  async #changeFailed(failure: IpFailure, device: string): Promise<MeshError> {
    const text = / route add (\S+) /.exec(failure.failed)?.[1];
    const prefix = text === undefined ? undefined : parsePrefix(text);
    if (prefix !== undefined && /File exists/.test(failure.output)) return await this.#prefixTaken(prefix, device);
    return commandFailed(failure, `set up the tunnel device ${device}`);
  }

  async #prefixTaken(prefix: Prefix, device: string): Promise<MeshError> {
    const { routes } = await this.observe(device);
    const by = routes.find((route) => formatPrefix(route.prefix) === formatPrefix(prefix))?.device ?? "another route";
    return new MeshError(
      "host/prefix-taken",
      `This host routes ${formatPrefix(prefix)} elsewhere already: ${by}.`,
      { prefix: formatPrefix(prefix), by },
      { hint: `See it with \`ip route show ${formatPrefix(prefix)}\`, and remove that route or choose another prefix for the mesh.` },
    );
  }
}
