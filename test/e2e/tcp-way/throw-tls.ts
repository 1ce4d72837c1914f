/**
 * node throw-tls.ts <address> <port> <seconds>
 *
 * Connects as no member does, again and again: silent, with garbage in place of TLS, with TLS and no request, asking for pages, and
 * upgrading to send datagrams, text and frames that are too long. Prints StrangerCounts as JSON.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";

export interface StrangerCounts {
  readonly tried: number;
  readonly opened: number;
  /** Answers to requests for pages. */
  readonly pages: number;
  readonly upgraded: number;
  /** Connections that the other side kept at the same time. */
  readonly mostOpen: number;
  readonly stillOpen: number;
}

/** Milliseconds between two connections. */
const INTERVAL = 5;
const DATAGRAMS = 400;

const counts = { tried: 0, opened: 0, pages: 0, upgraded: 0, mostOpen: 0 };
const open = new Set<Socket>();

function upgrade(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
}

/** Masked by zeros. */
function frame(opcode: number, length: number): Buffer {
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 255];
  return Buffer.concat([Buffer.of(0x80 | opcode, ...size, 0, 0, 0, 0), Buffer.alloc(length, 1)]);
}

const HUGE = Buffer.of(0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);

const TALKS: readonly ((socket: Socket) => void)[] = [
  () => {},
  (socket) => socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  (socket) => socket.write(upgrade("/mesh/other")),
  (socket) => {
    socket.write(upgrade("/mesh/datagrams"));
    for (let i = 0; i < DATAGRAMS; i++) socket.write(frame(2, 148));
  },
  (socket) => socket.write(Buffer.concat([Buffer.from(upgrade("/mesh/datagrams")), frame(1, 5)])),
  (socket) => socket.write(Buffer.concat([Buffer.from(upgrade("/mesh/stream")), HUGE])),
  (socket) => socket.write(Buffer.concat([Buffer.from(upgrade("/mesh/stream")), frame(2, 1_000)])),
];

async function main([address = "", port = "", seconds = ""]: readonly string[]): Promise<void> {
  const endsAt = performance.now() + Number(seconds) * 1_000;
  for (let i = 0; performance.now() < endsAt; i++) {
    counts.tried += 1;
    if (i % 3 === 0) plain(address, Number(port), i % 2 === 0);
    else secured(address, Number(port), TALKS[i % TALKS.length] ?? (() => {}));
    await sleep(INTERVAL);
  }
  const stillOpen = open.size;
  for (const socket of open) socket.destroy();
  console.log(JSON.stringify({ ...counts, stillOpen }));
}

function plain(host: string, port: number, isSilent: boolean): void {
  const socket = connect({ host, port }, () => {
    if (!isSilent) socket.write(Buffer.alloc(2_000, "x"));
  });
  watch(socket);
}

function secured(host: string, port: number, talk: (socket: Socket) => void): void {
  const socket = connectTls({ host, port, rejectUnauthorized: false }, () => talk(socket));
  socket.on("data", (bytes) => {
    if (bytes.includes("404")) counts.pages += 1;
    if (bytes.includes("101 Switching")) counts.upgraded += 1;
  });
  watch(socket);
}

function watch(socket: Socket): void {
  socket.on("error", () => {});
  // One that was refused is connected for a moment, too.
  socket.once("connect", () => setTimeout(() => (socket.destroyed ? undefined : kept(socket)), 100));
  socket.once("close", () => open.delete(socket));
}

function kept(socket: Socket): void {
  counts.opened += 1;
  open.add(socket);
  counts.mostOpen = Math.max(counts.mostOpen, open.size);
}

await main(process.argv.slice(2));
