import { isAbsolute, resolve } from "node:path";
import { parseArgs } from "node:util";
import { MAX_INVITE_SECONDS, MAX_INVITE_USES } from "@mesh/core/api";
import {
  DEFAULT_NETWORK,
  DEFAULT_STATE_ROOT,
  datapathBackend,
  deviceName,
  endpointText,
  type LaunchOrder,
  type LogLevel,
  logLevel,
  nameText,
  nodeBits,
  portNumber,
  prefix4Text,
  relayLimit,
  type Shape,
  ShapeError,
  tcpRelayPort,
  wholeNumber,
} from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import {
  type CommandName,
  commandEntry,
  commandNames,
  DEFAULT_COUNT,
  DEFAULT_INTERVAL,
  DEFAULT_PATIENT_COUNT,
  type FlagName,
  flagEntry,
  flagNames,
  isCommandName,
  isFlagName,
} from "./command-table.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { nearest } from "./nearest.ts";

/** A command line, read and checked. */
export type Command =
  | { readonly name: "help"; readonly topic?: CommandName }
  | { readonly name: "version" }
  | StartCommand
  | (Target & { readonly name: "down" | "peers" | "routes" | "netcheck" })
  | (Target & { readonly name: "why"; readonly node: string })
  | (Target & { readonly name: "status"; readonly watch: boolean })
  | (Target & { readonly name: "leave"; readonly force: boolean; readonly yes: boolean })
  | (Target & { readonly name: "clean"; readonly logLevel?: LogLevel })
  | (Target & { readonly name: "service"; readonly action: ServiceAction })
  /** `file`: absolute. */
  | (Target & { readonly name: "report"; readonly redact: boolean; readonly file?: string })
  | { readonly name: "completion"; readonly shell: Shell; readonly json: boolean }
  | (Target & { readonly name: "invite"; readonly uses?: number; readonly ttlSeconds?: number })
  | PingCommand;

interface PingCommand extends Target {
  readonly name: "ping";
  readonly node: string;
  readonly count: number;
  /** Milliseconds. */
  readonly interval: number;
  readonly untilDirect: boolean;
}

export type ServiceAction = "install" | "remove";
export type Shell = "bash" | "zsh" | "fish";

/** `init`, `join` or `up`: the order for the new agent, whose invite is still to be read when it is `-`. */
export interface StartCommand {
  readonly name: "init" | "join" | "up";
  readonly order: StartOrder;
  readonly foreground: boolean;
  readonly json: boolean;
}

type StartOrder = LaunchOrder & { readonly command: StartCommand["name"] };

/** Which agent is asked, and how its answer is shown. */
export interface Target {
  readonly stateRoot: string;
  /** Undefined: the only network there is. */
  readonly network?: string;
  readonly json: boolean;
}

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute; what `--state` is relative to. */
  readonly directory: string;
}

/** Probes of one ping: enough to see the path change, and a mistyped number does not run for days. */
const MAX_COUNT = 10_000;

/** Milliseconds. Faster than 10 ms is a load test, slower than an hour is a job for cron. */
const MIN_INTERVAL = 10;
const MAX_INTERVAL = 3_600_000;

/** Reads the arguments after `mesh`. Throws MeshError `usage/invalid`; its message never holds an argument of `join`. */
export function parseArguments(args: readonly string[], surroundings: Surroundings): Command {
  const given = readTokens(args);
  if (given.version) return { name: "version" };
  const [word, ...rest] = given.positionals;
  if (word === undefined) {
    if (given.flags.has("help")) return { name: "help" };
    throw usage("Which command?", "See what there is: mesh help");
  }
  if (!isCommandName(word)) throw unknownCommand(word);
  checkFlags(word, given);
  if (given.flags.has("help")) return { name: "help", topic: word };
  checkPositionals(word, rest);
  const flags = new Flags(word, given.flags, surroundings);
  switch (word) {
    case "help":
      return helpCommand(rest[0]);
    case "init":
      return startCommand(flags, initOrder(flags, rest[0]));
    case "join":
      return startCommand(flags, joinOrder(flags, rest[0] ?? ""));
    case "up":
      return startCommand(flags, upOrder(flags));
    case "down":
    case "peers":
    case "routes":
    case "netcheck":
      return { name: word, ...flags.target() };
    case "status":
      return { name: word, ...flags.target(), watch: flags.has("watch") };
    case "leave":
      return { name: word, ...flags.target(), force: flags.has("force"), yes: flags.has("yes") };
    case "clean":
      return { name: word, ...flags.target(), ...present({ logLevel: flags.read("log-level", logLevel) }) };
    case "service":
      return { name: word, ...flags.target(), action: oneWordOf(word, rest[0], ["install", "remove"]) };
    case "report":
      return { name: word, ...flags.target(), redact: flags.has("redact"), ...present({ file: flags.path(rest[0]) }) };
    case "completion":
      return { name: word, shell: oneWordOf(word, rest[0], ["bash", "zsh", "fish"]), json: flags.has("json") };
    case "invite":
      return {
        name: word,
        ...flags.target(),
        ...present({ uses: flags.number("uses", wholeNumber(1, MAX_INVITE_USES)), ttlSeconds: flags.ttl() }),
      };
    case "why":
      return { name: word, ...flags.target(), node: rest[0] ?? "" };
    case "ping": {
      const untilDirect = flags.has("until-direct");
      const count = flags.number("count", wholeNumber(1, MAX_COUNT)) ?? (untilDirect ? DEFAULT_PATIENT_COUNT : DEFAULT_COUNT);
      const interval = flags.duration("interval", MIN_INTERVAL, MAX_INTERVAL) ?? DEFAULT_INTERVAL;
      return { name: word, ...flags.target(), node: rest[0] ?? "", count, interval, untilDirect };
    }
  }
}

/** Whether the errors of this command line are to be printed as JSON, also when it cannot be parsed. */
export function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end === -1 ? args : args.slice(0, end)).includes("--json");
}

interface Given {
  readonly positionals: readonly string[];
  /** As given; a flag without value is "". */
  readonly flags: ReadonlyMap<FlagName, string>;
  readonly version: boolean;
}

function readTokens(args: readonly string[]): Given {
  const options = Object.fromEntries(
    flagNames.map((name) => [name, { type: flagEntry(name).value === undefined ? ("boolean" as const) : ("string" as const) }]),
  );
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  const positionals: string[] = [];
  const flags = new Map<FlagName, string>();
  let version = false;
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    if (rawName === "--version") version = true;
    else if (rawName === "-h") flags.set("help", "");
    else if (!rawName.startsWith("--") || !isFlagName(name)) throw unknownFlag(rawName);
    else flags.set(name, flagValue(name, value, inlineValue ?? false));
  }
  return { positionals, flags, version };
}

function flagValue(name: FlagName, value: string | undefined, inline: boolean): string {
  const { value: placeholder } = flagEntry(name);
  if (placeholder === undefined) {
    if (value !== undefined) throw usage(`--${name} takes no value.`, `Write only: --${name}`);
    return "";
  }
  if (value === undefined || value === "" || (!inline && value.startsWith("-")))
    throw usage(`--${name} needs a value.`, `Write: --${name} <${placeholder}>`);
  return value;
}

function checkFlags(command: CommandName, { flags }: Given): void {
  const allowed: readonly FlagName[] = commandEntry(command).flags;
  for (const flag of flags.keys())
    if (!allowed.includes(flag)) throw usage(`mesh ${command} has no --${flag}.`, `See what it takes: mesh help ${command}`);
}

function checkPositionals(command: CommandName, given: readonly string[]): void {
  const { positionals } = commandEntry(command);
  const form = `Write: mesh ${[command, ...positionals].join(" ")}`;
  const missing = positionals.find((name, i) => name.startsWith("<") && (given[i] ?? "") === "");
  if (missing !== undefined) throw usage(`mesh ${command} needs ${missing}.`, form);
  if (given.length > positionals.length)
    throw usage(positionals.length === 0 ? `mesh ${command} takes no argument.` : `mesh ${command} takes one argument.`, form);
}

function oneWordOf<const T extends string>(command: CommandName, given: string | undefined, words: readonly T[]): T {
  const found = words.find((word) => word === given);
  if (found === undefined) throw usage(`mesh ${command} takes one of ${words.join(", ")}.`, `Write: mesh ${command} ${words[0]}`);
  return found;
}

function helpCommand(topic: string | undefined): Command {
  if (topic === undefined) return { name: "help" };
  if (!isCommandName(topic)) throw unknownCommand(topic);
  return { name: "help", topic };
}

function startCommand(flags: Flags, order: StartOrder): StartCommand {
  return { name: order.command, order, foreground: flags.has("foreground"), json: flags.has("json") };
}

function initOrder(flags: Flags, word: string | undefined): StartOrder {
  const flag = flags.text("network");
  if (word !== undefined && flag !== undefined && word !== flag) throw usage("The network is named twice.", "Write: mesh init <network>");
  const network = word === undefined ? (flags.network() ?? DEFAULT_NETWORK) : networkName(word);
  return {
    command: "init",
    ...flags.startOptions(),
    network,
    ...present({ cidr: flags.read("cidr", prefix4Text), nodeBits: flags.number("node-bits", nodeBits) }),
  };
}

/** The invite knows its network: only `--network` on the line is passed on, as a thing to check, and MESH_NETWORK is not. */
function joinOrder(flags: Flags, invite: string): StartOrder {
  const network = flags.has("network") ? flags.network() : undefined;
  return { command: "join", ...flags.startOptions(), invite, ...present({ network }) };
}

function upOrder(flags: Flags): StartOrder {
  return { command: "up", ...flags.startOptions(), ...present({ network: flags.network() }) };
}

/** The flags of one command as values of their kinds; each reader throws when the text is not of its kind. */
class Flags {
  readonly #command: CommandName;
  readonly #given: ReadonlyMap<FlagName, string>;
  readonly #surroundings: Surroundings;

  constructor(command: CommandName, given: ReadonlyMap<FlagName, string>, surroundings: Surroundings) {
    this.#command = command;
    this.#given = given;
    this.#surroundings = surroundings;
  }

  has(flag: FlagName): boolean {
    return this.#given.has(flag);
  }

  text(flag: FlagName): string | undefined {
    return this.#given.get(flag);
  }

  target(): Target {
    return { stateRoot: this.#stateRoot(), json: this.has("json"), ...present({ network: this.network() }) };
  }

  startOptions(): Pick<
    LaunchOrder,
    "stateRoot" | "nodeName" | "tunName" | "backend" | "udpPort" | "listen" | "relayLimit" | "noPortMap" | "tcpRelay" | "logLevel"
  > {
    const options = {
      nodeName: this.read("name", nameText) ?? this.read("node-name", nameText),
      tunName: this.read("tun", deviceName),
      backend: this.read("backend", datapathBackend),
      udpPort: this.number("udp-port", portNumber),
      listen: this.read("listen", endpointText),
      relayLimit: this.#relayLimit(),
      noPortMap: this.has("no-port-map") || undefined,
      tcpRelay: this.number("tcp-relay", tcpRelayPort),
      logLevel: this.read("log-level", logLevel),
    };
    return { stateRoot: this.#stateRoot(), ...present(options) };
  }

  /** Mbit/s. */
  #relayLimit(): number | undefined {
    const limit = this.number("relay-limit", relayLimit);
    if (!this.has("no-relay")) return limit;
    if (limit !== undefined && limit !== 0) throw usage("--no-relay and --relay-limit contradict each other.", "Write one of them.");
    return 0;
  }

  network(): string | undefined {
    const network = this.#variable("MESH_NETWORK");
    return this.read("network", nameText) ?? (network === undefined ? undefined : networkName(network));
  }

  read<T>(flag: FlagName, shape: Shape<T>): T | undefined {
    const text = this.text(flag);
    return text === undefined ? undefined : this.#shaped(flag, text, shape);
  }

  number(flag: FlagName, shape: Shape<number>): number | undefined {
    const text = this.text(flag);
    return text === undefined ? undefined : this.#shaped(flag, /^\d{1,9}$/.test(text) ? Number(text) : text, shape);
  }

  /** Milliseconds. */
  duration(flag: FlagName, min: number, max: number): number | undefined {
    const text = this.text(flag);
    if (text === undefined) return undefined;
    const value = parseDuration(text);
    if (value === undefined || !(value >= min && value <= max))
      throw this.#wrong(flag, `a time with its unit, like 30s, 10m, 12h or 7d, from ${formatDuration(min)} to ${formatDuration(max)}`);
    return value;
  }

  ttl(): number | undefined {
    const ttl = this.duration("ttl", 1_000, MAX_INVITE_SECONDS * 1_000);
    return ttl === undefined ? undefined : Math.round(ttl / 1_000);
  }

  /** Absolute; undefined for nothing. */
  path(given: string | undefined): string | undefined {
    if (given === undefined || given === "") return undefined;
    return isAbsolute(given) ? resolve(given) : resolve(this.#surroundings.directory, given);
  }

  #stateRoot(): string {
    return this.path(this.text("state") ?? this.#variable("MESH_STATE")) ?? DEFAULT_STATE_ROOT;
  }

  #variable(name: string): string | undefined {
    const value = this.#surroundings.env[name];
    return value === "" ? undefined : value;
  }

  #shaped<T>(flag: FlagName, value: unknown, shape: Shape<T>): T {
    return shaped(shape, value, { what: `--${flag}`, hint: `See: mesh help ${this.#command}` });
  }

  #wrong(flag: FlagName, expected: string): MeshError {
    return usage(`--${flag} must be ${expected}.`, `See: mesh help ${this.#command}`);
  }
}

function networkName(text: string): string {
  return shaped(nameText, text, { what: "A network's name", hint: `For example: ${DEFAULT_NETWORK}` });
}

function shaped<T>(shape: Shape<T>, value: unknown, { what, hint }: { readonly what: string; readonly hint: string }): T {
  try {
    return shape(value, what);
  } catch (error) {
    if (error instanceof ShapeError) throw usage(`${error.message}.`, hint);
    throw error;
  }
}

function unknownCommand(word: string): MeshError {
  const meant = nearest(word, commandNames);
  // A long word may be an invite whose command was forgotten, and that is not repeated.
  const quoted = word.length <= 16 ? ` "${printable(word)}"` : " of that name";
  return usage(`There is no command${quoted}.`, meant === undefined ? "See what there is: mesh help" : `Did you mean: mesh ${meant}`);
}

function unknownFlag(flag: string): MeshError {
  const meant = nearest(flag.replace(/^-+/, ""), flagNames);
  return usage(
    `There is no flag ${printable(flag)}.`,
    meant === undefined ? "See what there is: mesh help <command>" : `Did you mean: --${meant}`,
  );
}

function usage(reason: string, hint: string): MeshError {
  return new MeshError("usage/invalid", reason, { reason }, { hint });
}

function printable(text: string): string {
  return text.slice(0, 40).replace(/[^\x20-\x7e]/g, "?");
}

type Present<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the keys whose value is undefined. */
function present<T extends object>(values: T): Present<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>;
}
