/**
 * node throw-connections.ts <address> <port>
 *
 * Opens TCP connections as no honest peer does: 100 that say nothing, 100 that send garbage, 20 that send a true beginning
 * one byte at a time. Ends when the other side has ended all of them, or after 15 s, and prints ConnectionCounts as JSON.
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
}

const TIMEOUT = 15_000;
/** Milliseconds between two connections, and between two bytes of a slow one. */
const OPEN_INTERVAL = 10;
const BYTE_INTERVAL = 300;
/** What a libp2p connection begins with, in both directions. */
const BEGINNING = Buffer.from("\x13/multistream/1.0.0\n", "latin1");
const SEED = 1;

type Behaviour = "silent" | "garbage" | "slow";

const behaviours: readonly Behaviour[] = Array.from({ length: 220 }, (_, n) =>
  n % 11 === 0 ? "slow" : n % 2 === 0 ? "silent" : "garbage",
);

async function main([address = "", port = ""]: readonly string[]): Promise<void> {
  const counts = { tried: behaviours.length, opened: 0, ended: 0, receivedBytes: 0 };
  const random = new SeededRandom(SEED);
  const closings: Promise<void>[] = [];
  for (const behaviour of behaviours) {
    const socket = connect(Number(port), address);
    socket.on("connect", () => {
      counts.opened++;
      behave(socket, behaviour, random);
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

function behave(socket: Socket, behaviour: Behaviour, random: SeededRandom): void {
  if (behaviour === "silent") return;
  if (behaviour === "garbage") {
    const prefix = random.below(2) === 0 ? BEGINNING : Buffer.alloc(0);
    socket.write(Buffer.concat([prefix, random.bytes(1 + random.below(4_000))]));
    return;
  }
  let n = 0;
  const timer = setInterval(() => socket.write(BEGINNING.subarray(n % BEGINNING.length, (n++ % BEGINNING.length) + 1)), BYTE_INTERVAL);
  socket.once("close", () => clearInterval(timer));
}

if (import.meta.main) await main(process.argv.slice(2));
