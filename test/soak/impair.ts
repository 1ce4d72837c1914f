import type { Lab } from "../e2e/lab/lab.ts";

/** What the router does to packets that it forwards. */
export interface Impairment {
  /** In words, for the report. */
  readonly text: string;
  /** Packets dropped so far. */
  dropped(): Promise<number>;
}

const LOSS_PERCENT = 1;
const DELAY = "5ms";
const TABLE = "mesh-soak";

/**
 * Loses one packet in a hundred, both ways, and delays what goes to each host where the kernel has netem. Loss is nftables': it
 * works everywhere, and counts.
 */
export async function impair(lab: Lab, router: string, devices: readonly string[]): Promise<Impairment> {
  const host = lab.host(router);
  const rules = `table inet ${TABLE} {\n chain lossy {\n type filter hook forward priority 0;\n numgen random mod 100 < ${LOSS_PERCENT} counter drop\n }\n}\n`;
  const { code, stderr } = await host.run("nft", ["-f", "-"], { input: rules });
  if (code !== 0) throw new Error(`no loss: ${stderr.trim()}`);
  let delayed = 0;
  for (const device of devices) {
    const result = await host.run("tc", ["qdisc", "add", "dev", device, "root", "netem", "delay", DELAY]);
    if (result.code === 0) delayed++;
  }
  const delay = delayed === devices.length ? `${DELAY} of delay to each host` : "no delay (this kernel has no netem)";
  return {
    text: `${LOSS_PERCENT} % loss, ${delay}`,
    dropped: async () => {
      const { stdout } = await host.run("nft", ["list", "table", "inet", TABLE]);
      return Number(/counter packets (\d+)/.exec(stdout)?.[1] ?? 0);
    },
  };
}
