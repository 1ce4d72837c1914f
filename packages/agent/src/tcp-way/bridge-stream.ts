import type { Socket } from "node:net";
import { pipeline } from "node:stream";
import { createWebSocketStream, type WebSocket } from "ws";
import { UNSUPPORTED_DATA } from "./bridge-datagrams.ts";

/** Joins a connection of the control plane and a WebSocket, each waiting for the other to take what it brings; the end of one ends both. */
export function bridgeStream(socket: WebSocket, tcp: Socket): void {
  tcp.setNoDelay(true);
  socket.on("message", (_data, isBinary) => {
    if (!isBinary) socket.close(UNSUPPORTED_DATA);
  });
  const stream = createWebSocketStream(socket);
  const end = (): void => {
    tcp.destroy();
    socket.terminate();
  };
  pipeline(stream, tcp, stream, end);
}
