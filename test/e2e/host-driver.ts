/**
 * node host-driver.ts <log file>: the agent's host side in a process of its own, so that a test can put it into a network
 * namespace, take its rights away and kill it. Requests come and answers go over the IPC channel.
 */
import { openHostNetwork } from "../../packages/agent/src/host/host-network.ts";
import { systemClock } from "../../packages/agent/src/runtime/clock.ts";
import { openLog } from "../../packages/agent/src/runtime/log.ts";
import { MeshError } from "../../packages/core/src/errors.ts";
import type { HostView, LinkPlan } from "../../packages/core/src/ports/index.ts";

export type HostRequest =
  | { readonly call: "apply"; readonly plan: LinkPlan }
  | { readonly call: "observe"; readonly exceptDevice: string }
  | { readonly call: "watch"; readonly exceptDevice: string }
  | { readonly call: "stop" };

export type HostAnswer =
  | { readonly type: "started" }
  | { readonly type: "done"; readonly id: number; readonly view?: HostView }
  | { readonly type: "failed"; readonly id: number; readonly code: string; readonly details: unknown; readonly hint: string }
  | { readonly type: "changed"; readonly view: HostView };

const { log } = openLog({ file: process.argv[2] ?? "", level: "debug", foreground: false });
const host = openHostNetwork({ log, clock: systemClock() });
let stopWatch = (): void => {};

process.on("message", (message: HostRequest & { readonly id: number }) => void answer(message));
process.on("disconnect", () => stopWatch());
send({ type: "started" });

async function answer(request: HostRequest & { readonly id: number }): Promise<void> {
  const { id } = request;
  try {
    const view = await perform(request);
    send(view === undefined ? { type: "done", id } : { type: "done", id, view });
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    send({ type: "failed", id, code: error.code, details: error.details, hint: error.hint ?? "" });
  }
}

async function perform(request: HostRequest): Promise<HostView | undefined> {
  switch (request.call) {
    case "apply":
      await host.applyLink(request.plan);
      return undefined;
    case "observe":
      return await host.observe(request.exceptDevice);
    case "watch":
      stopWatch = host.watch(request.exceptDevice, (view) => send({ type: "changed", view }));
      return undefined;
    case "stop":
      stopWatch();
      return undefined;
  }
}

function send(message: HostAnswer): void {
  process.send?.(message);
}
