import type { LabHost } from "../../e2e/lab/lab.ts";

/** UDP between the sites inside a gateway and the rest of the world. */
export interface GatewayCounts {
  readonly sent: number;
  readonly received: number;
  /** Of the sent ones, probes: straight ones and those that a relay is asked to pass on. */
  readonly probes: number;
}

const TABLE = "mesh_bench";
/** The first four bytes of a probe and of what a relay is asked to pass on; there, what it carries begins 12 bytes later. */
const PROBE = "0x216d7368";
const BY_RELAY = "0x226d7368";
/** Before the rules of the NAT may drop anything. Loaded again, it starts at 0. */
const RULES = `table inet ${TABLE}
delete table inet ${TABLE}
table inet ${TABLE} {
  counter sent { }
  counter received { }
  counter probes { }
  chain count {
    type filter hook forward priority -10;
    oifname wan0 meta l4proto udp counter name sent
    iifname wan0 meta l4proto udp counter name received
    oifname wan0 meta l4proto udp @th,64,32 ${PROBE} counter name probes
    oifname wan0 meta l4proto udp @th,64,32 ${BY_RELAY} @th,160,32 ${PROBE} counter name probes
  }
}
`;

/** Counts from now on what passes this gateway. Throws where nft cannot do it. */
export async function countAt(gateway: LabHost): Promise<() => Promise<GatewayCounts>> {
  const { code, stderr } = await gateway.run("nft", ["-f", "-"], { input: RULES });
  if (code !== 0) throw new Error(`nothing is counted at ${gateway.name}: ${stderr.trim()}`);
  return async () => {
    const { stdout } = await gateway.run("nft", ["list", "counters", "table", "inet", TABLE]);
    const of = (name: string): number => Number(new RegExp(`counter ${name} \\{\\s+packets (\\d+)`).exec(stdout)?.[1] ?? Number.NaN);
    return { sent: of("sent"), received: of("received"), probes: of("probes") };
  };
}
