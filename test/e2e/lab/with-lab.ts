import type { TestContext } from "node:test";
import type { Lab } from "./lab.ts";
import { openLab } from "./lab.ts";
import type { Topology } from "./topology.ts";

/**
 * Opens a lab for one test and closes it afterwards, however the test ends, its time limit included. When it fails, what
 * explains it is kept in a directory that the error names.
 */
export async function withLab(t: TestContext, topology: Topology, body: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await openLab(topology, { name: t.name });
  try {
    await Promise.race([body(lab), aborted(t.signal)]);
  } catch (cause) {
    const kept = await lab.collect().catch((error: unknown) => `nothing: ${error}`);
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\nKept for a look: ${kept}`, { cause });
  } finally {
    await lab.close();
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("the test's time is over")), { once: true }));
}
