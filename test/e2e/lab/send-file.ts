/**
 * node send-file.ts receive <address> <port>          prints `listening`, then what came as one JSON line
 * node send-file.ts send <address> <port> <file>      prints what was sent as one JSON line
 *
 * A file over one TCP connection, with the SHA-256 of what each end saw.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { connect, createServer } from "node:net";
import { pipeline } from "node:stream/promises";

export interface Transfer {
  readonly bytes: number;
  readonly sha256: string;
  /** From the first byte to the last. */
  readonly ms: number;
}

async function main([direction, address = "", port = "", file = ""]: readonly string[]): Promise<void> {
  const transfer = direction === "send" ? await send(file, { host: address, port: Number(port) }) : await receive(address, Number(port));
  console.log(JSON.stringify(transfer));
}

async function send(file: string, target: { readonly host: string; readonly port: number }): Promise<Transfer> {
  const count = new ByteCount();
  await pipeline(createReadStream(file, { highWaterMark: 262_144 }), count.through, connect(target));
  return count.transfer();
}

async function receive(address: string, port: number): Promise<Transfer> {
  const count = new ByteCount();
  await new Promise<void>((resolve, reject) => {
    const server = createServer((socket) => {
      server.close();
      pipeline(socket, count.through, drain).then(resolve, reject);
    });
    server.once("error", reject);
    server.listen(port, address, () => console.log("listening"));
  });
  return count.transfer();
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _chunk of chunks);
}

/** Passes bytes on and remembers what they were. */
class ByteCount {
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #startedAt = 0;
  #endedAt = 0;

  readonly through: (chunks: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array> = (chunks) => this.#pass(chunks);

  transfer(): Transfer {
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex"), ms: this.#endedAt - this.#startedAt };
  }

  async *#pass(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      if (this.#bytes === 0) this.#startedAt = performance.now();
      this.#hash.update(chunk);
      this.#bytes += chunk.length;
      this.#endedAt = performance.now();
      yield chunk;
    }
  }
}

if (import.meta.main) await main(process.argv.slice(2));
