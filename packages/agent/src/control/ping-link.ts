import { randomBytes } from "node:crypto";
import type { Connection } from "@libp2p/interface";
import { byteStream } from "@libp2p/utils";
import { endingStream } from "./stream-end.ts";

/** libp2p's ping, which every node answers: 32 bytes and their echo. */
const PING_PROTOCOL = "/ipfs/ping/1.0.0";
const PING_BYTES = 32;
/** Each way on one connection: libp2p's own ping and ours may meet, and with libp2p's default of one it would take its own for failed and cut the link. */
export const PING_STREAMS = 4;

/** Resolves when the other side of this very connection answered. One at a time. */
export async function pingLink(connection: Connection, signal: AbortSignal): Promise<void> {
  const stream = await connection.newStream(PING_PROTOCOL, { signal });
  await endingStream(stream, signal, async () => {
    const bytes = byteStream(stream);
    await bytes.write(randomBytes(PING_BYTES), { signal });
    await bytes.read({ bytes: PING_BYTES, signal });
  });
}
