/**
 * pnpm lab up <topology>                   makes an internet out of network namespaces, which stays until `down`
 * pnpm lab shell <host> [command …]        a shell, or the command, on that host
 * pnpm lab cut <link> [unplugged]          packets vanish, or the device loses its carrier
 * pnpm lab heal <link>
 * pnpm lab wire <link> [delay=… loss=… …]  changes what the link does to packets and shows it
 * pnpm lab list                            topologies, and what is up
 * pnpm lab down
 *
 * Exit codes: 0; 1 when it cannot be done, 2 when it was not asked properly, each with one line; that of the shell or command.
 */
import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { findCommand, prepareHost } from "../../prepare-host.ts";
import { type Lab, type LabHost, labRefusal, openLab, reopenLab } from "./lab.ts";
import { readRecords, sweepLabs } from "./lab-record.ts";
import { NAMED_INTERNETS, planNamed } from "./named-internets.ts";
import { exitOf } from "./run-command.ts";
import type { LinkSpec, NodeSpec } from "./topology.ts";
import type { WireDirection, WireState } from "./wire.ts";
import { formatWireWords, parseWireWords } from "./wire-settings.ts";

const ROOT: string = join(import.meta.dirname, "../../..");
const USAGE =
  "usage: pnpm lab up <topology> | shell <host> [command] | cut <link> [unplugged] | heal <link> | wire <link> [delay=25ms loss=5% …] | list | down";

/** What somebody asked for and cannot have, as a sentence. */
class Refusal extends Error {
  readonly code: number;

  constructor(message: string, code = 1) {
    super(message);
    this.code = code;
  }
}

type Command = (words: readonly string[]) => Promise<number>;

const COMMANDS: Readonly<Record<string, Command>> = {
  up: (words) => up(only(words)),
  down: (words) => down(words),
  list: (words) => list(words),
  shell: ([host, ...command]) => shell(given(host), command[0] === "--" ? command.slice(1) : command),
  cut: ([link, ...kind]) => cut(given(link), kind.length === 0 ? "silent" : only(kind)),
  heal: (words) => heal(only(words)),
  wire: ([link, ...settings]) => wire(given(link), settings),
  help: () => help(),
  "--help": () => help(),
};

await main(process.argv.slice(2));

async function main([name = "", ...words]: readonly string[]): Promise<void> {
  try {
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new Refusal(USAGE, 2);
    process.exitCode = await command(words);
  } catch (error) {
    // RangeErrors are what the lab says of names and numbers that it does not know.
    if (!(error instanceof Refusal || error instanceof RangeError)) throw error;
    console.error(error.message);
    process.exitCode = error instanceof Refusal ? error.code : 1;
  }
}

function help(): Promise<number> {
  console.log(USAGE);
  return Promise.resolve(0);
}

async function up(name: string): Promise<number> {
  const internet = planNamed(name);
  if (internet === undefined) throw new Refusal(`there is no topology ${name}, only ${Object.keys(NAMED_INTERNETS).join(", ")}`);
  mustBePossible();
  const [already] = keptRecords();
  if (already !== undefined) throw new Refusal(`a lab is up already, ${already.kept}: pnpm lab down takes it away`);
  const missing = await prepareHost(["engine", "network", "firewall", "ping"]);
  const needed = missing.filter(({ command }) => ["ip", "nft", "g++"].includes(command));
  if (needed.length > 0) throw new Refusal(`no lab without ${needed.map(({ command }) => command).join(", ")}`);
  const lab = await openLab(internet.topology, { name });
  try {
    await show(lab, name);
    lab.keep(name);
  } catch (error) {
    await lab.close();
    throw error;
  }
  return 0;
}

async function down(words: readonly string[]): Promise<number> {
  mustBeAll(words);
  mustBePossible();
  const records = keptRecords();
  if (records.length === 0) throw new Refusal("no lab is up");
  for (const record of records) {
    await reopenLab(record).close();
    console.log(`${record.kept} is down; no namespace, process or file of it is left`);
  }
  return 0;
}

async function list(words: readonly string[]): Promise<number> {
  mustBeAll(words);
  for (const [name, { title }] of Object.entries(NAMED_INTERNETS)) console.log(`${name.padEnd(8)} ${title}`);
  mustBePossible();
  for (const record of keptRecords()) await show(reopenLab(record), record.kept ?? record.id);
  return 0;
}

/** The agent of each host has a state of its own, and `mesh` is on the path. */
async function shell(name: string, command: readonly string[]): Promise<number> {
  const lab = lone();
  const host = lab.host(name);
  const state = join(lab.directory, `state-${name}`);
  await mkdir(state, { recursive: true });
  const env = { ...process.env, MESH_STATE: state, PATH: `${ROOT}:${process.env["PATH"] ?? ""}`, PS1: `${name}# ` };
  const interactive = findCommand("bash") === undefined ? ["sh"] : ["bash", "--norc"];
  const words = ["netns", "exec", host.namespace, ...(command.length > 0 ? command : interactive)];
  const child = spawn("ip", words, { stdio: "inherit", env });
  // A terminal sends ^C to both, and it is meant for what runs there.
  for (const signal of ["SIGINT", "SIGQUIT"] as const) process.on(signal, () => {});
  return (await exitOf(child)) ?? 1;
}

async function cut(link: string, kind: string): Promise<number> {
  if (kind !== "silent" && kind !== "unplugged") throw new Refusal(`a link is cut silent or unplugged, not ${kind}`, 2);
  const lab = lone();
  await lab.cut(link, kind);
  console.log(`${link} is cut: pnpm lab heal ${link}`);
  return 0;
}

async function heal(link: string): Promise<number> {
  await lone().heal(link);
  console.log(`${link} is whole`);
  return 0;
}

/** `there` or `back` among the settings means one direction: from the host or gateway to the rest, or from the rest to it. */
async function wire(link: string, words: readonly string[]): Promise<number> {
  const settings = parseWireWords(words.filter((word) => word !== "there" && word !== "back"));
  const direction: { direction?: WireDirection } = {};
  if (words.includes("there") !== words.includes("back")) direction.direction = words.includes("there") ? 0 : 1;
  const [there, back] = await lone().wire(link, { ...settings, ...direction });
  console.log(`there  ${describeWire(there)}\nback   ${describeWire(back)}`);
  return 0;
}

async function show(lab: Lab, name: string): Promise<void> {
  const { nodes, links } = lab.topology;
  console.log(`\n${name} is up: ${NAMED_INTERNETS[name]?.title ?? "a topology that is not known any more"}\n`);
  for (const node of nodes.filter(({ kind }) => kind === "host")) console.log(describeHost(lab.host(node.name), node, links));
  console.log("");
  for (const link of links) console.log(await describeLink(lab, link));
  const [first] = nodes.filter(({ kind }) => kind === "host").map((node) => node.name);
  console.log(`\npnpm lab shell ${first}                  a shell there, for mesh init, mesh join and whatever else`);
  console.log(`pnpm lab wire <link> delay=50ms loss=2%  pnpm lab cut <link>  pnpm lab heal <link>  pnpm lab down`);
}

function describeHost(host: LabHost, { name }: NodeSpec, links: readonly LinkSpec[]): string {
  const link = links.find(({ ends }) => ends[0].node === name);
  const behind = link === undefined || link.ends[1].node === "core" ? "public" : `behind ${link.ends[1].node}`;
  return `host ${name.padEnd(10)} ${behind.padEnd(16)} ${host.addresses.join("  ")}`;
}

async function describeLink(lab: Lab, { name, ends, wire: wired }: LinkSpec): Promise<string> {
  const what = wired === undefined ? "" : formatWireWords((await lab.wire(name))[0].settings) || "a wire without delay or loss";
  const state = (await lab.isCut(name)) ? "cut  " : "";
  return `link ${name.padEnd(10)} ${`${ends[0].node} – ${ends[1].node}`.padEnd(22)} ${state}${what}`.trimEnd();
}

function describeWire({ settings, counters }: WireState): string {
  const { frames, delivered, full, cut: whileCut } = counters;
  const lost = counters.lost + counters.burstLost;
  const words = [formatWireWords(settings) || "plain", ...(settings.cut ? ["cut"] : [])].join(" ");
  return `${words}; ${frames} frames, ${delivered} delivered, ${lost} lost, ${full} in a full queue, ${whileCut} cut`;
}

function lone(): Lab {
  mustBePossible();
  const [record, second] = keptRecords();
  if (record === undefined) throw new Refusal(`no lab is up: pnpm lab up <${Object.keys(NAMED_INTERNETS).join("|")}>`);
  if (second !== undefined) throw new Refusal(`two labs are up, ${record.kept} and ${second.kept}: pnpm lab down takes them away`);
  return reopenLab(record);
}

function keptRecords(): ReturnType<typeof readRecords> {
  sweepLabs();
  return readRecords().filter(({ kept }) => kept !== undefined);
}

function mustBePossible(): void {
  const refusal = labRefusal();
  if (refusal === undefined || (refusal.startsWith("the ip command") && process.argv[2] === "up")) return;
  throw new Refusal(`no lab here: ${refusal}`);
}

function given(word: string | undefined): string {
  if (word === undefined) throw new Refusal(USAGE, 2);
  return word;
}

function only([word, ...rest]: readonly string[]): string {
  mustBeAll(rest);
  return given(word);
}

function mustBeAll(rest: readonly string[]): void {
  if (rest.length > 0) throw new Refusal(USAGE, 2);
}
