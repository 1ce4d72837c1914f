import type { Connection } from "@libp2p/interface";

/** What libp2p's connection has and its type does not say. */
interface MuxedConnection extends Connection {
  readonly muxer?: {
    /** yamux's ping, a frame of 12 bytes and its echo, which needs no stream. Calls that meet share one. */
    ping?(options: { readonly signal: AbortSignal }): Promise<number>;
  };
}

/**
 * Resolves when the other side of this very connection answered. Whoever aborts `signal` must close the connection: an answer that
 * comes later is none that was asked for, which yamux takes for a fault.
 */
export async function pingLink(connection: MuxedConnection, signal: AbortSignal): Promise<void> {
  const { muxer } = connection;
  if (muxer?.ping === undefined) throw new TypeError("the connection's muxer has no ping");
  await muxer.ping({ signal });
}
