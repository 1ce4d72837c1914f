import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../lab/agent.ts";
import type { Lab, LabHost } from "../lab/lab.ts";
import { exitOf } from "../lab/run-command.ts";
import { configureDevice } from "./configure-device.ts";

export interface StockSideOptions {
  readonly device: string;
  readonly mtu: number;
  /** With prefix length. */
  readonly addresses: readonly string[];
  readonly udpPort: number;
  /** Keys in base64. */
  readonly privateKey: string;
  readonly peer: {
    readonly publicKey: string;
    readonly presharedKey?: string;
    readonly endpoint?: string;
    readonly allowedIps: readonly string[];
    /** Seconds between persistent keepalives. */
    readonly keepalive?: number;
  };
}

/** What `wg show` says of the one peer. */
export interface ShownPeer {
  readonly endpoint: string;
  /** Seconds since 1970; 0: never. */
  readonly handshakeAt: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** wireguard-go on a host of the lab, configured by `wg`. */
export class StockSide {
  readonly host: LabHost;
  readonly device: string;
  readonly #options: StockSideOptions;
  #process: ChildProcess | undefined;
  #log = "";

  constructor(lab: Lab, hostName: string, options: StockSideOptions) {
    this.host = lab.host(hostName);
    this.device = options.device;
    this.#options = options;
  }

  /** What it logged, its verbose lines included. */
  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    const { device, mtu, addresses } = this.#options;
    const env = { PATH: process.env["PATH"], LOG_LEVEL: "verbose", WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD: "1" };
    const before = this.#log.length;
    const child = this.host.spawn("wireguard-go", ["--foreground", device], { env });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#log += text;
      });
    }
    // Not asked with wg: one that is refused, as between bind and listen, removes the socket (ipc-uapi-unix.h).
    await until("wireguard-go serves wg", async () => {
      const said = this.#log.slice(before);
      return said.includes("UAPI listener started") || said;
    });
    // Not by standard input: that is a socket pair, and wg opens its argument as a file.
    const file = join(this.host.labDirectory, `${device}.key`);
    await writeFile(file, configuration(this.#options), { mode: 0o600 });
    const { code, stderr } = await this.host.run("wg", ["setconf", device, file]);
    if (code !== 0) throw new Error(`wg setconf: ${stderr.trim()}`);
    await configureDevice(this.host, { device, mtu, addresses });
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = exitOf(child);
    child.kill("SIGTERM");
    await ended;
    // Its control socket is outside of every network namespace, and a wireguard-go that was killed leaves it.
    rmSync(`/var/run/wireguard/${this.device}.sock`, { force: true });
  }

  async show(): Promise<ShownPeer> {
    const { stdout } = await this.host.run("wg", ["show", this.device, "dump"]);
    const [, , endpoint = "", , handshakeAt, received, sent] = stdout.split("\n")[1]?.split("\t") ?? [];
    return { endpoint, handshakeAt: Number(handshakeAt), receivedBytes: Number(received), sentBytes: Number(sent) };
  }
}

function configuration({ privateKey, udpPort, peer }: StockSideOptions): string {
  const optional: readonly (readonly [string, string | number | undefined])[] = [
    ["PresharedKey", peer.presharedKey],
    ["Endpoint", peer.endpoint],
    ["PersistentKeepalive", peer.keepalive],
  ];
  return [
    "[Interface]",
    `PrivateKey = ${privateKey}`,
    `ListenPort = ${udpPort}`,
    "[Peer]",
    `PublicKey = ${peer.publicKey}`,
    `AllowedIPs = ${peer.allowedIps.join(", ")}`,
    ...optional.flatMap(([name, value]) => (value === undefined ? [] : [`${name} = ${value}`])),
    "",
  ].join("\n");
}
