import { setTimeout as sleep } from "node:timers/promises";
import type { NatKindName } from "../../e2e/lab/nat-kinds.ts";
import type { InternetSpec } from "../../e2e/lab/sites.ts";
import { describeLost, lostOf } from "./echoes.ts";
import { addressOf, type Bench, pathOf, type Rig, type Scenario, withRig } from "./rig.ts";
import { EchoStream } from "./streams.ts";

/** Two hosts of each, so that it meets itself; undefined: a public address. */
const KINDS: Readonly<Record<string, NatKindName | undefined>> = {
  public: undefined,
  fw: "fw",
  eif: "eimr-eif",
  adf: "eimr-adf",
  apdf: "eimr-apdf",
  masq: "masq",
  open: "masq-open",
  adm: "adm-apdf",
  seq: "sym-seq",
  rand: "sym-rand",
  block: "sym-block",
  blocked: "udp-block",
};
const NAMES: readonly string[] = Object.keys(KINDS);
/** Each destination sees another port. */
const VARYING: readonly string[] = ["adm", "seq", "rand", "block"];

/** How packets go: D straight, R by a relay, T by TCP, all the way or to a relay. */
type Letter = "D" | "R" | "T";

/** Pairs that meet at the same time. */
const AT_ONCE = 2;
/** Milliseconds between datagrams, until a pair has the path that it should have, and of watching that path. */
const INTERVAL = 50;
const SETTLED_WITHIN = 60_000;
const WATCHED = 3_000;
const LOOK = 250;
/** Seconds after which a path is told with the time that it took. */
const SLOW = 2;

interface Cell {
  readonly row: string;
  readonly column: string;
}

/** Every kind of NAT and every other and itself: prints the table of the paths they come to. A public member relays, by TCP too. */
export const matrix: Scenario = async (bench) => {
  const sites = NAMES.flatMap((name) => {
    const nat = KINDS[name];
    return nat === undefined ? [] : hostsOf(name).map((host) => ({ name: `${host}s`, nat, hosts: [host], ipv6: "none" }) as const);
  });
  const spec: InternetSpec = { public: ["relay", "standby", ...hostsOf("public")], sites };
  await withRig({ bench, spec, publicFlags: ["--tcp-relay", "443"] }, async (rig) => {
    const waiting = NAMES.flatMap((row, i) => NAMES.slice(i).map((column): Cell => ({ row, column })));
    const found = new Map<string, string>();
    const busy = new Set<string>();
    const work = async (): Promise<void> => {
      while (waiting.length > 0) {
        const index = waiting.findIndex((cell) => !pairOf(cell).some((host) => busy.has(host)));
        const [cell] = index < 0 ? [] : waiting.splice(index, 1);
        if (cell === undefined) {
          await sleep(LOOK);
          continue;
        }
        for (const host of pairOf(cell)) busy.add(host);
        found.set(keyOf(cell), await meet(rig, bench, cell));
        for (const host of pairOf(cell)) busy.delete(host);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    for (const line of table(found)) bench.print(line);
  });
};

function hostsOf(kind: string): readonly [string, string] {
  return [`${kind}-1`, `${kind}-2`];
}

function pairOf({ row, column }: Cell): readonly [string, string] {
  return [hostsOf(row)[0], hostsOf(column)[row === column ? 1 : 0]];
}

function keyOf({ row, column }: Cell): string {
  return `${row} ${column}`;
}

/** What can be had: two ends whose ports both vary have no way to find each other's, unless they count up. */
function expected({ row, column }: Cell): readonly Letter[] {
  if (row === "blocked" || column === "blocked") return ["T"];
  if (!VARYING.includes(row) || !VARYING.includes(column)) return ["D"];
  if (row === "seq" && column === "seq") return ["D"];
  return ["R", "D"];
}

/** Datagrams from one to the other, until the path is what it should be and a moment longer; what the table says of it. */
async function meet({ mesh }: Rig, bench: Bench, cell: Cell): Promise<string> {
  const [one, other] = pairOf(cell).map((host) => mesh.agent(host));
  if (one === undefined || other === undefined) throw new RangeError(keyOf(cell));
  const letters = async (): Promise<string> => {
    const shown = await Promise.all([pathOf(one, other), pathOf(other, one)]);
    const both = [...new Set(shown.map(letterOf))];
    // To the other end's relay it may be UDP.
    return both.includes("T") ? "T" : both.join("/");
  };
  const wanted: readonly string[] = expected(cell);
  const stream = new EchoStream(one.host, await addressOf(other), INTERVAL);
  const startedAt = Date.now();
  let shown = await letters();
  while (!wanted.includes(shown) && Date.now() < startedAt + SETTLED_WITHIN) {
    await sleep(LOOK);
    shown = await letters();
  }
  const seconds = (Date.now() - startedAt) / 1_000;
  await sleep(WATCHED);
  const sent = await stream.end();
  const lost = lostOf(stream.echoes, sent);
  const words = `${shown} after ${seconds.toFixed(1)} s, lost ${lost} of ${sent}${lost === 0 ? "" : ` (${describeLost(stream.echoes, sent)})`}`;
  bench.say(`matrix ${keyOf(cell)}: ${words}`);
  if (!wanted.includes(shown)) bench.complain(`${keyOf(cell)}: ${shown}, should be ${wanted.join(" or ")}`);
  return [shown, ...(seconds > SLOW ? [`${seconds.toFixed()} s`] : []), ...(lost > 0 ? [`−${lost}`] : [])].join(" ");
}

function letterOf(path: string): string {
  if (path === "tcp" || path.includes(" by tcp")) return "T";
  if (path.startsWith("direct")) return "D";
  return path.startsWith("relayed") ? "R" : "none";
}

function table(found: ReadonlyMap<string, string>): readonly string[] {
  const rows = NAMES.map((row, i) => [
    `**${KINDS[row] ?? row}**`,
    ...NAMES.map((column, j) => (j < i ? "" : (found.get(keyOf({ row, column })) ?? "–"))),
  ]);
  return [["", ...NAMES.map((name) => KINDS[name] ?? name)], NAMES.map(() => "---").concat("---"), ...rows].map(
    (cells) => `| ${cells.join(" | ")} |`,
  );
}
