import type { LabRecord } from "./lab-record.ts";
import { removeLab } from "./lab-record.ts";

/**
 * Labs of this process. However it ends (return, exit, uncaught error, signal; SIGKILL is left to the sweeper), they are
 * removed: blocking, so that nothing can come in between.
 */
const openLabs = new Map<string, LabRecord>();
const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
let watching = false;

export function rememberLab(record: LabRecord): void {
  openLabs.set(record.id, record);
  if (watching) return;
  watching = true;
  process.on("exit", removeAll);
  for (const signal of SIGNALS) {
    process.once(signal, () => {
      removeAll();
      // With this handler gone the signal does what it always does, and the caller sees how we ended.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  }
}

export function forgetLab(id: string): void {
  openLabs.delete(id);
}

function removeAll(): void {
  for (const record of openLabs.values()) removeLab(record);
  openLabs.clear();
}
