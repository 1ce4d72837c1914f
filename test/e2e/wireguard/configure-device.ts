import type { LabHost } from "../lab/lab.ts";

export interface TunnelDevice {
  readonly device: string;
  readonly mtu: number;
  /** With prefix length; each brings the route to its prefix. */
  readonly addresses: readonly string[];
}

/** Without a link-local address: router solicitations would be packets that no test asked for. */
export async function configureDevice(host: LabHost, { device, mtu, addresses }: TunnelDevice): Promise<void> {
  const lines = [
    `link set dev ${device} mtu ${mtu} addrgenmode none`,
    `link set dev ${device} up`,
    ...addresses.map((address) => `address add ${address} dev ${device}`),
  ];
  const { code, stderr } = await host.run("ip", ["-batch", "-"], { input: `${lines.join("\n")}\n` });
  if (code !== 0) throw new Error(`cannot configure ${device}: ${stderr.trim()}`);
}
