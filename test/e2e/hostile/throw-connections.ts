/**
 * node throw-connections.ts <address> <port>
 *
 * Opens TCP connections as no honest peer does: they say nothing, send garbage, send a true beginning one byte at a time, or
 * choose a protocol and go on in frames that are none: 50,000 of these in all. Ends when the other side has ended all of them,
 * or after 15 s, and prints ConnectionCounts as JSON.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { SeededRandom } from "@mesh/core/testing";

export interface ConnectionCounts {
  readonly tried: number;
  readonly opened: number;
  /** Ended or refused by the other side. */
  readonly ended: number;
  readonly receivedBytes: number;
  /** Written to connections that were open. */
  readonly frames: number;
}

const TIMEOUT = 15_000;
/** Milliseconds between two connections, and between two bytes of a slow one. */
const OPEN_INTERVAL = 10;
const BYTE_INTERVAL = 300;
/** What a libp2p connection begins with, in both directions. */
const BEGINNING = Buffer.from("\x13/multistream/1.0.0\n", "latin1");
const SEED = 1;
/** Of one connection that talks in frames; the target ends it at the first, so that they are written at once. */
const FRAMES = 500;

type Behaviour = "silent" | "garbage" | "slow" | "negotiates" | "member" | "joiner";

const OTHERS: readonly Behaviour[] = ["silent", "negotiates", "garbage", "member", "joiner"];
const behaviours: readonly Behaviour[] = Array.from({ length: 275 }, (_, n) =>
  n % 11 === 0 ? "slow" : (OTHERS[n % OTHERS.length] ?? "silent"),
);

async function main([address = "", port = ""]: readonly string[]): Promise<void> {
  const counts = { tried: behaviours.length, opened: 0, ended: 0, receivedBytes: 0, frames: 0 };
  const random = new SeededRandom(SEED);
  const closings: Promise<void>[] = [];
  for (const behaviour of behaviours) {
    const socket = connect(Number(port), address);
    socket.on("connect", () => {
      counts.opened++;
      counts.frames += behave(socket, behaviour, random);
    });
    socket.on("data", (bytes) => {
      counts.receivedBytes += bytes.length;
    });
    socket.on("error", () => {});
    closings.push(
      new Promise((resolve) =>
        socket.once("close", () => {
          counts.ended++;
          resolve();
        }),
      ),
    );
    await sleep(OPEN_INTERVAL);
  }
  await Promise.race([Promise.all(closings), sleep(TIMEOUT, undefined, { ref: false })]);
  console.log(JSON.stringify(counts satisfies ConnectionCounts));
  process.exit();
}

/** Returns how many frames it wrote. */
function behave(socket: Socket, behaviour: Behaviour, random: SeededRandom): number {
  switch (behaviour) {
    case "silent":
      return 0;
    case "garbage":
      socket.write(Buffer.concat([random.below(2) === 0 ? BEGINNING : Buffer.alloc(0), random.bytes(1 + random.below(4_000))]));
      return 0;
    case "slow": {
      let n = 0;
      const timer = setInterval(() => socket.write(BEGINNING.subarray(n % BEGINNING.length, (n++ % BEGINNING.length) + 1)), BYTE_INTERVAL);
      socket.once("close", () => clearInterval(timer));
      return 0;
    }
    case "negotiates":
      return writeFrames(socket, [BEGINNING], () => negotiation(random));
    case "member":
      return writeFrames(socket, [BEGINNING, line("/mesh/member/1")], () => noiseFrame(random));
    case "joiner":
      return writeFrames(socket, [BEGINNING, line("/mesh/join/1")], () => noiseFrame(random));
  }
}

function writeFrames(socket: Socket, beginning: readonly Uint8Array[], make: () => Uint8Array): number {
  socket.write(Buffer.concat([...beginning, ...Array.from({ length: FRAMES }, make)]));
  return FRAMES;
}

/** A line of multistream-select: of a protocol that is none, without its end, or of a length that lies. */
function negotiation(random: SeededRandom): Uint8Array {
  const text = Buffer.from(random.bytes(random.below(60))).toString("latin1");
  const honest = line(random.below(4) === 0 ? "ls" : `/${text}`);
  if (random.below(4) === 0) honest[0] = random.below(256);
  return honest.subarray(0, random.below(8) === 0 ? random.below(honest.length) : honest.length);
}

/** One line of multistream-select: its length (less than 128), the text, a line feed. */
function line(text: string): Buffer {
  const bytes = Buffer.from(`${text}\n`, "latin1");
  return Buffer.concat([Uint8Array.of(bytes.length), bytes]);
}

/** Two bytes of length, as Noise on libp2p has them, which may lie, and noise. */
function noiseFrame(random: SeededRandom): Uint8Array {
  const body = random.bytes(random.below(200));
  const length = random.below(4) === 0 ? random.below(65_536) : body.length;
  return Uint8Array.of(length >> 8, length & 255, ...body);
}

if (import.meta.main) await main(process.argv.slice(2));
