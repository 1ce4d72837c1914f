import { access } from "node:fs/promises";
import { MeshError } from "@mesh/core/errors";
import type { HostChanges } from "./host-changes.ts";

/**
 * The kernel's settings of IPv6, for the host and for one device. Only `disable_ipv6` of our own device is ever
 * changed: hosts that switch IPv6 off do so for every new device, and the mesh's own addresses need it.
 */
export class Ipv6Switch {
  readonly #proc: string;
  readonly #changes: Pick<HostChanges, "setSysctl">;

  /** `proc` is /proc, of the network namespace of this process. */
  constructor(proc: string, changes: Pick<HostChanges, "setSysctl">) {
    this.#proc = proc;
    this.#changes = changes;
  }

  /** False when the kernel was started with `ipv6.disable=1` or built without IPv6. */
  async isSupported(): Promise<boolean> {
    return await access(`${this.#proc}/sys/net/ipv6`).then(
      () => true,
      () => false,
    );
  }

  /** undefined when IPv6 is usable on the device now; else why not (containers often have a read-only /proc/sys). */
  async turnOn(device: string, index: number): Promise<string | undefined> {
    const path = `net/ipv6/conf/${device}/disable_ipv6`;
    try {
      await this.#changes.setSysctl({ path, value: "0", index });
      return undefined;
    } catch (error) {
      // A journal that cannot be written is another matter than a setting that cannot.
      if (error instanceof MeshError) throw error;
      return `${this.#proc}/sys/${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`;
    }
  }
}
