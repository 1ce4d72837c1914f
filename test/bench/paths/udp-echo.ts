/**
 * node udp-echo.ts echo <address> <port>                     prints `listening`; sends each datagram back with its time of arrival
 * node udp-echo.ts send <address> <port> <interval ms>       numbered datagrams until SIGTERM; one line for each that comes back:
 *                                                            `<sequence> <sent> <arrived there> <back>`, then `end <how many were sent>`
 *
 * Times are milliseconds of the wall clock, with fractions: both ends are on one machine.
 */
import { createSocket } from "node:dgram";

/** Sequence, sent, arrived: 4 and twice 8 bytes. As long as an echo request of ping with its 56 bytes. */
const DATAGRAM_BYTES = 64;
const SENT_AT = 4;
const ARRIVED_AT = 12;
/** Milliseconds between looks at the clock: an interval is kept on average, whatever the timers do. */
const TICK = 1;
/** Milliseconds after the last datagram for its echo. */
const LAST_ECHO = 1_000;

/** `performance` alone would drift from the clock that packets are captured by. */
const offset = Date.now() - performance.now();
const now = (): number => offset + performance.now();

const [role, address = "", port = "", interval = ""] = process.argv.slice(2);
if (role === "echo") echo();
else send(Number(interval));

function echo(): void {
  const socket = createSocket("udp4");
  socket.on("message", (datagram, { address: from, port: fromPort }) => {
    datagram.writeDoubleBE(now(), ARRIVED_AT);
    socket.send(datagram, fromPort, from);
  });
  socket.bind(Number(port), address, () => console.log("listening"));
}

function send(every: number): void {
  const socket = createSocket("udp4");
  // No route, for a moment: what was not sent counts as lost.
  socket.on("error", () => {});
  socket.on("message", (datagram) => {
    console.log(`${datagram.readUInt32BE(0)} ${datagram.readDoubleBE(SENT_AT)} ${datagram.readDoubleBE(ARRIVED_AT)} ${now()}`);
  });
  socket.connect(Number(port), address, () => {
    let sent = 0;
    let dueAt = now();
    const timer = setInterval(() => {
      if (now() < dueAt) return;
      // What the process slept over is not made up for: a burst would measure a queue.
      dueAt = Math.max(dueAt + every, now());
      const datagram = Buffer.alloc(DATAGRAM_BYTES);
      datagram.writeUInt32BE(sent, 0);
      datagram.writeDoubleBE(now(), SENT_AT);
      sent += 1;
      socket.send(datagram, () => {});
    }, TICK);
    process.once("SIGTERM", () => {
      clearInterval(timer);
      setTimeout(() => {
        console.log(`end ${sent}`);
        socket.close();
      }, LAST_ECHO);
    });
  });
}
