import { readdir, readFile, readlink, stat } from "node:fs/promises";

/** Where a change was made. Links, addresses, routes, rules, sysctls and tables of nftables all end with either. */
export interface HostPlace {
  /** The kernel's id of this boot, random. */
  readonly boot: string;
  /** The network namespace: `net:[4026531840]`. */
  readonly netns: string;
}

/** `proc` is /proc. */
export async function readPlace(proc: string): Promise<HostPlace> {
  const [boot, netns] = await Promise.all([readBoot(proc), readlink(`${proc}/self/ns/net`)]);
  return { boot, netns };
}

/** The kernel's id of this boot. */
export async function readBoot(proc: string): Promise<string> {
  return (await readFile(`${proc}/sys/kernel/random/boot_id`, "utf8")).trim();
}

/** Does any process live in the network namespace, or has `ip netns` a name for it? */
export async function namespaceLives(proc: string, netns: string): Promise<boolean> {
  const [pids, names] = await Promise.all([list(proc), list("/run/netns")]);
  const ofProcesses = pids.filter((name) => /^\d+$/.test(name)).map((pid) => readlink(`${proc}/${pid}/ns/net`).catch(() => ""));
  const ofNames = names.map(async (name) => `net:[${(await stat(`/run/netns/${name}`)).ino}]`).map((text) => text.catch(() => ""));
  return (await Promise.all([...ofProcesses, ...ofNames])).includes(netns);
}

async function list(directory: string): Promise<readonly string[]> {
  return await readdir(directory).catch(() => []);
}

/** Programs that manage a host's network, by the name that /proc shows (15 characters at most). */
const NETWORK_PROGRAMS: Readonly<Record<string, string>> = {
  "systemd-network": "systemd-networkd",
  NetworkManager: "NetworkManager",
  dhcpcd: "dhcpcd",
  connmand: "connman",
  wickedd: "wicked",
  firewalld: "firewalld",
  zebra: "FRR",
  bird: "BIRD",
};

/** Which of them run here: the kernel does not say who changed a route, but there are seldom many who could. */
export async function networkPrograms(proc: string): Promise<readonly string[]> {
  const pids = (await list(proc)).filter((name) => /^\d+$/.test(name));
  const names = await Promise.all(pids.map((pid) => readFile(`${proc}/${pid}/comm`, "utf8").catch(() => "")));
  const found = names.flatMap((name) => NETWORK_PROGRAMS[name.trim()] ?? []);
  return [...new Set(found)].sort();
}
