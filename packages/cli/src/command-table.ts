import { DEFAULT_INVITE_SECONDS, DEFAULT_INVITE_USES } from "@mesh/core/api";
import { DEFAULT_NETWORK, DEFAULT_RELAY_LIMIT, DEFAULT_STATE_ROOT, LOG_LEVELS, NODE_BITS } from "@mesh/core/config";
import { formatDuration } from "./duration.ts";

/** What each command is, takes and shows as help. Parsing and help read the same table, so neither knows a flag the other does not. */
interface CommandEntry {
  /** One line, for the overview. */
  readonly summary: string;
  /** Positional arguments as shown: `<x>` is required, `[x]` is not, `<x|y>` is one of these words. */
  readonly positionals: readonly string[];
  readonly flags: readonly FlagName[];
  /** What a person should know before the first use. */
  readonly notes: readonly string[];
  readonly examples: readonly string[];
}

interface FlagEntry {
  /** What the value is called in help; absent: the flag takes none. */
  readonly value?: string;
  /** All possible values, for completion. */
  readonly choices?: readonly string[];
  readonly summary: string;
}

export type CommandName =
  | "init"
  | "join"
  | "leave"
  | "up"
  | "down"
  | "clean"
  | "status"
  | "peers"
  | "routes"
  | "invite"
  | "ping"
  | "why"
  | "netcheck"
  | "report"
  | "service"
  | "completion"
  | "help";

export type FlagName =
  | CommonFlag
  | StartFlag
  | "cidr"
  | "node-bits"
  | "uses"
  | "ttl"
  | "count"
  | "interval"
  | "until-direct"
  | "force"
  | "yes"
  | "watch"
  | "redact";
type CommonFlag = "network" | "state" | "json" | "help";
type StartFlag =
  | CommonFlag
  | "name"
  | "node-name"
  | "tun"
  | "backend"
  | "udp-port"
  | "listen"
  | "relay-limit"
  | "no-relay"
  | "no-port-map"
  | "tcp-relay"
  | "log-level"
  | "foreground";

/** Of `mesh ping`. */
export const DEFAULT_COUNT = 3;
/** Of `mesh ping --until-direct`: a first search for a direct path takes 3 s, the second begins 5 s later. */
export const DEFAULT_PATIENT_COUNT = 15;
/** Milliseconds between the probes of `mesh ping`. */
export const DEFAULT_INTERVAL = 1_000;

const FLAGS: Readonly<Record<FlagName, FlagEntry>> = {
  network: { value: "name", summary: "which network, when there are several (MESH_NETWORK)" },
  state: { value: "dir", summary: `where networks are kept, sockets included (MESH_STATE; default ${DEFAULT_STATE_ROOT})` },
  json: { summary: "print data for scripts; keys only ever get added" },
  name: { value: "name", summary: "what this node is called in the mesh (default: the host's name)" },
  "node-name": { value: "name", summary: "the same as --name" },
  tun: { value: "name", summary: "the tunnel's network device (default: the first free mesh0, mesh1 …)" },
  "udp-port": { value: "port", summary: "the tunnel's UDP port (default: random at first start, then kept)" },
  listen: { value: "addr:port", summary: "where the TCP control plane listens (default: everywhere, random port)" },
  "relay-limit": { value: "Mbit/s", summary: `relayed for each member that needs it (default ${DEFAULT_RELAY_LIMIT}, then kept)` },
  "no-relay": { summary: "relay for nobody: the same as --relay-limit 0" },
  "no-port-map": { summary: "ask no router for a port mapping" },
  "tcp-relay": { value: "port", summary: "let in by TCP whose UDP is blocked, usually at 443; 0: nobody (default 0, then kept)" },
  backend: { value: "engine", choices: ["native", "twin"], summary: "native or twin (default native where it can be had; twin is slow)" },
  "log-level": { value: "level", choices: LOG_LEVELS, summary: LOG_LEVELS.join(", ") },
  foreground: { summary: "stay, and end the agent when this command is ended" },
  cidr: { value: "prefix", summary: "IPv4 prefix of the mesh (default: a free /16 in 10.64.0.0/10)" },
  "node-bits": { value: `${NODE_BITS.min}-${NODE_BITS.max}`, summary: "length of one node's IPv4 prefix (default 24)" },
  uses: { value: "n", summary: `how many nodes may join with it (default ${DEFAULT_INVITE_USES})` },
  ttl: { value: "time", summary: `how long it is good, like 30m, 12h or 7d (default ${formatDuration(DEFAULT_INVITE_SECONDS * 1_000)})` },
  count: { value: "n", summary: `how many probes (default ${DEFAULT_COUNT}; ${DEFAULT_PATIENT_COUNT} with --until-direct)` },
  interval: { value: "time", summary: `time between them, like 200ms or 2s (default ${formatDuration(DEFAULT_INTERVAL)})` },
  "until-direct": { summary: "end with the first probe that goes straight" },
  force: { summary: "also when this node holds the network's root key, which is lost with it" },
  yes: { summary: "do not ask" },
  watch: { summary: "stay, and show every change until Ctrl-C" },
  redact: { summary: "replace public addresses and names, each by the same word everywhere" },
  help: { summary: "this text" },
};

const COMMON: readonly CommonFlag[] = ["network", "state", "json", "help"];
const UP: readonly StartFlag[] = [
  "tun",
  "backend",
  "udp-port",
  "listen",
  "relay-limit",
  "no-relay",
  "no-port-map",
  "tcp-relay",
  "log-level",
  "foreground",
  ...COMMON,
];
/** A node gets its name with its number, when it becomes a member. */
const START: readonly StartFlag[] = ["name", "node-name", ...UP];

const COMMANDS: Readonly<Record<CommandName, CommandEntry>> = {
  init: {
    summary: "make a network on this node and start",
    positionals: ["[network]"],
    flags: ["cidr", "node-bits", ...START],
    notes: [`The network is called "${DEFAULT_NETWORK}" unless you name it. This node holds its root key and makes its invites.`],
    examples: ["mesh init", "mesh init office --cidr 10.77.0.0/16"],
  },
  join: {
    summary: "join a network with an invite and start",
    positionals: ["<invite>"],
    flags: START,
    notes: [
      "An invite is a secret, and while a command runs other users of this host can read its arguments.",
      "With - for the invite it is read from standard input, where they cannot.",
    ],
    examples: ["mesh join -", "ssh gateway mesh invite | sudo mesh join -"],
  },
  leave: {
    summary: "end this node's membership for good, and delete its keys",
    positionals: [],
    flags: ["force", "yes", ...COMMON],
    notes: [
      "The others are told, everything on this host is undone, and the network's directory is deleted.",
      "Only a new invite lets this host in again, as another node. Asks first; a script says --yes.",
    ],
    examples: ["mesh leave", "mesh leave --network lab --yes"],
  },
  up: {
    summary: "start the agent of a network",
    positionals: [],
    flags: UP,
    notes: ["Returns when the agent is serving, and leaves it in the background; with --foreground it stays."],
    examples: ["mesh up", "mesh up --foreground --log-level debug"],
  },
  down: {
    summary: "stop the agent; node and network are kept",
    positionals: [],
    flags: COMMON,
    notes: ["Everything the agent changed on this host is undone. `mesh up` starts it again."],
    examples: ["mesh down"],
  },
  clean: {
    summary: "undo what a crashed agent left on this host",
    positionals: [],
    flags: ["log-level", ...COMMON],
    notes: ["Links, addresses, routes, rules, kernel settings, its nftables table: what its journal lists. `mesh up` does it too."],
    examples: ["mesh clean"],
  },
  status: {
    summary: "this node, its peers, what is wrong",
    positionals: [],
    flags: ["watch", ...COMMON],
    notes: [
      "Exit code 3 when something in the health lines is an error.",
      "With --watch a terminal is drawn anew at each change; elsewhere a change is a line, with --json an event.",
    ],
    examples: ["mesh status", "mesh status --watch", "mesh status --json | jq '.peers[] | {name, state, path}'"],
  },
  peers: {
    summary: "every node with all that is known of it",
    positionals: [],
    flags: COMMON,
    notes: [],
    examples: ["mesh peers"],
  },
  routes: {
    summary: "which prefix goes to which node, how, and why",
    positionals: [],
    flags: COMMON,
    notes: [],
    examples: ["mesh routes"],
  },
  invite: {
    summary: "make an invite for further nodes",
    positionals: [],
    flags: ["uses", "ttl", ...COMMON],
    notes: ["The invite alone goes to standard output, so it can be piped. Whoever has it can join: hand it over privately."],
    examples: ["mesh invite", "mesh invite --uses 5 --ttl 12h"],
  },
  ping: {
    summary: "probe a node, and say which path the probe took",
    positionals: ["<node>"],
    flags: ["count", "interval", "until-direct", ...COMMON],
    notes: [
      "A node is its name, its address in the mesh, or 8 digits of its id.",
      "Exit code 3 when no probe was answered, or when no packet came through the tunnel; with --until-direct also when",
      "none went straight.",
    ],
    examples: ["mesh ping laptop-c", "mesh ping 10.77.3.1 --count 10 --interval 200ms", "mesh ping laptop-c --until-direct"],
  },
  why: {
    summary: "why packets to a node go as they do: whose prefix, which path, what was tried",
    positionals: ["<node>"],
    flags: COMMON,
    notes: [
      "A node is its name, any address or prefix of its subnet, or 8 digits of its id. Asks nobody: it shows what is known.",
      "Exit code 3 when there is no path.",
    ],
    examples: ["mesh why laptop-c", "mesh why 10.77.3.0/24"],
  },
  netcheck: {
    summary: "what the network here lets this node do: UDP, NAT, IPv6, relays",
    positionals: [],
    flags: COMMON,
    notes: [
      "Asks each member that relays once, and waits up to a second. What it knows it knows from peers.",
      "Exit code 3 when UDP is not answered, or something in the health lines is an error.",
    ],
    examples: ["mesh netcheck", "mesh netcheck --json | jq .mapping"],
  },
  report: {
    summary: "write one file that helps whoever looks for a fault",
    positionals: ["[file]"],
    flags: ["redact", ...COMMON],
    notes: [
      "Version, system, status, routes, metrics, the end of the log, the kernel's view. No keys, no invites.",
      "Addresses and names stay unless --redact. Default file: mesh-report-<network>-<time>.txt, here.",
    ],
    examples: ["mesh report", "mesh report --redact /tmp/report.txt"],
  },
  service: {
    summary: "let systemd start and watch the agent",
    positionals: ["<install|remove>"],
    flags: COMMON,
    notes: [
      "Writes /etc/systemd/system/mesh@.service, with no more rights than the agent needs, and enables mesh@<network>.",
      "An agent that runs already goes on; the lines printed say how to hand it over.",
    ],
    examples: ["mesh service install", "mesh service remove --network lab"],
  },
  completion: {
    summary: "print what makes a shell complete this command",
    positionals: ["<bash|zsh|fish>"],
    flags: ["json", "help"],
    notes: [],
    examples: [
      "mesh completion bash > /etc/bash_completion.d/mesh",
      'mesh completion zsh > "$' + '{fpath[1]}/_mesh"',
      "mesh completion fish > ~/.config/fish/completions/mesh.fish",
    ],
  },
  help: {
    summary: "all commands, or one of them",
    positionals: ["[command]"],
    flags: ["help"],
    notes: [],
    examples: ["mesh help join"],
  },
};

export const commandNames: readonly CommandName[] = Object.keys(COMMANDS).filter(isCommandName);
export const flagNames: readonly FlagName[] = Object.keys(FLAGS).filter(isFlagName);

export function commandEntry(name: CommandName): CommandEntry {
  return COMMANDS[name];
}

export function flagEntry(name: FlagName): FlagEntry {
  return FLAGS[name];
}

export function isCommandName(text: string): text is CommandName {
  return Object.hasOwn(COMMANDS, text);
}

export function isFlagName(text: string): text is FlagName {
  return Object.hasOwn(FLAGS, text);
}
