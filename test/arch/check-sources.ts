import { posix } from "node:path";
import type { Room } from "./layers.ts";
import { roomRule } from "./layers.ts";
import type { ImportFact, SourceFacts } from "./scan-source.ts";
import { scanSource } from "./scan-source.ts";

export interface Source {
  /** From the root of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface CheckOptions {
  /** Every door that our packages have: `@mesh/core/errors`, … */
  readonly exported: ReadonlySet<string>;
  /** Files that may be longer than the limit, each with its reason. */
  readonly longFiles: Readonly<Record<string, string>>;
}

/** Lines. A longer file is asking to be two. */
export const LONGEST_FILE = 500;

/** Every broken rule as `path: what`, in the order of the sources. Tests are free to import what they like. */
export function checkSources(sources: readonly Source[], options: CheckOptions): readonly string[] {
  const files = sources.map((source) => describe(source));
  const product = files.filter((file) => file.room !== undefined);
  return [
    ...files.flatMap((file) => checkShape(file, options)),
    ...product.flatMap((file) => checkImports(file, options)),
    ...product.flatMap((file) => checkHiddenInputs(file)),
    ...checkCycles(product, (file) => file.path, "files import each other in a circle"),
    ...checkCycles(
      product.filter((file) => file.packageName === "core"),
      (file) => `core/${file.room}`,
      "rooms import each other in a circle",
    ),
  ];
}

interface FileFacts {
  readonly path: string;
  readonly text: string;
  readonly packageName: string;
  /** Undefined for tests and everything outside the packages' sources: only the rules of shape hold there. */
  readonly room: string | undefined;
  readonly facts: SourceFacts | undefined;
}

function describe({ path, text }: Source): FileFacts {
  const facts = /\.[mc]?ts$/.test(path) ? scanSource(text) : undefined;
  const [, packageName = "", inside = ""] = /^packages\/([^/]+)\/(.*)$/.exec(path) ?? [];
  return { path, text, packageName, room: isTest(path) || facts === undefined ? undefined : roomOf(inside), facts };
}

/** A compliance suite is a test that two implementations share; a fixture is what several tests set up. */
function isTest(path: string): boolean {
  return /(?:\.test|-suite|-fixture)\.ts$/.test(path);
}

/** `src/time/clock.ts` → `time`, `src/errors.ts` → `errors`, `node-crypto.ts` → `node-crypto`; undefined outside the product. */
function roomOf(inside: string): string | undefined {
  if (inside === "node-crypto.ts") return "node-crypto";
  const [, room] = /^src\/([^/]+?)(?:\.ts$|\/)/.exec(inside) ?? [];
  return room;
}

function checkShape({ path, text, facts }: FileFacts, { longFiles }: CheckOptions): readonly string[] {
  const faults: string[] = [];
  const lines = text.split("\n").length - 1;
  if (lines > LONGEST_FILE && longFiles[path] === undefined) faults.push(`${path}: ${lines} lines, and ${LONGEST_FILE} is the limit`);
  if (lines <= LONGEST_FILE && longFiles[path] !== undefined) faults.push(`${path}: is on the list of long files and is not long`);
  if (facts?.hasTripleSlash === true) faults.push(`${path}: a triple-slash reference goes around the import rules`);
  if (facts !== undefined && /\bexport\s+default\b|\bas\s+default\b[^;"']*\}/.test(facts.code))
    faults.push(`${path}: has a default export`);
  return faults;
}

function checkImports(file: FileFacts, { exported }: CheckOptions): readonly string[] {
  const { path, packageName, room = "", facts } = file;
  const rule = roomRule(packageName, room);
  if (rule === undefined) return [`${path}: ${packageName}/${room} is not in the import table`];
  const faults: string[] = [];
  if (facts?.hasComputedImport === true) faults.push(`imports something computed`);
  for (const fact of facts?.imports ?? []) {
    const fault = fact.specifier.startsWith(".") ? relativeFault(file, fact.specifier, rule) : packageFault(fact, rule, exported);
    if (fault !== undefined) faults.push(fault);
  }
  return faults.map((fault) => `${path}: ${packageName}/${room} ${fault}`);
}

function relativeFault(file: FileFacts, specifier: string, rule: Room): string | undefined {
  if (isAddonLoader(file) && specifier === ADDON_BUILD) return undefined;
  if (!specifier.endsWith(".ts")) return `must write the ending of ${specifier}`;
  const target = describe({ path: resolveRelative(file, specifier), text: "" });
  if (target.packageName !== file.packageName) return `must not reach into another package: ${specifier}`;
  if (target.room === undefined) return `must not import a test or what stands outside src: ${specifier}`;
  if (target.room === file.room || rule.rooms.includes("*") || rule.rooms.includes(target.room)) return undefined;
  return `must not import ${target.packageName}/${target.room}`;
}

function packageFault({ specifier, typeOnly }: ImportFact, rule: Room, exported: ReadonlySet<string>): string | undefined {
  if (rule.doors.includes(specifier)) return exported.has(specifier) ? undefined : `imports ${specifier}, which is not exported`;
  if (typeOnly && rule.types?.includes(specifier) === true) return undefined;
  return rule.packages.some((pattern) => matches(pattern, specifier)) ? undefined : `must not import ${specifier}`;
}

/** A package's name stands for its inner paths too; a star at the end stands for any rest. */
function matches(pattern: string, specifier: string): boolean {
  if (pattern.endsWith("*")) return specifier.startsWith(pattern.slice(0, -1));
  return specifier === pattern || (!pattern.startsWith("node:") && specifier.startsWith(`${pattern}/`));
}

function resolveRelative(file: FileFacts, specifier: string): string {
  return posix.join(posix.dirname(file.path), specifier);
}

/** Clock and chance come from the caller, and so do timers; Node's loaders go around the import table. */
const HIDDEN_INPUTS: readonly { readonly pattern: RegExp; readonly what: string; readonly free: (file: FileFacts) => boolean }[] = [
  { pattern: /\bDate\s*\.\s*now\b|\bnew\s+Date\b|(?<!\.)\bDate\s*\(|\bperformance\s*\./, what: "reads a clock", free: mayTellTime },
  { pattern: /(?<!\.)\bset(?:Timeout|Interval|Immediate)\s*\(/, what: "starts a timer", free: mayTellTime },
  { pattern: /\bMath\s*\.\s*random\b/, what: "draws from Math.random", free: () => false },
  {
    pattern: /\bcreateRequire\b|\bprocess\s*\.\s*dlopen\b/,
    what: "loads modules past the import table",
    free: isAddonLoader,
  },
];

/** The rule is for the rules and the shell: of the command line and the fast path, only that they draw no dice. */
function mayTellTime({ packageName, room }: FileFacts): boolean {
  return packageName === "cli" || packageName === "datapath" || (packageName === "agent" && room === "runtime");
}

/** Says where the built addon is; plain JavaScript, because the machine's own Node runs it at install time. */
const ADDON_BUILD = "../build.mjs";

function isAddonLoader({ path }: FileFacts): boolean {
  return path === "packages/datapath/src/native.ts";
}

function checkHiddenInputs(file: FileFacts): readonly string[] {
  const code = file.facts?.code ?? "";
  return HIDDEN_INPUTS.filter(({ pattern, free }) => !free(file) && pattern.test(code)).map(({ what }) => `${file.path}: ${what}`);
}

/** One fault for every circle that a walk finds, named by its members. `nameOf` says what counts as one place. */
function checkCycles(files: readonly FileFacts[], nameOf: (file: FileFacts) => string, what: string): readonly string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const edges = new Map<string, Set<string>>();
  for (const file of files) {
    const from = nameOf(file);
    const targets = edges.get(from) ?? new Set<string>();
    edges.set(from, targets);
    for (const { specifier } of file.facts?.imports ?? []) {
      const target = specifier.startsWith(".") ? byPath.get(resolveRelative(file, specifier)) : undefined;
      if (target !== undefined && nameOf(target) !== from) targets.add(nameOf(target));
    }
  }
  return findCircles(edges).map((circle) => `${circle.join(" → ")}: ${what}`);
}

function findCircles(edges: ReadonlyMap<string, ReadonlySet<string>>): readonly (readonly string[])[] {
  const circles: (readonly string[])[] = [];
  const done = new Set<string>();
  const walk = (place: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(place);
    if (seenAt >= 0) circles.push([...trail.slice(seenAt), place]);
    if (seenAt >= 0 || done.has(place)) return;
    for (const next of edges.get(place) ?? []) walk(next, [...trail, place]);
    done.add(place);
  };
  for (const place of edges.keys()) walk(place, []);
  return circles;
}
