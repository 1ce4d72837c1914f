import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { findCommand } from "../../prepare-host.ts";
import { type Lab, labRefusal } from "../lab/lab.ts";
import { routedCore } from "../lab/topology.ts";
import { withLab } from "../lab/with-lab.ts";
import { OurSide, type OurSideOptions } from "./our-side.ts";
import { StockSide, type StockSideOptions } from "./stock-side.ts";

export type End = "ours" | "stock";

const COMMANDS = ["wireguard-go", "wg", "ping", "tcpdump"];

/** Why a pair cannot be made on this host, and what to do; false: it can. `further`: commands that a test needs besides. */
export function pairRefusal(further: readonly "nft"[] = []): string | false {
  const missing = [...COMMANDS, ...further].filter((command) => findCommand(command) === undefined);
  const packages = ["wireguard-go", "wireguard-tools", "iputils-ping", "tcpdump", ...further.map(() => "nftables")].join(" ");
  const isMissing = missing.length > 0 && `missing: ${missing.join(", ")} (apt-get install ${packages})`;
  return labRefusal() ?? (isMissing || (!existsSync("/dev/net/tun") && "/dev/net/tun is missing"));
}

export function otherEnd(end: End): End {
  return end === "ours" ? "stock" : "ours";
}

/** Outer ports; inner addresses; nothing in them is special. */
export const PORTS: Readonly<Record<End, number>> = { ours: 51_820, stock: 51_821 };
export const INNER: Readonly<Record<End, { readonly v4: string; readonly v6: string }>> = {
  ours: { v4: "10.9.0.1", v6: "fd09::1" },
  stock: { v4: "10.9.0.2", v6: "fd09::2" },
};
const MTU = 1_420;

export interface PairOptions {
  /** Which ends are told where the other one is; both unless told. */
  readonly knowing?: readonly End[];
  /** Further hosts of the lab. */
  readonly others?: readonly string[];
  /** Family of the outer datagrams; 4 unless told. */
  readonly outer?: 4 | 6;
  /** What each end is told instead of the truth. */
  readonly ours?: Partial<OurSideOptions["peer"]>;
  readonly stock?: Partial<StockSideOptions["peer"]>;
}

/** Two ends on hosts of their own, with a router between them, both running. */
export interface Pair {
  readonly lab: Lab;
  readonly ours: OurSide;
  readonly stock: StockSide;
  /** In base64. */
  readonly publicKeys: Readonly<Record<End, string>>;
}

/** Runs one test on a fresh pair; all of it is gone afterwards. */
export async function withPair(t: TestContext, options: PairOptions, body: (pair: Pair) => Promise<void>): Promise<void> {
  await withLab(t, routedCore(["ours", "stock", ...(options.others ?? [])]), async (lab) => {
    const { ours, stock, publicKeys } = makePair(lab, options);
    lab.onCollect((directory) => writeFile(join(directory, "stock.log"), stock.log));
    try {
      await Promise.all([ours.start(), stock.start()]);
      await body({ lab, ours, stock, publicKeys });
    } finally {
      await stock.stop();
    }
  });
}

function makePair(lab: Lab, options: PairOptions): Omit<Pair, "lab"> {
  const { knowing = ["ours", "stock"], outer = 4 } = options;
  const keys = { ours: makeKeys(), stock: makeKeys() };
  // The control socket of wireguard-go is named after the device and shared by all namespaces.
  const device = `wg-${lab.id}`;
  const about = (end: End): { readonly publicKey: string; readonly allowedIps: readonly string[]; readonly endpoint?: string } => ({
    publicKey: keys[end].publicKey,
    allowedIps: [`${INNER[end].v4}/32`, `${INNER[end].v6}/128`],
    ...(knowing.includes(end === "ours" ? "stock" : "ours") && { endpoint: outerEndpoint(lab, end, outer) }),
  });
  const common = (end: End): Pick<StockSideOptions, "mtu" | "addresses" | "udpPort" | "privateKey"> => ({
    mtu: MTU,
    addresses: [`${INNER[end].v4}/24`, `${INNER[end].v6}/64`],
    udpPort: PORTS[end],
    privateKey: keys[end].privateKey,
  });
  return {
    publicKeys: { ours: keys.ours.publicKey, stock: keys.stock.publicKey },
    ours: new OurSide(lab, "ours", { tunName: device, ...common("ours"), peer: { ...about("stock"), ...options.ours } }),
    stock: new StockSide(lab, "stock", { device, ...common("stock"), peer: { ...about("ours"), ...options.stock } }),
  };
}

export function outerEndpoint(lab: Lab, end: End, family: 4 | 6 = 4): string {
  const host = lab.host(end);
  return family === 4 ? `${host.address4}:${PORTS[end]}` : `[${host.address6}]:${PORTS[end]}`;
}

/** X25519 in base64, as `wg genkey` and `wg pubkey` write them. */
export function makeKeys(): { readonly privateKey: string; readonly publicKey: string } {
  const { d = "", x = "" } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  return { privateKey: base64(d), publicKey: base64(x) };
}

function base64(url: string): string {
  return Buffer.from(url, "base64url").toString("base64");
}
