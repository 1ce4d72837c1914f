/**
 * node host-driver.ts <log file> <state directory>: the agent's host side in a process of its own, so that a test can put
 * it into a network namespace, take its rights away and kill it. Requests come and answers go over the IPC channel.
 */
import type { GuardState } from "../../packages/agent/src/host/guard.ts";
import type { IpChange } from "../../packages/agent/src/host/host-change.ts";
import { HostChanges } from "../../packages/agent/src/host/host-changes.ts";
import { openHostNetwork } from "../../packages/agent/src/host/host-network.ts";
import { IpCommand } from "../../packages/agent/src/host/ip-command.ts";
import { NftCommand } from "../../packages/agent/src/host/nft-command.ts";
import { UndoJournal } from "../../packages/agent/src/host/undo-journal.ts";
import { systemClock } from "../../packages/agent/src/runtime/clock.ts";
import { openLog } from "../../packages/agent/src/runtime/log.ts";
import { openStore } from "../../packages/agent/src/store/store.ts";
import { MeshError } from "../../packages/core/src/errors.ts";
import type { HostView, LinkPlan } from "../../packages/core/src/ports/index.ts";

export type HostRequest =
  | { readonly call: "apply"; readonly plan: LinkPlan }
  | { readonly call: "undo" }
  | { readonly call: "guard" }
  | { readonly call: "observe"; readonly exceptDevice: string }
  | { readonly call: "watch"; readonly exceptDevice: string }
  | { readonly call: "stop" }
  /** Of the parts that later work uses; not together with apply in one process. */
  | { readonly call: "make"; readonly changes: readonly IpChange[] }
  | { readonly call: "sysctl"; readonly path: string; readonly value: string };

export type HostResult = { readonly view?: HostView; readonly guard?: GuardState; readonly made?: readonly boolean[] };

export type HostAnswer =
  | { readonly type: "started" }
  | { readonly type: "done"; readonly id: number; readonly result: HostResult }
  | {
      readonly type: "failed";
      readonly id: number;
      readonly code: string;
      readonly message: string;
      readonly details: unknown;
      readonly hint: string;
    }
  | { readonly type: "changed"; readonly view: HostView };

const [, , logFile = "", stateDirectory = ""] = process.argv;
const { log } = openLog({ file: logFile, level: "debug", foreground: false });
const clock = systemClock();
const store = await openStore(stateDirectory);
const journal = {
  read: () => store.read("host"),
  write: (bytes: Uint8Array) => store.write("host", bytes),
  setAside: () => store.setAside("host"),
};
const host = openHostNetwork({ log, clock, journal });
const changes = new HostChanges({
  ip: new IpCommand("ip", clock),
  nft: new NftCommand("nft", clock),
  proc: "/proc",
  journal: new UndoJournal(journal, log),
  log,
});
let stopWatch = (): void => {};

process.on("message", (message: HostRequest & { readonly id: number }) => void answer(message));
process.on("disconnect", () => stopWatch());
send({ type: "started" });

async function answer(request: HostRequest & { readonly id: number }): Promise<void> {
  const { id } = request;
  try {
    send({ type: "done", id, result: await perform(request) });
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    const { code, message, details, hint = "" } = error;
    send({ type: "failed", id, code, message, details, hint });
  }
}

async function perform(request: HostRequest): Promise<HostResult> {
  switch (request.call) {
    case "apply":
      await host.applyLink(request.plan);
      return {};
    case "undo":
      await host.undo();
      return {};
    case "guard":
      return { guard: host.guard() };
    case "observe":
      return { view: await host.observe(request.exceptDevice) };
    case "watch":
      stopWatch = host.watch(request.exceptDevice, (view) => send({ type: "changed", view }));
      return {};
    case "stop":
      stopWatch();
      return {};
    case "make": {
      const made: boolean[] = [];
      for (const change of request.changes) made.push(await changes.make(change));
      return { made };
    }
    case "sysctl":
      await changes.setSysctl({ path: request.path, value: request.value });
      return {};
  }
}

function send(message: HostAnswer): void {
  process.send?.(message);
}
