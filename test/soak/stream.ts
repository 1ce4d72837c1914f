/**
 * node stream.ts receive <port>                                 prints `listening`, then one JSON line for each connection that ended
 * node stream.ts send <address> <port> <name> <pattern>         until SIGTERM; prints one JSON line
 *
 * TCP connections whose every byte is known beforehand: four bytes of content say where in the stream they belong. A connection is
 * made once and must last: nobody dials again. Patterns: steady (20 kB/s), bursts (2 MB each 15 s), idle (1 kB each 75 s).
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface StreamEnd {
  readonly name: string;
  readonly bytes: number;
  /** `whole` after the other side's FIN; else what went wrong. */
  readonly ending: string;
}

interface Pattern {
  /** Bytes, a multiple of 4. */
  readonly size: number;
  /** Milliseconds from one to the next. */
  readonly interval: number;
}

export const PATTERNS: Readonly<Record<string, Pattern>> = {
  steady: { size: 2_000, interval: 100 },
  bursts: { size: 2_000_000, interval: 15_000 },
  // Longer than a WireGuard session is used for sending without traffic to keep it (KEEPALIVE_TIMEOUT, REKEY_TIMEOUT) and than probes go on.
  idle: { size: 1_000, interval: 75_000 },
};

const NAME_BYTES = 32;
const WORD_BYTES = 4;

async function main([direction, ...rest]: readonly string[]): Promise<void> {
  if (direction === "receive") receive(Number(rest[0]));
  else await send(rest);
}

function receive(port: number): void {
  const server = createServer((socket) => {
    take(socket).then(
      (end) => console.log(JSON.stringify(end)),
      (error: unknown) => console.log(JSON.stringify({ name: "?", bytes: 0, ending: String(error) } satisfies StreamEnd)),
    );
  });
  server.listen(port, "0.0.0.0", () => console.log("listening"));
}

/** Never rejects for what the network does. */
async function take(socket: Socket): Promise<StreamEnd> {
  let name = "";
  let bytes = 0;
  let rest = Buffer.alloc(0);
  let ending = "cut short";
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      rest = Buffer.concat([rest, chunk]);
      if (name === "") {
        if (rest.length < NAME_BYTES) continue;
        name = rest.toString("latin1", 0, NAME_BYTES).trim();
        rest = rest.subarray(NAME_BYTES);
      }
      const whole = rest.length - (rest.length % WORD_BYTES);
      if (!isContent(rest.subarray(0, whole), bytes)) return { name, bytes, ending: `altered after ${bytes} bytes` };
      bytes += whole;
      rest = rest.subarray(whole);
    }
    ending = rest.length === 0 ? "whole" : "cut within a word";
  } catch (error) {
    ending = String(error);
  }
  return { name, bytes, ending };
}

async function send([address = "", port = "", name = "", patternName = ""]: readonly string[]): Promise<void> {
  const pattern = PATTERNS[patternName];
  if (pattern === undefined) throw new Error(`no pattern ${patternName}`);
  const over = new AbortController();
  process.once("SIGTERM", () => over.abort());
  let bytes = 0;
  let ending = "whole";
  const socket = connect(Number(port), address);
  socket.on("error", (error) => {
    ending = String(error);
    over.abort();
  });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  void closed.then(() => {
    if (!over.signal.aborted) ending = "ended by its receiver";
    over.abort();
  });
  socket.resume();
  try {
    await once(socket, "connect");
    socket.write(name.padEnd(NAME_BYTES), "latin1");
    while (!over.signal.aborted) {
      const hasRoom = socket.write(content(bytes, pattern.size));
      bytes += pattern.size;
      if (!hasRoom) await once(socket, "drain", { signal: over.signal });
      await sleep(pattern.interval, undefined, { signal: over.signal });
    }
  } catch (error) {
    if (!over.signal.aborted) ending = String(error);
  }
  if (ending === "whole") {
    socket.end();
    // The receiver closes when it has read everything.
    await closed;
  }
  console.log(JSON.stringify({ name, bytes, ending } satisfies StreamEnd));
}

function content(from: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let offset = 0; offset < size; offset += WORD_BYTES) bytes.writeUInt32BE(wordAt(from + offset), offset);
  return bytes;
}

function isContent(bytes: Buffer, from: number): boolean {
  for (let offset = 0; offset < bytes.length; offset += WORD_BYTES) {
    if (bytes.readUInt32BE(offset) !== wordAt(from + offset)) return false;
  }
  return true;
}

/** Knuth's multiplicative hash of the place: neighbours look nothing alike. */
function wordAt(offset: number): number {
  return Math.imul(offset / WORD_BYTES, 2_654_435_761) >>> 0;
}

if (import.meta.main) await main(process.argv.slice(2));
