import type { Datapath, DatapathOptions, Millis } from "@mesh/core/ports";
import { nativeBootTime, openNativeDatapath } from "./native.ts";

/**
 * Opens the packet engine: makes the TUN device (down, without addresses) and the UDP socket, and starts moving packets.
 * Throws MeshError: `datapath/port-taken`, `datapath/tun-taken`, `datapath/tun-failed`, `datapath/unavailable`, `host/not-root`.
 */
export function openDatapath(options: DatapathOptions): Datapath {
  return openNativeDatapath(options);
}

/** CLOCK_BOOTTIME in milliseconds, the clock of every instant of an engine; Node itself cannot read it. Throws MeshError `datapath/unavailable`. */
export function bootTime(): Millis {
  return nativeBootTime();
}
