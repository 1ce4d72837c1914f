import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import type { Datapath, Endpoint, Ip } from "@mesh/core/ports";
import { type OpenDatapathOptions, openDatapath } from "@mesh/datapath";
import { eventually } from "../../../packages/datapath/src/suite/eventually.ts";

const PROBE = Buffer.from("216d7368ab", "hex");
/** What both networks have in common but for their own part: the near side is 1, the router 2, the far side 3. */
const PLANS = {
  IPv4: {
    near: "10.81.1.1",
    routerNear: "10.81.1.2",
    routerFar: "10.81.2.2",
    far: "10.81.2.3",
    length: 24,
    route: "10.81.2.0/24",
    back: "10.81.1.0/24",
  },
  IPv6: {
    near: "fd81:1::1",
    routerNear: "fd81:1::2",
    routerFar: "fd81:2::2",
    far: "fd81:2::3",
    length: 64,
    route: "fd81:2::/64",
    back: "fd81:1::/64",
  },
} as const;

/** A TTL is that of one datagram: what may not be forwarded dies at the router, and the next one passes. Here, a router, a host behind it. */
export function behindRouter(backend: NonNullable<OpenDatapathOptions["backend"]>): void {
  for (const family of ["IPv4", "IPv6"] as const) {
    for (const [which, socket] of [["the first socket", 0] as const, ["a further socket", 1] as const]) {
      test(`over ${family}, by ${which}, ttl 1 dies at the router, 2 and more arrive, and so does what has none`, async (t) => {
        const { router, far } = await network(t);
        const path = openDatapath({ tunName: "meshttl0", mtu: 1420, udpPort: 0, onExceptions: () => {}, backend });
        t.after(() => path.close());
        path.openSockets(1);
        const endpoint: Endpoint = { ip: PLANS[family].far as Ip, port: 9 };
        const send = (datapath: Datapath, ttl?: number): void =>
          datapath.sendDatagram({ endpoint, socket }, PROBE, ttl === undefined ? {} : { ttl });
        let [died, arrived] = [0, 0];
        for (const ttl of [undefined, 1, undefined, 1, 1, 2, 64, 1, 255, undefined]) {
          send(path, ttl);
          if (ttl === 1) died++;
          else arrived++;
          await eventually(`ttl ${ttl} died or arrived`, () => exceeded(router, family) === died && unanswered(far, family) === arrived);
        }
      });
    }
  }
}

/** Two network namespaces beside this one, which end with their processes and with the test. */
async function network(t: TestContext): Promise<{ readonly router: ChildProcess; readonly far: ChildProcess }> {
  // Before its other end goes with its namespace, at some later time.
  t.after(() => spawnSync("ip", ["link", "delete", "dev", "ttlnear"]));
  const [router, far] = [await host(t), await host(t)];
  ip("link", "add", "ttlnear", "type", "veth", "peer", "name", "ttlrouter", "netns", String(router.pid));
  ipAt(router, "link", "add", "ttlout", "type", "veth", "peer", "name", "ttlfar", "netns", String(far.pid));
  ip("link", "set", "dev", "ttlnear", "up");
  for (const device of ["ttlrouter", "ttlout"]) ipAt(router, "link", "set", "dev", device, "up");
  ipAt(far, "link", "set", "dev", "ttlfar", "up");
  at(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
  // Time exceeded and port unreachable are counted as sent; how often they may be is not what this is about.
  for (const child of [router, far])
    at(child, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit");
  for (const { near, routerNear, routerFar, far: farAddress, length, route, back } of Object.values(PLANS)) {
    const isNew = length === 64 ? ["nodad"] : [];
    ip("addr", "add", `${near}/${length}`, "dev", "ttlnear", ...isNew);
    ipAt(router, "addr", "add", `${routerNear}/${length}`, "dev", "ttlrouter", ...isNew);
    ipAt(router, "addr", "add", `${routerFar}/${length}`, "dev", "ttlout", ...isNew);
    ipAt(far, "addr", "add", `${farAddress}/${length}`, "dev", "ttlfar", ...isNew);
    ip("route", "add", route, "via", routerNear);
    ipAt(far, "route", "add", back, "via", routerFar);
  }
  return { router, far };
}

async function host(t: TestContext): Promise<ChildProcess> {
  const child = spawn("unshare", ["--net", "sh", "-c", "ip link set lo up && echo born && exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, "exit");
  });
  await once(child.stdout, "data");
  return child;
}

/** Datagrams that died there. */
function exceeded(router: ChildProcess, family: keyof typeof PLANS): number {
  return family === "IPv4" ? snmp(router, "Icmp", "OutTimeExcds") : snmp6(router, "Icmp6OutTimeExcds");
}

/** Datagrams for a port that nobody has. */
function unanswered(far: ChildProcess, family: keyof typeof PLANS): number {
  return family === "IPv4" ? snmp(far, "Udp", "NoPorts") : snmp6(far, "Udp6NoPorts");
}

/** Of /proc/net/snmp: a line of names, a line of numbers. */
function snmp(child: ChildProcess, protocol: string, name: string): number {
  const [names = [], numbers = []] = at(child, "cat", "/proc/net/snmp")
    .split("\n")
    .filter((line) => line.startsWith(`${protocol}: `))
    .map((line) => line.split(" "));
  return Number(numbers[names.indexOf(name)]);
}

function snmp6(child: ChildProcess, name: string): number {
  return Number(new RegExp(`^${name}\\s+(\\d+)`, "m").exec(at(child, "cat", "/proc/net/snmp6"))?.[1]);
}

function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8" });
}

function ipAt(child: ChildProcess, ...args: readonly string[]): string {
  return at(child, "ip", ...args);
}

/** Runs a program in the child's network namespace. */
function at(child: ChildProcess, ...command: readonly string[]): string {
  return execFileSync("nsenter", ["-t", String(child.pid), "-n", ...command], { encoding: "utf8" });
}
