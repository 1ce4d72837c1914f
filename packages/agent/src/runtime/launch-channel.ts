import { closeSync, fstatSync, writeSync } from "node:fs";
import { type LaunchOrder, type LaunchProgress, launchOrder, ShapeError } from "@mesh/core/config";
import { type ErrorFacts, errorFacts, MeshError } from "@mesh/core/errors";
import { type Clock, type Millis, seconds } from "@mesh/core/ports";

/** The order is one line of a few hundred bytes, an invite included; what is longer is something else. */
const MAX_ORDER_BYTES = 64 * 1024;

/** The CLI writes the order at once; on a loaded machine its process may take seconds to get there. */
const ORDER_TIMEOUT: Millis = seconds(5);

/** Where the CLI listens for progress. */
const PROGRESS_FD = 3;

/**
 * Bytes of steps ever sent. A socket pair holds 200 kB (net.core.wmem_default) and a pipe 64 KiB, so a reader that
 * stopped reading can never make the agent wait, and there is always room for the last line.
 */
const MAX_STEP_BYTES = 32 * 1024;

/** Longest text of one line, in characters. */
const MAX_TEXT_LENGTH = 2_000;

/** Longest details of a failure, as JSON, in characters; longer ones are left out. With the steps they fit into a pipe. */
const MAX_DETAILS_LENGTH = 4_000;

/** Standard input, as far as it is used here. */
interface OrderInput {
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  /** Must release what keeps the process alive. */
  destroy(): unknown;
}

/** Reads the one line that says what to do. MeshError "usage/invalid" when it is not there in time or not an order. */
export async function readLaunchOrder(input: OrderInput, clock: Clock): Promise<LaunchOrder> {
  const line = await readLine(input, clock);
  try {
    return launchOrder(JSON.parse(line), "");
  } catch (error) {
    // The line may hold an invite, and a JSON error quotes it.
    throw notAnOrder(error instanceof ShapeError ? error.message : "it is not JSON");
  }
}

function readLine(input: OrderInput, clock: Clock): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let length = 0;
  const cancel = clock.at(clock.now() + ORDER_TIMEOUT, () => reject(notAnOrder("nothing came for 5 s")));
  input.on("data", (chunk) => {
    const end = chunk.indexOf(0x0a);
    length += end === -1 ? chunk.length : end;
    if (length > MAX_ORDER_BYTES) return reject(notAnOrder(`it is longer than ${MAX_ORDER_BYTES} bytes`));
    chunks.push(Buffer.from(end === -1 ? chunk : chunk.subarray(0, end)));
    if (end !== -1) resolve(Buffer.concat(chunks).toString("utf8"));
  });
  input.on("end", () => reject(notAnOrder("it ends before the line does")));
  input.on("error", (error) => reject(notAnOrder(error.message)));
  return promise.finally(() => {
    cancel();
    input.destroy();
  });
}

function notAnOrder(reason: string): MeshError {
  return new MeshError(
    "usage/invalid",
    `Standard input holds no order for the agent: ${reason}.`,
    { reason },
    { hint: "The agent is started by `mesh init`, `mesh join` and `mesh up`, not by hand." },
  );
}

/** A way to the CLI that started this process; writing may throw when nobody is there. */
interface ProgressLine {
  write(line: string): void;
  close(): void;
}

/** undefined when this process was started without one. */
export function openProgressLine(fd: number = PROGRESS_FD): ProgressLine | undefined {
  try {
    // Without an inherited descriptor, its number belongs to something of Node's own, which is never a socket this early.
    if (!fstatSync(fd).isSocket()) return undefined;
  } catch {
    return undefined;
  }
  return { write: (line) => void writeSync(fd, line), close: () => closeSync(fd) };
}

/** Tells the CLI how the start is going, until it is ready or has failed. Never throws and never waits: nobody may be there. */
export class LaunchChannel {
  #line: ProgressLine | undefined;
  readonly #sinceStart: () => Millis;
  #stepBytes = 0;

  /** `sinceStart`: milliseconds since the process started. */
  constructor(line: ProgressLine | undefined, sinceStart: () => Millis) {
    this.#line = line;
    this.#sinceStart = sinceStart;
  }

  step(text: string): void {
    const progress: LaunchProgress = { type: "step", text: text.slice(0, MAX_TEXT_LENGTH), ms: this.#ms() };
    this.#stepBytes += Buffer.byteLength(JSON.stringify(progress)) + 1;
    if (this.#stepBytes <= MAX_STEP_BYTES) this.#send(progress);
  }

  ready(network: string, socket: string): void {
    this.#send({ type: "ready", network, socket, ms: this.#ms() });
    this.#close();
  }

  failed(error: unknown): void {
    this.#send({ type: "failed", error: boundedFacts(error) });
    this.#close();
  }

  #ms(): Millis {
    return Math.round(this.#sinceStart());
  }

  #send(progress: LaunchProgress): void {
    try {
      this.#line?.write(`${JSON.stringify(progress)}\n`);
    } catch {
      // EPIPE: the CLI was interrupted. The agent's own life does not depend on it.
      this.#close();
    }
  }

  #close(): void {
    const line = this.#line;
    this.#line = undefined;
    try {
      line?.close();
    } catch {
      // Nothing depends on a descriptor that nobody uses any more.
    }
  }
}

function boundedFacts(error: unknown): ErrorFacts {
  const { code, message, hint, details } = errorFacts(error instanceof MeshError ? error : unexpected(error));
  return {
    code,
    message: message.slice(0, MAX_TEXT_LENGTH),
    ...(hint === undefined ? {} : { hint: hint.slice(0, MAX_TEXT_LENGTH) }),
    ...(JSON.stringify(details).length > MAX_DETAILS_LENGTH ? {} : { details }),
  };
}

function unexpected(error: unknown): MeshError {
  const reason = error instanceof Error ? error.message : String(error);
  return new MeshError("agent/failed", reason, { reason }, { hint: "The agent's log says more." });
}
