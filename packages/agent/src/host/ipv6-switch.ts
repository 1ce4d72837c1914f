import { access, readFile, writeFile } from "node:fs/promises";

/**
 * The kernel's settings of IPv6, for the host and for one device. Only `disable_ipv6` of our own device is ever
 * changed: hosts that switch IPv6 off do so for every new device, and the mesh's own addresses need it.
 */
export class Ipv6Switch {
  readonly #directory: string;

  /** `procSys` is /proc/sys, of the network namespace of this process. */
  constructor(procSys: string) {
    this.#directory = `${procSys}/net/ipv6`;
  }

  /** False when the kernel was started with `ipv6.disable=1` or built without IPv6. */
  async isSupported(): Promise<boolean> {
    return await access(this.#directory).then(
      () => true,
      () => false,
    );
  }

  /** undefined when IPv6 is usable on the device now; else why not (containers often have a read-only /proc/sys). */
  async turnOn(device: string): Promise<string | undefined> {
    const file = `${this.#directory}/conf/${device}/disable_ipv6`;
    try {
      if ((await readFile(file, "utf8")).trim() !== "0") await writeFile(file, "0");
      return undefined;
    } catch (error) {
      return `${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`;
    }
  }
}
