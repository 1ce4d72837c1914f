import { uptime } from "node:os";
import { MeshError } from "@mesh/core/errors";
import type { Datapath, DatapathInfo, DatapathOptions, Millis } from "@mesh/core/ports";
import { BootClock } from "./boot-clock.ts";
import { nativeBootTime, openNativeDatapath } from "./native.ts";
import { openTwinDatapath } from "./twin/twin-datapath.ts";

export interface OpenDatapathOptions extends DatapathOptions {
  /** Default: the native engine, or where it is not built or does not load, its twin in TypeScript. */
  readonly backend?: DatapathInfo["backend"];
}

/**
 * Opens the packet engine: makes the TUN device (down, without addresses) and the UDP socket, and starts moving packets.
 * `info.backend` says which one it is. Throws MeshError: `datapath/port-taken`, `datapath/tun-taken`,
 * `datapath/tun-failed`, `datapath/unavailable`, `host/not-root`.
 */
export function openDatapath({ backend, ...options }: OpenDatapathOptions): Datapath {
  const isNative = backend === undefined ? isNativeBuilt() : backend === "native";
  return isNative ? openNativeDatapath(options) : openTwinDatapath({ ...options, now: bootTime });
}

/** CLOCK_BOOTTIME in milliseconds and parts of them: the clock of every instant of an engine. */
export function bootTime(): Millis {
  clock ??= isNativeBuilt() ? nativeBootTime : bootClock();
  return clock();
}

/** One for the process, so that all its instants compare. */
let clock: (() => Millis) | undefined;
let isBuilt: boolean | undefined;

function bootClock(): () => Millis {
  // os.uptime() is /proc/uptime: seconds, cut to hundredths; rounded, because 0.29 * 1000 is not 290.
  const made = new BootClock({ monotonic: () => performance.now(), boot: () => Math.round(uptime() * 100) * 10 });
  return () => made.now();
}

/** It is asked once: the answer costs a look at all its sources. */
function isNativeBuilt(): boolean {
  isBuilt ??= canLoadNative();
  return isBuilt;
}

function canLoadNative(): boolean {
  try {
    nativeBootTime();
    return true;
  } catch (error) {
    if (error instanceof MeshError && error.code === "datapath/unavailable") return false;
    throw error;
  }
}
