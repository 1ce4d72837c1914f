import { once } from "node:events";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import type { Allocation, Filtering, Mapping, NatClass } from "./nat-kinds.ts";
import type { ProbeFindings, ProbeQuestions } from "./nat-probe.ts";
import { mustRun } from "./run-command.ts";

/** Finds out what NAT a host of the lab is behind, knowing nothing of its rules. */
export interface NatProber {
  /** Takes 4 s where UDP is blocked, else well below one, and as long as the longest wait. */
  probe(host: string, waits?: readonly number[]): Promise<NatReport>;
  /** The outside ports of these ports of the host. */
  outsidePorts(host: string, insidePorts: readonly number[]): Promise<readonly number[]>;
}

export interface NatReport {
  readonly class: NatClass | "blocked";
  readonly hairpin: ProbeFindings["hairpin"];
  /** Milliseconds: something came in when a mapping was this old and unused, and nothing did when it was that old. */
  readonly openAt: number;
  readonly closedAt: number;
}

const SCRIPT: string = join(import.meta.dirname, "nat-probe.ts");
const PORTS: readonly [number, number] = [3_478, 3_479];
/** Of 4 pooled addresses all destinations see the same one once in 4 million times. */
const ADDRESSES = 12;
const FIRST_ADDRESS = 100;
/** A carrier's block of ports. */
const BLOCK_PORTS = 1_024;

/** Serves on the public host, by more addresses of its network than it has. */
export async function openNatProber(lab: Lab, publicHost: string): Promise<NatProber> {
  const server = lab.host(publicHost);
  const network = server.address4.slice(0, server.address4.lastIndexOf("."));
  const addresses = Array.from({ length: ADDRESSES }, (_, n) => `${network}.${FIRST_ADDRESS + n}`);
  for (const address of addresses) await mustRun("ip", ["-n", server.namespace, "address", "replace", `${address}/24`, "dev", "eth0"]);
  const child = server.spawn(process.execPath, [SCRIPT, "serve", addresses.join(","), PORTS.join(",")]);
  child.stderr?.pipe(process.stderr);
  if (child.stdout !== null) await once(child.stdout, "data");
  const ask = async (host: string, questions: Omit<ProbeQuestions, "addresses" | "ports">): Promise<ProbeFindings> => {
    const { code, stdout, stderr } = await lab
      .host(host)
      .run(process.execPath, [SCRIPT, "ask", JSON.stringify({ addresses, ports: PORTS, ...questions })], { timeout: 60_000 });
    if (code !== 0) throw new Error(`${host} cannot find out: ${stderr.trim()}`);
    return JSON.parse(stdout) as ProbeFindings;
  };
  return {
    probe: async (host, waits = []) => reportOf(await ask(host, { waits })),
    outsidePorts: async (host, onlyPorts) => (await ask(host, { onlyPorts })).ports.map(({ outside }) => outside),
  };
}

export function reportOf(findings: ProbeFindings): NatReport {
  const { blocked, hairpin, waits } = findings;
  return {
    class: blocked ? "blocked" : classOf(findings),
    hairpin,
    openAt: Math.max(0, ...waits.filter(({ arrived }) => arrived).map(({ ms }) => ms)),
    closedAt: Math.min(...waits.filter(({ arrived }) => !arrived).map(({ ms }) => ms)),
  };
}

function classOf(findings: ProbeFindings): NatClass {
  return {
    mapping: mappingOf(findings),
    filtering: filteringOf(findings),
    allocation: allocationOf(findings),
    pooled: new Set(findings.addresses).size > 1,
  };
}

/** RFC 5780, section 4.3. A random port may be the same twice, but not for every socket. */
function mappingOf({ mappings, insideAddresses }: ProbeFindings): Mapping {
  if (mappings.every(([seen]) => insideAddresses.includes(seen.address))) return "none";
  if (mappings.some(([first, otherPort]) => !same(first, otherPort))) return "APDM";
  return mappings.some(([first, , otherAddress]) => !same(first, otherAddress)) ? "ADM" : "EIM";
}

/** RFC 5780, section 4.4. */
function filteringOf({ hears }: ProbeFindings): Filtering {
  if (hears.otherAddress) return "EIF";
  return hears.otherPort ? "ADF" : "APDF";
}

function allocationOf({ ports }: ProbeFindings): Allocation {
  const outside = ports.map((port) => port.outside);
  if (ports.every((port) => port.inside === port.outside)) return "kept";
  if (outside.every((port, n) => n === 0 || port === (outside[n - 1] ?? 0) + 1)) return "sequential";
  return Math.max(...outside) - Math.min(...outside) < BLOCK_PORTS ? "block" : "scattered";
}

function same(one: { readonly address: string; readonly port: number }, other: typeof one): boolean {
  return one.address === other.address && one.port === other.port;
}
