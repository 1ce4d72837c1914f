/**
 * Starting the agent's process and following it until it serves.
 *
 *  1. spawn in a session of its own: the terminal's Ctrl-C and hang-up come only to this command, which passes on what it
 *     means; the agent outlives it;
 *  2. the order, invite included, goes to its standard input as one line and the input ends;
 *  3. progress comes back on descriptor 3, one JSON line each;
 *  4. `ready` ends the following; `failed`, an end without a word, an interruption, and silence for too long end the agent too.
 *
 * The agent writes its own log. Its standard error is only what the runtime itself says when it dies: into the network's
 * log where there is one already, else into a file without a name. Both go on taking what is written when this command
 * has ended; a pipe would not, and would end the agent at its next warning.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Readable } from "node:stream";
import { agentFiles, type LaunchOrder, type LaunchProgress, launchProgress } from "@mesh/core/config";
import { MeshError, meshErrorOf } from "@mesh/core/errors";
import { openLastWords } from "./last-words.ts";
import type { AgentProgram, CommandClock, EndSignal } from "./surroundings.ts";

/** Milliseconds an agent that is to end may take for undoing what it did to the host: eight parts, each bounded by 3 s. */
const STOP_TIMEOUT = 30_000;

/** Milliseconds from SIGKILL until an agent is given up: one that waits for a dead disk cannot even be killed. */
const KILL_TIMEOUT = 2_000;

/**
 * Milliseconds without a word from a starting agent until it is taken to hang. Its own longest waits are shorter; while it
 * asks a member to let it in, that is reaching it and 25 s for the answer.
 */
const SILENCE_TIMEOUT: Readonly<Record<LaunchOrder["command"], number>> = { init: 30_000, join: 45_000, up: 30_000, clean: 30_000 };

/**
 * An agent rests most of its life, and packets are not JavaScript's: a young generation of 1 MB instead of 16 and one arena of
 * malloc instead of eight cost it nothing that can be measured, and save 20 to 40 MB (docs/results.md, 2026-11-23).
 */
const FRUGAL_FLAGS: readonly string[] = ["--max-semi-space-size=1", "--v8-pool-size=1"];
const FRUGAL_ENVIRONMENT: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: "1" };

/** Milliseconds for reading what a dead agent had still written: it is in the kernel's buffer already. */
const DRAIN_TIMEOUT = 200;

/** A progress line is a sentence; one of 64 KiB is not progress. */
const MAX_LINE_BYTES = 65_536;

export interface LaunchOptions {
  readonly program: AgentProgram;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: CommandClock;
  /** The agent writes to this process's output and error. */
  readonly foreground: boolean;
  readonly onStep: (step: LaunchStep) => void;
  /** Aborted: the agent is stopped, and the launch throws. */
  readonly interrupted: AbortSignal;
}

export type LaunchStep = Extract<LaunchProgress, { readonly type: "step" }>;

export interface LaunchedAgent {
  readonly network: string;
  readonly socket: string;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<Ending>;
  signal(signal: EndSignal): void;
  /** Ends the agent, gracefully first, and waits for that. */
  stop(): Promise<void>;
  /** Lets this process end while the agent goes on. */
  release(): void;
}

interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Throws what the agent says, or MeshError `agent/start-failed`; no agent is left then. */
export async function launchAgent(order: LaunchOrder, options: LaunchOptions): Promise<LaunchedAgent> {
  return await follow(order, options, ({ child, ended, outcome }) => {
    if (outcome.type === "ready") return launched({ child, ended, clock: options.clock }, outcome);
    const { reason, ending } = outcome;
    throw startFailed(`The agent ended while it was starting (${writeEnding(ending)})${reason}.`, order);
  });
}

/** For an order that the agent carries out and then ends: waits for that. Throws as {@link launchAgent}. */
export async function runAgent(order: LaunchOrder, options: LaunchOptions): Promise<void> {
  await follow(order, options, async ({ ended, outcome }) => {
    const ending = outcome.type === "ended" ? outcome.ending : await ended;
    const reason = outcome.type === "ended" ? outcome.reason : "";
    if (ending.code !== 0) throw startFailed(`The agent ended before it was done (${writeEnding(ending)})${reason}.`, order);
  });
}

interface Followed {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
  /** `reason`: the last words of one that just ended. */
  readonly outcome:
    | Extract<Outcome, { readonly type: "ready" }>
    | { readonly type: "ended"; readonly ending: Ending; readonly reason: string };
}

async function follow<T>(order: LaunchOrder, options: LaunchOptions, then: (followed: Followed) => T | Promise<T>): Promise<T> {
  const log = logOf(order);
  if (options.interrupted.aborted) throw interruption(log);
  const lastWords = openLastWords(log);
  try {
    const child = spawnAgent(order, options, lastWords.descriptor);
    const ended = endOf(child);
    const outcome = await firstOutcome({ child, ended, command: order.command }, options);
    switch (outcome.type) {
      case "ready":
        return await then({ child, ended, outcome });
      case "ended":
        return await then({ child, ended, outcome: { type: "ended", ending: outcome, reason: lastWords.read() } });
      case "failed":
        await finish(child, ended, options.clock);
        throw meshErrorOf(outcome.error);
      case "interrupted":
        child.kill("SIGTERM");
        await finish(child, ended, options.clock);
        throw interruption(log);
      case "silent": {
        child.kill("SIGTERM");
        const what = (await finish(child, ended, options.clock)) ? "was stopped" : "could not be stopped";
        const seconds = SILENCE_TIMEOUT[order.command] / 1_000;
        const message = `The agent, process ${child.pid}, said nothing for ${seconds} s while it was starting, and ${what}.`;
        if (log !== undefined && !existsSync(log)) throw withoutLog(message, order);
        throw startFailed(message, order);
      }
      case "garbled":
        child.kill("SIGTERM");
        await finish(child, ended, options.clock);
        throw startFailed("The agent's progress could not be read, so it was stopped.", order);
    }
  } finally {
    lastWords.close();
  }
}

type Outcome =
  | Extract<LaunchProgress, { readonly type: "ready" | "failed" }>
  | ({ readonly type: "ended" } & Ending)
  | { readonly type: "interrupted" }
  | { readonly type: "silent" }
  | { readonly type: "garbled" };

function spawnAgent(order: LaunchOrder, { program, env, foreground }: LaunchOptions, lastWords: number): ChildProcess {
  const child = spawn(program.runtime, [...FRUGAL_FLAGS, program.entry], {
    cwd: "/",
    detached: true,
    env: { ...FRUGAL_ENVIRONMENT, ...env },
    stdio: ["pipe", foreground ? "inherit" : "ignore", foreground ? "inherit" : lastWords, "pipe"],
  });
  // An agent that died at once closes its input before the order is written; its end says more than EPIPE.
  child.stdin?.on("error", () => {});
  child.stdin?.end(`${JSON.stringify(foreground ? { ...order, foreground } : order)}\n`);
  return child;
}

async function endOf(child: ChildProcess): Promise<Ending> {
  return await new Promise((resolve) => {
    child.once("error", () => resolve({ code: null, signal: null }));
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
}

interface Starting {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
  readonly command: LaunchOrder["command"];
}

async function firstOutcome({ child, ended, command }: Starting, options: LaunchOptions): Promise<Outcome> {
  const { clock, interrupted, onStep } = options;
  const channel = child.stdio[3] as Readable;
  let cancelSilence = (): void => {};
  const outcome = await new Promise<Outcome>((resolve) => {
    const expectWord = (): void => {
      cancelSilence();
      cancelSilence = clock.after(SILENCE_TIMEOUT[command], () => resolve({ type: "silent" }));
    };
    expectWord();
    interrupted.addEventListener("abort", () => resolve({ type: "interrupted" }), { once: true });
    const lines = lineReader(channel, (line) => {
      const progress = parseProgress(line);
      if (progress === undefined) resolve({ type: "garbled" });
      else if (progress.type === "step") {
        expectWord();
        onStep(progress);
      } else resolve(progress);
    });
    void ended.then(async (ending) => {
      const cancel = clock.after(DRAIN_TIMEOUT, () => channel.destroy());
      await lines;
      cancel();
      resolve({ type: "ended", ...ending });
    });
  });
  cancelSilence();
  return outcome;
}

/** Resolves when the channel has ended; a process that the agent left behind may hold its other end open. */
async function lineReader(channel: Readable, onLine: (line: string) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    let rest = "";
    channel.setEncoding("utf8");
    channel.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) onLine(line);
      if (rest.length > MAX_LINE_BYTES) {
        onLine(rest);
        rest = "";
      }
    });
    channel.on("error", () => {});
    channel.once("close", resolve);
  });
}

function parseProgress(line: string): LaunchProgress | undefined {
  try {
    return launchProgress(JSON.parse(line), "");
  } catch {
    return undefined;
  }
}

interface AgentProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
  readonly clock: CommandClock;
}

function launched({ child, ended, clock }: AgentProcess, ready: Pick<LaunchedAgent, "network" | "socket">): LaunchedAgent {
  return {
    network: ready.network,
    socket: ready.socket,
    ended,
    signal: (signal) => {
      child.kill(signal);
    },
    stop: async () => {
      child.kill("SIGTERM");
      await finish(child, ended, clock);
    },
    release: () => {
      child.stdio[3]?.destroy();
      child.stdin?.destroy();
      child.unref();
    },
  };
}

/** Waits for the agent's end; one that does not come to it is killed, by its process number. False when even that did not end it. */
async function finish(child: ChildProcess, ended: Promise<Ending>, clock: CommandClock): Promise<boolean> {
  const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<false>();
  let cancelGivingUp = (): void => {};
  const cancel = clock.after(STOP_TIMEOUT, () => {
    child.kill("SIGKILL");
    cancelGivingUp = clock.after(KILL_TIMEOUT, () => giveUp(false));
  });
  const hasEnded = await Promise.race([ended.then(() => true), givenUp]);
  cancel();
  cancelGivingUp();
  child.stdio[3]?.destroy();
  if (!hasEnded) child.unref();
  return hasEnded;
}

/** What a launch throws that a person ended. */
export function interruption(log: string | undefined): MeshError {
  const message = "Interrupted: the agent was stopped before it was up.";
  return new MeshError("agent/start-failed", message, log === undefined ? {} : { log });
}

function writeEnding({ code, signal }: Ending): string {
  if (signal !== null) return signal;
  return code === null ? "it could not be run" : `exit code ${code}`;
}

function startFailed(message: string, order: LaunchOrder): MeshError {
  const log = logOf(order);
  const place = log ?? `agent.log in the directory of its network, in ${order.stateRoot}`;
  return new MeshError("agent/start-failed", message, log === undefined ? {} : { log }, { hint: `Its log may say more: ${place}` });
}

/** It did not even come to writing its log, which is among the first things it does. */
function withoutLog(message: string, { stateRoot }: LaunchOrder): MeshError {
  return new MeshError("agent/start-failed", message, {}, { hint: `It has written no log: can directories be made in ${stateRoot}?` });
}

/** undefined where only the invite knows the network. */
function logOf({ stateRoot, network }: LaunchOrder): string | undefined {
  return network === undefined ? undefined : agentFiles(stateRoot, network).log;
}
