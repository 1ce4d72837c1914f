import { mustRun } from "./run-command.ts";
import type { LinkEnd, NodeSpec, Topology } from "./topology.ts";

/** Kernel settings of every node, below /proc/sys/net; set before there are devices, so that each is born with them. */
const NODE_SETTINGS: Readonly<Record<string, string>> = {
  // Duplicate address detection would keep each IPv6 address unusable for its first second.
  "ipv6/conf/default/accept_dad": "0",
  // An address survives its device going down, as IPv4's do: a link that is plugged in again is as it was.
  "ipv6/conf/default/keep_addr_on_down": "1",
};

const ROUTER_SETTINGS: Readonly<Record<string, string>> = {
  "ipv4/ip_forward": "1",
  "ipv6/conf/all/forwarding": "1",
};

/**
 * Device numbers start here, and no two are equal. Left alone, each namespace counts from 2; ends of a link with equal numbers
 * look to the kernel like one device (net/core/link_watch.c, linkwatch_urgent_event), and it tells IPv6 of the carrier up to 1 s late.
 */
const FIRST_INDEX = 10;

/** `namespaceOf` says what a node's namespace is called. Throws at the first command that fails, leaving what is there. */
export async function buildTopology(topology: Topology, namespaceOf: (node: string) => string): Promise<void> {
  for (const node of topology.nodes) await addNode(node, namespaceOf(node.name));
  for (const [n, { ends }] of topology.links.entries()) {
    const [one, other] = ends;
    const peer = ["peer", "name", other.device, "index", String(FIRST_INDEX + 2 * n + 1), "netns", namespaceOf(other.node)];
    const index = ["index", String(FIRST_INDEX + 2 * n)];
    await mustRun("ip", ["link", "add", one.device, ...index, "netns", namespaceOf(one.node), "type", "veth", ...peer]);
    for (const end of ends) await ipBatch(namespaceOf(end.node), configureEnd(end));
  }
  for (const node of topology.nodes) await ipBatch(namespaceOf(node.name), addRoutes(node));
}

async function addNode(node: NodeSpec, namespace: string): Promise<void> {
  await mustRun("ip", ["netns", "add", namespace]);
  const settings = Object.entries({ ...NODE_SETTINGS, ...(node.kind === "router" ? ROUTER_SETTINGS : {}) });
  const script = settings.map(([name, value]) => `echo ${value} > /proc/sys/net/${name}`).join(" && ");
  await mustRun("ip", ["netns", "exec", namespace, "sh", "-c", script]);
  await ipBatch(namespace, ["link set lo up"]);
}

function configureEnd({ device, addresses }: LinkEnd): readonly string[] {
  return [...addresses.map((address) => `address add ${address} dev ${device}`), `link set ${device} up`];
}

function addRoutes(node: NodeSpec): readonly string[] {
  return node.routes.map(({ to, via }) => `route add ${to} via ${via}`);
}

async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await mustRun("ip", ["-n", namespace, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
