import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { encodeRelayFrame, type RelayFrameHandler, RelayFrameReader } from "./relay-frames.ts";
import { openSyncPipe } from "./sync-pipe.ts";

/** Bytes that may wait for the relay; a packet that comes then is dropped. A tenth of a second at what the twin moves. */
const WAITING_LIMIT = 2 * 1024 * 1024;
const ANSWER_DESCRIPTOR_BYTES = 16; // "0\n" or an errno

type RelayProcess = ChildProcessByStdio<Writable, Readable, null>;

export interface TunRelayHandler extends RelayFrameHandler {
  /** The device is gone, and not because we closed it. */
  onEnd(reason: string): void;
}

export type TunRelayOpened =
  | { readonly ok: true; readonly relay: TunRelay }
  /** errno is a name as errno(3) has it. */
  | { readonly ok: false; readonly fault: "no-perl" }
  | { readonly ok: false; readonly fault: "refused"; readonly errno: string };

/**
 * A TUN device held by a process of its own, because Node cannot make one: tun-relay.pl. Opening waits for its answer,
 * some 20 ms; the process and the device end with us, however we end.
 */
export function openTunRelay(name: string, handler: TunRelayHandler): TunRelayOpened {
  const perl = "perl";
  const pipe = openSyncPipe(perl);
  if (pipe === undefined) return { ok: false, fault: "no-perl" };
  try {
    const script = fileURLToPath(new URL("./tun-relay.pl", import.meta.url));
    const child = spawn(perl, [script, name], {
      // Nothing of ours that would change Perl, or keep a folder in use.
      env: process.env["PATH"] === undefined ? {} : { PATH: process.env["PATH"] },
      cwd: "/",
      stdio: ["pipe", "pipe", "inherit", pipe.writeEnd],
    }) as unknown as RelayProcess;
    child.on("error", () => {}); // not started: the answer is missing
    closeSync(pipe.writeEnd);
    const errno = readErrno(pipe.readEnd);
    if (errno === 0) return { ok: true, relay: new TunRelay(child, handler) };
    return { ok: false, fault: "refused", errno: errno === undefined ? "no answer" : systemErrorName(errno) };
  } finally {
    closeSync(pipe.readEnd);
  }
}

export class TunRelay {
  readonly #child: RelayProcess;
  readonly #exit: Promise<unknown>;
  #isClosed = false;
  #isCorked = false;

  constructor(child: RelayProcess, handler: TunRelayHandler) {
    this.#child = child;
    this.#exit = once(child, "exit");
    const frames = new RelayFrameReader(handler);
    child.stdout.on("data", (chunk: Buffer) => {
      if (!this.#isClosed) frames.push(chunk);
    });
    for (const stream of [child.stdin, child.stdout]) stream.on("error", () => {}); // the exit says why
    child.on("exit", (status, signal) => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      handler.onEnd(status === null ? String(signal) : systemErrorName(status));
    });
  }

  /** False when it has to be dropped: too much waits, or the device is gone. */
  write(packet: Uint8Array): boolean {
    const { stdin } = this.#child;
    if (this.#isClosed || stdin.writableLength > WAITING_LIMIT) return false;
    if (!this.#isCorked) {
      // What is written in one turn goes in one system call.
      this.#isCorked = true;
      stdin.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        stdin.uncork();
      });
    }
    stdin.write(encodeRelayFrame(packet));
    return true;
  }

  /** Resolves when the device is gone. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#child.kill("SIGKILL");
    await this.#exit;
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
  }
}

/** undefined when the other end was closed without a word. */
function readErrno(descriptor: number): number | undefined {
  const bytes = Buffer.alloc(ANSWER_DESCRIPTOR_BYTES);
  const length = readSync(descriptor, bytes);
  return length === 0 ? undefined : Number.parseInt(bytes.toString("latin1", 0, length), 10);
}

function systemErrorName(errno: number): string {
  return errno > 0 ? getSystemErrorName(-errno) : "ended";
}
