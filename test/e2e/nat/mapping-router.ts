import type { ChildProcess } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../lab/agent.ts";
import type { Lab, LabHost } from "../lab/lab.ts";
import { exitOf, mustRun } from "../lab/run-command.ts";
import { gatewayOf, type Internet } from "../lab/sites.ts";

export type RouterProtocol = "pcp" | "nat-pmp" | "upnp";

/** miniupnpd maps only what it takes for public: nothing of what the lab's internet is made of, but this is. */
const PUBLIC = "11.22.33";

/** The daemon fills the chains that it finds. */
const TABLE = `table inet miniupnpd {
  chain forward { type filter hook forward priority 0; jump allowed; }
  chain allowed { }
  chain prerouting { type nat hook prerouting priority -100; jump redirected; }
  chain redirected { }
  chain postrouting { type nat hook postrouting priority 100; jump translated; }
  chain translated { }
}
`;

/** The gateway of a site, with miniupnpd on it. Ended with the lab at the latest. */
export class MappingRouter {
  /** What it says that it is from outside. */
  readonly address: string;
  readonly #host: LabHost;
  readonly #daemon: ChildProcess;

  private constructor(address: string, host: LabHost, daemon: ChildProcess) {
    this.address = address;
    this.#host = host;
    this.#daemon = daemon;
  }

  /** Makes the site's gateway map ports by these protocols, and by no others. */
  static async start(
    lab: Lab,
    options: { readonly internet: Internet; readonly site: string; readonly protocols: readonly RouterProtocol[] },
  ): Promise<MappingRouter> {
    const { internet, site, protocols } = options;
    const gateway = gatewayOf(internet.gateways, site);
    const host = lab.host(gateway.node);
    const { wanDevice, lanDevice, wanAddresses, lanPrefix } = gateway.place;
    const address = `${PUBLIC}.${gateway.wan.split(".")[2]}`;
    await mustRun("ip", ["-n", host.namespace, "address", "replace", `${address}/32`, "dev", wanDevice]);
    await mustRun("ip", ["-n", lab.host(gateway.upstream).namespace, "route", "replace", address, "via", wanAddresses[0] ?? ""]);
    const rules = `insert rule ip lab_nat forward iifname ${wanDevice} ct status dnat accept\n${TABLE}${onlyRules(protocols)}`;
    await mustRun("ip", ["netns", "exec", host.namespace, "nft", "-f", "-"], { input: rules });
    const has = (protocol: RouterProtocol): string => (protocols.includes(protocol) ? "yes" : "no");
    const settings = [
      `ext_ifname=${wanDevice}`,
      `ext_ip=${address}`,
      `listening_ip=${lanDevice}`,
      `enable_upnp=${has("upnp")}`,
      `enable_natpmp=${protocols.some((protocol) => protocol !== "upnp") ? "yes" : "no"}`,
      "http_port=0",
      "secure_mode=yes",
      "ipv6_disable=yes",
      "uuid=2c7d3a5e-6f1b-4d0c-9a61-0c2f9be1f7aa",
      "upnp_table_name=miniupnpd",
      "upnp_nat_table_name=miniupnpd",
      "upnp_forward_chain=allowed",
      "upnp_nat_chain=redirected",
      "upnp_nat_postrouting_chain=translated",
      `allow 1024-65535 ${lanPrefix} 1024-65535`,
      "deny 0-65535 0.0.0.0/0 0-65535",
    ];
    const file = join(lab.directory, `miniupnpd-${site}`);
    await writeFile(`${file}.conf`, `${settings.join("\n")}\n`);
    const daemon = host.spawn("miniupnpd", ["-d", "-f", `${file}.conf`, "-P", `${file}.pid`]);
    const said: string[] = [];
    for (const stream of [daemon.stdout, daemon.stderr]) stream?.on("data", (text: Buffer) => said.push(text.toString()));
    lab.onCollect((directory) => writeFile(join(directory, `miniupnpd-${site}.log`), said.join("")));
    const port = protocols.includes("upnp") ? 1900 : 5351;
    await until("miniupnpd listens", async () => {
      const { stdout } = await host.run("ss", ["-uln"]);
      return stdout.includes(`:${port} `) || stdout;
    });
    return new MappingRouter(address, host, daemon);
  }

  /** What it leads to hosts inside now, as nft shows it; empty: nothing. */
  async mappings(): Promise<readonly string[]> {
    const { stdout } = await this.#host.run("nft", ["list", "chain", "inet", "miniupnpd", "redirected"]);
    return stdout.split("\n").filter((line) => line.includes("dnat"));
  }

  /** Datagrams that came to its ports for mappings, by unicast or multicast. */
  async asked(): Promise<number> {
    const { stdout } = await this.#host.run("nft", ["list", "counter", "inet", "miniupnpd_only", "asked"]);
    return Number(/packets (\d+)/.exec(stdout)?.[1] ?? Number.NaN);
  }

  /** The daemon ends and its tables go; the gateway is a NAT like before. */
  async stop(): Promise<void> {
    const ended = exitOf(this.#daemon);
    this.#daemon.kill("SIGTERM");
    await ended;
    const input = "delete table inet miniupnpd\ndelete table inet miniupnpd_only\n";
    await mustRun("ip", ["netns", "exec", this.#host.namespace, "nft", "-f", "-"], { input });
  }
}

/** PCP and NAT-PMP have one port, and differ in their first byte. */
function onlyRules(protocols: readonly RouterProtocol[]): string {
  const silenced = [...(protocols.includes("pcp") ? [] : ["2"]), ...(protocols.includes("nat-pmp") ? [] : ["0"])];
  return `table inet miniupnpd_only {
  counter asked { }
  chain input {
    type filter hook input priority 0;
    udp dport { 1900, 5351 } counter name asked
    ${silenced.map((version) => `udp dport 5351 @th,64,8 ${version} drop`).join("\n    ")}
  }
}
`;
}
