import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { compileTool } from "./compile-tool.ts";
import { mustRun } from "./run-command.ts";
import { checkWireSettings, type WireSettings } from "./wire-settings.ts";

/** 0: frames from the link's first end to its second; 1: back. */
export type WireDirection = 0 | 1;

export interface WireEnd {
  readonly namespace: string;
  readonly device: string;
  /** The device's number in that namespace. */
  readonly index: number;
}

export interface WireStart {
  readonly name: string;
  /** Its own, which is made. */
  readonly namespace: string;
  /** Where its socket and its complaints are. */
  readonly directory: string;
  readonly ends: readonly [WireEnd, WireEnd];
  readonly settings: WireSettings;
}

/** Frames, counted since the wire was made. `native/wire.cc` says what each means. */
export interface WireCounters {
  readonly frames: number;
  readonly delivered: number;
  readonly lost: number;
  readonly bursts: number;
  readonly burstLost: number;
  readonly full: number;
  readonly cut: number;
}

export interface WireState {
  readonly settings: Required<WireSettings>;
  readonly counters: WireCounters;
}

export interface WireChange extends WireSettings {
  /** Both when not given. */
  readonly direction?: WireDirection;
  /** Starts the draws again, so that the same frames meet the same fate. */
  readonly seed?: number;
  /** Of both ends. */
  readonly carrier?: boolean;
}

/** Milliseconds until a wire that was started must answer, and that an answer may take. */
const START_TIMEOUT = 10_000;
const ANSWER_TIMEOUT = 5_000;

/**
 * Makes the two devices, down and without addresses, and the process between them. It lives in a namespace of its own and ends
 * with the lab, whatever happens to this process.
 */
export async function startWire({ name, namespace, directory, ends, settings }: WireStart): Promise<void> {
  checkWireSettings(settings);
  await mustRun("ip", ["netns", "add", namespace]);
  // So that the kernel sends nothing of its own.
  await mustRun("ip", ["netns", "exec", namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]);
  for (const [n, end] of ends.entries()) {
    const here = ["link", "add", end.device, "index", String(end.index), "netns", end.namespace];
    await mustRun("ip", [...here, "type", "veth", "peer", "name", `end${n}`, "netns", namespace]);
  }
  const program = await compileTool("wire");
  const log = join(directory, `wire-${name}.log`);
  const stderr = openSync(log, "a");
  const words = [wireSocket(directory, name), namespace, ...ends.flatMap((end) => [end.namespace, end.device])];
  const child = spawn(program, words, { stdio: ["ignore", "ignore", stderr], detached: true });
  closeSync(stderr);
  const ended = new Promise<never>((_, reject) => {
    child.once("error", reject).once("exit", () => reject(new Error(`no wire ${name}: ${readFileSync(log, "utf8").trim()}`)));
  });
  child.unref();
  const started = new AbortController();
  try {
    await Promise.race([untilAnswered(directory, name, started.signal), ended]);
  } finally {
    started.abort();
    // From now on it may end whenever it likes.
    child.removeAllListeners();
  }
  await changeWire(directory, name, settings);
}

/** Both directions, after the change; without one it only asks. Throws when no wire of that name runs. */
export async function changeWire(directory: string, name: string, change: WireChange): Promise<readonly [WireState, WireState]> {
  checkWireSettings(change);
  const { burst, ...rest } = change;
  const numbers = Object.entries({ ...rest, ...(burst === undefined ? {} : { burstEnter: burst.enter, burstLeave: burst.leave }) });
  const line = JSON.stringify(Object.fromEntries(numbers.map(([key, value]) => [key, Number(value)])));
  const answer = JSON.parse(await ask(wireSocket(directory, name), line)) as RawAnswer;
  if ("error" in answer) throw new Error(`wire ${name}: ${answer.error}`);
  const [there, back] = answer.directions;
  return [readState(there), readState(back)];
}

interface RawSettings extends Omit<Required<WireSettings>, "burst" | "keepOrder" | "cut"> {
  readonly burstEnter: number;
  readonly burstLeave: number;
  readonly keepOrder: number;
  readonly cut: number;
}

interface RawState {
  readonly settings: RawSettings;
  readonly counters: WireCounters;
}

type RawAnswer = { readonly error: string } | { readonly directions: readonly [RawState, RawState] };

function readState({ settings: raw, counters }: RawState): WireState {
  const { burstEnter: enter, burstLeave: leave, keepOrder, cut, ...numbers } = raw;
  return { settings: { ...numbers, keepOrder: keepOrder !== 0, cut: cut !== 0, burst: { enter, leave } }, counters };
}

function wireSocket(directory: string, name: string): string {
  return join(directory, `wire-${name}.sock`);
}

async function untilAnswered(directory: string, name: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT;
  while (!signal.aborted) {
    try {
      await changeWire(directory, name, {});
      return;
    } catch (error) {
      // Not listening yet.
      if (performance.now() > deadline) throw error;
      await sleep(5);
    }
  }
}

function ask(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let said = "";
    socket.setTimeout(ANSWER_TIMEOUT, () => socket.destroy(new Error(`${path} does not answer`)));
    socket.once("error", reject).once("close", () => reject(new Error(`${path} said ${said || "nothing"}`)));
    socket.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (!said.endsWith("\n")) return;
      resolve(said);
      socket.destroy();
    });
    socket.write(`${line}\n`);
  });
}
