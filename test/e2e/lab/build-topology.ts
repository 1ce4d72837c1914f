import { mustRun } from "./run-command.ts";
import type { BridgeSpec, LinkEnd, LinkSpec, NodeSpec, Topology } from "./topology.ts";
import type { WireEnd } from "./wire.ts";
import { startWire } from "./wire.ts";

/** Kernel settings of every node, below /proc/sys/net; set before there are devices, so that each is born with them. */
const NODE_SETTINGS: Readonly<Record<string, string>> = {
  // Duplicate address detection would keep each IPv6 address unusable for its first second.
  "ipv6/conf/default/accept_dad": "0",
  // An address survives its device going down, as IPv4's do: a link that is plugged in again is as it was.
  "ipv6/conf/default/keep_addr_on_down": "1",
};

/** Frames between ports of a bridge pass no rule: a switch knows no NAT. Absent where the kernel cannot do otherwise. */
const BRIDGE_SETTINGS: readonly string[] = ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"];

const ROUTER_SETTINGS: Readonly<Record<string, string>> = {
  "ipv4/ip_forward": "1",
  "ipv6/conf/all/forwarding": "1",
};

/**
 * Device numbers start here, and no two are equal. Left alone, each namespace counts from 2; ends of a link with equal numbers
 * look to the kernel like one device (net/core/link_watch.c, linkwatch_urgent_event), and it tells IPv6 of the carrier up to 1 s late.
 */
const FIRST_INDEX = 10;

export interface BuildPlace {
  /** What the namespace of a node is called, or of a wire. */
  readonly namespaceOf: (name: string) => string;
  /** Where wires have their sockets. */
  readonly directory: string;
}

/** Throws at the first command that fails, leaving what is there. */
export async function buildTopology(topology: Topology, place: BuildPlace): Promise<void> {
  const { namespaceOf } = place;
  for (const node of topology.nodes) await addNode(node, namespaceOf(node.name));
  for (const [n, link] of topology.links.entries()) {
    await addLink(link, FIRST_INDEX + 2 * n, place);
    for (const end of link.ends) await configureEnd(namespaceOf(end.node), end);
  }
  for (const node of topology.nodes) await ipBatch(namespaceOf(node.name), addRoutes(node));
}

async function addNode(node: NodeSpec, namespace: string): Promise<void> {
  await mustRun("ip", ["netns", "add", namespace]);
  const settings = Object.entries({ ...NODE_SETTINGS, ...(node.kind === "router" ? ROUTER_SETTINGS : {}), ...node.settings });
  const script = settings.map(([name, value]) => `echo ${value} > /proc/sys/net/${name}`);
  if (node.bridges !== undefined) {
    script.push(...BRIDGE_SETTINGS.map((name) => `if [ -e /proc/sys/net/${name} ]; then echo 0 > /proc/sys/net/${name}; fi`));
  }
  await mustRun("ip", ["netns", "exec", namespace, "sh", "-c", script.join(" && ")]);
  if (node.rules !== undefined) await mustRun("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: node.rules });
  await ipBatch(namespace, ["link set lo up", ...(node.bridges ?? []).flatMap(addBridge)]);
}

function addBridge({ device, addresses }: BridgeSpec): readonly string[] {
  return [`link add ${device} type bridge`, ...endCommands({ device, addresses })];
}

/** No node can be called like this. */
function wireNamespace(link: string): string {
  return `${link}.wire`;
}

/** Of all nodes and wires, by the names that `namespaceOf` takes. */
export function namespacesOf({ nodes, links }: Topology): readonly string[] {
  const wires = links.filter(({ wire }) => wire !== undefined);
  return [...nodes.map(({ name }) => name), ...wires.map(({ name }) => wireNamespace(name))];
}

/** Makes the two devices; `index` is the first one's number, the second has the next. */
async function addLink({ name, ends, wire }: LinkSpec, index: number, { namespaceOf, directory }: BuildPlace): Promise<void> {
  const one: WireEnd = { namespace: namespaceOf(ends[0].node), device: ends[0].device, index };
  const other: WireEnd = { namespace: namespaceOf(ends[1].node), device: ends[1].device, index: index + 1 };
  if (wire !== undefined) {
    return await startWire({ name, namespace: namespaceOf(wireNamespace(name)), directory, ends: [one, other], settings: wire });
  }
  const peer = ["peer", "name", other.device, "index", String(other.index), "netns", other.namespace];
  await mustRun("ip", ["link", "add", one.device, "index", String(one.index), "netns", one.namespace, "type", "veth", ...peer]);
}

/** Gives a device that is in the namespace its addresses and bridge, and brings it up. */
export async function configureEnd(namespace: string, end: Omit<LinkEnd, "node">): Promise<void> {
  await ipBatch(namespace, endCommands(end));
}

function endCommands({ device, addresses, bridge }: Omit<LinkEnd, "node">): readonly string[] {
  const port = bridge === undefined ? [] : [`link set ${device} master ${bridge}`];
  return [...addresses.map((address) => `address add ${address} dev ${device}`), ...port, `link set ${device} up`];
}

function addRoutes(node: NodeSpec): readonly string[] {
  return node.routes.map(({ to, via }) => `route add ${to} via ${via}`);
}

async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await mustRun("ip", ["-n", namespace, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
