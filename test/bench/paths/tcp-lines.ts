/**
 * node tcp-lines.ts echo <port>                        prints `listening`; sends back what comes
 * node tcp-lines.ts type <address> <port>              a numbered line every 10 ms until SIGTERM; prints what became of them as one JSON line
 *
 * One TCP connection as an ssh session is one: it is made once and must last, and every line must come back, in its order.
 */
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

export interface LinesEnd {
  readonly typed: number;
  readonly echoed: number;
  /** `whole` when all lines came back in their order and both ends closed; else what went wrong. */
  readonly ending: string;
}

/** Milliseconds. */
const INTERVAL = 10;
/** For the lines that are under way at the end: TCP's retransmission may be late. */
const LAST_LINES = 60_000;

if (import.meta.main) main(process.argv.slice(2));

function main([role, ...rest]: readonly string[]): void {
  if (role === "echo") echo(Number(rest[0]));
  else type(rest[0] ?? "", Number(rest[1]));
}

function echo(port: number): void {
  const server = createServer((socket) => {
    socket.setNoDelay();
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen(port, "0.0.0.0", () => console.log("listening"));
}

function type(address: string, port: number): void {
  const socket = connect(port, address).setNoDelay();
  let typed = 0;
  let echoed = 0;
  let ended = false;
  const end = (ending: string): void => {
    if (ended) return;
    ended = true;
    console.log(JSON.stringify({ typed, echoed, ending } satisfies LinesEnd));
    process.exit(0);
  };
  socket.once("error", (error) => end(String(error)));
  socket.once("close", () => end(echoed === typed && isOver ? "whole" : `closed after line ${echoed}`));
  createInterface({ input: socket }).on("line", (line) => {
    if (line !== String(echoed)) end(`line ${echoed} came back as ${line.slice(0, 40)}`);
    echoed += 1;
  });
  let isOver = false;
  socket.once("connect", () => {
    const timer = setInterval(() => {
      socket.write(`${typed}\n`);
      typed += 1;
    }, INTERVAL);
    process.once("SIGTERM", () => {
      clearInterval(timer);
      isOver = true;
      socket.end();
      setTimeout(() => end(`line ${echoed} of ${typed} did not come back`), LAST_LINES);
    });
  });
}
