/**
 * Who may import whom. A room is a folder under a package's src/ or a file directly in it, named without its ending.
 * What is not listed is forbidden. Change this table and ARCHITECTURE.md together.
 */
export interface Room {
  /** Rooms of the same package. */
  readonly rooms: readonly string[];
  /** Doors of our other packages, as in `@mesh/core/errors`. */
  readonly doors: readonly string[];
  /** Packages of others and modules of Node; a star at the end stands for any rest. */
  readonly packages: readonly string[];
  /** Packages of which only types may be imported. */
  readonly types?: readonly string[];
}

/** Rooms of core, lowest first. Rooms on one row may see each other (never in a circle), except on a row of peers. */
const CORE_ROWS: readonly { readonly rooms: readonly string[]; readonly peers?: boolean }[] = [
  { rooms: ["errors", "time", "bytes"] },
  { rooms: ["crypto", "ids", "address"] },
  { rooms: ["wire", "records", "config"] },
  { rooms: ["membership", "path", "session"], peers: true },
  { rooms: ["routing", "punch"], peers: true },
  { rooms: ["engine"] },
  { rooms: ["api"] },
  { rooms: ["node"] },
  { rooms: ["testing"] },
];

/** A port says what core wants done in words of these only; what the shell is told (a forwarding table, a route) is defined there. */
const PORT_WORDS = ["time", "bytes", "ids", "address", "records"];
/** These speak of ports: punch names sockets of peers, routing compiles the forwarding table, engine is one, node emits effects, testing plays the shell. */
const SPEAKS_OF_PORTS: ReadonlySet<string> = new Set(["punch", "routing", "engine", "api", "node", "testing"]);

const AGENT_DOORS = [
  "@mesh/core/api",
  "@mesh/core/config",
  "@mesh/core/errors",
  "@mesh/core/node",
  "@mesh/core/node-crypto",
  "@mesh/core/ports",
];
/** Modules of Node that neither wait nor reach outside the process. */
const PLAIN_NODE = ["node:assert", "node:assert/strict", "node:buffer", "node:events", "node:path", "node:url", "node:util"];
const FILES = ["node:fs", "node:fs/promises"];
const LIBP2P = ["libp2p", "@libp2p/*", "@chainsafe/libp2p-*", "@multiformats/*", "it-*", "uint8arraylist"];

/** The logger is made in runtime and handed to the others, who know its type. */
function agentRoom(packages: readonly string[], doors: readonly string[] = []): Room {
  return { rooms: [], doors: [...AGENT_DOORS, ...doors], packages: [...PLAIN_NODE, ...packages], types: ["pino"] };
}

const AGENT_ROOMS: Readonly<Record<string, Room>> = {
  runtime: agentRoom([
    ...FILES,
    "node:async_hooks",
    "node:crypto",
    "node:os",
    "node:perf_hooks",
    "node:process",
    "node:timers",
    "node:timers/promises",
    "node:v8",
    "pino",
  ]),
  control: agentRoom([...LIBP2P, "node:crypto"]),
  data: agentRoom([], ["@mesh/datapath"]),
  // TLS and WebSocket on one side; loopback sockets, as which engine and control plane know them, on the other.
  "tcp-way": agentRoom(["node:crypto", "node:dgram", "node:https", "node:net", "node:stream", "ws"]),
  // Settings of a link are files under /proc/sys.
  host: agentRoom(["node:child_process", "node:fs/promises", "node:os"]),
  // Routers are asked by datagrams of their own protocols, and by HTTP for UPnP's.
  nat: agentRoom(["node:dgram", "node:http"]),
  store: agentRoom([...FILES, "node:crypto"]),
  // A Unix socket is a file: it is claimed, given its mode and removed by name.
  api: agentRoom(["node:fs/promises", "node:http", "node:net", "node:stream", "node:stream/promises", "prom-client"]),
};

function seesAll(rooms: readonly string[]): Room {
  return { rooms, doors: AGENT_DOORS, packages: [...PLAIN_NODE, "node:process"], types: ["pino"] };
}

const CLI_DOORS = ["@mesh/core/api", "@mesh/core/config", "@mesh/core/errors"];

/** What this room may import; undefined for a room that the table does not know. */
export function roomRule(packageName: string, room: string): Room | undefined {
  switch (packageName) {
    case "core":
      return coreRoom(room);
    case "datapath":
      return {
        rooms: ["*"],
        doors: ["@mesh/core/engine", "@mesh/core/errors", "@mesh/core/node-crypto", "@mesh/core/ports"],
        packages: ["node:*"],
      };
    case "agent":
      if (room === "main") return seesAll(["agent", ...Object.keys(AGENT_ROOMS)]);
      if (room === "agent") return seesAll(["become-member", ...Object.keys(AGENT_ROOMS)]);
      return room === "become-member" ? seesAll(Object.keys(AGENT_ROOMS)) : AGENT_ROOMS[room];
    case "cli":
      return { rooms: ["*"], doors: CLI_DOORS, packages: ["node:*"] };
    default:
      return undefined;
  }
}

function coreRoom(room: string): Room | undefined {
  // The one file of core that knows Node; it stands beside src.
  if (room === "node-crypto") return { rooms: ["bytes", "crypto"], doors: [], packages: ["node:crypto", "@noble/curves/*"] };
  if (room === "ports") return { rooms: PORT_WORDS, doors: [], packages: [] };
  const row = CORE_ROWS.findIndex(({ rooms }) => rooms.includes(room));
  if (row < 0) return undefined;
  const below = CORE_ROWS.slice(0, row).flatMap(({ rooms }) => rooms);
  const beside = CORE_ROWS[row]?.peers === true ? [] : (CORE_ROWS[row]?.rooms ?? []);
  const ports = SPEAKS_OF_PORTS.has(room) ? ["ports"] : [];
  return { rooms: [...below, ...beside, ...ports], doors: [], packages: room === "bytes" ? ["msgpackr"] : [] };
}
