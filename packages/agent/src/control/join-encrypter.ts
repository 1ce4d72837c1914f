/**
 * A stranger's one exchange with a member, on a connection that never becomes more than that:
 *
 *   1. multistream selects `/mesh/join/1`.
 *   2. Noise XX: the joiner knows that it talks to the member of its invite.
 *   3. One request frame from the joiner.
 *   4. Core is asked; it may carry the request to the issuer (carry-join.ts).
 *   5. One response frame, then the connection ends.
 *
 * The encrypter always fails in the end, so the connection is never upgraded: no muxer, no identify, no gossip.
 */
import { noise } from "@chainsafe/libp2p-noise";
import type { ConnectionEncrypter, MessageStream, MultiaddrConnection } from "@libp2p/interface";
import type { Clock, Ip, Millis } from "@mesh/core/ports";
import { withDeadline } from "./deadline.ts";
import { framesOf } from "./frames.ts";
import type { JoinDesk } from "./join-desk.ts";
import { JoinLimit } from "./join-limit.ts";
import { endpointOf } from "./multiaddr.ts";
import { whileOpen } from "./stream-end.ts";

export const JOIN_PROTOCOL = "/mesh/join/1";
/** A request: two keys, a consent, a name, signatures and, without an invite, a commitment. */
export const MAX_JOIN_REQUEST_BYTES = 16_384;
/** A response: a certificate chain, the removals and enough records to start; 2,000 records of 500 B. */
export const MAX_JOIN_RESPONSE_BYTES = 1_048_576;
/** For core to answer, a carried request's 10 s included. */
export const JOIN_ANSWER_TIMEOUT: Millis = 15_000;
/** For Noise and the request, and again for the response to be taken. */
export const JOIN_IO_TIMEOUT: Millis = 5_000;

export interface JoinEncrypterOptions {
  readonly clock: Clock;
  readonly desk: JoinDesk;
  /** The connection got as far as Noise: whoever limits silent connections can leave it to the limits here. */
  onStarted(connection: MessageStream): void;
}

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0];

export function joinEncrypter(options: JoinEncrypterOptions): (components: NoiseComponents) => ConnectionEncrypter {
  const limit = new JoinLimit();
  return (components) => {
    const channel = noise()(components);
    return {
      protocol: JOIN_PROTOCOL,
      secureOutbound: () => Promise.reject(new Error("members do not join")),
      secureInbound: async (connection, { signal } = {}) => {
        const leave = limit.enter(sourceOf(connection), options.clock.now());
        if (leave === undefined) throw new Error("too many join attempts");
        try {
          options.onStarted(connection);
          await serve(connection, signal);
        } finally {
          leave();
        }
        throw new Error("the join exchange is over");
      },
    };

    async function serve(connection: MessageStream, signal: AbortSignal | undefined): Promise<void> {
      const { clock, desk } = options;
      const io = { clock, timeout: JOIN_IO_TIMEOUT, signal };
      const { frames, request } = await withDeadline(io, async (deadline) => {
        const secured = await channel.secureInbound(connection, { signal: deadline, skipStreamMuxerNegotiation: true });
        const opened = framesOf(secured.connection, MAX_JOIN_REQUEST_BYTES);
        return { frames: opened, request: await opened.read(deadline) };
      });
      const response = await whileOpen(connection, (gone) => desk.ask({ request }, { timeout: JOIN_ANSWER_TIMEOUT, signal: gone }));
      if (response === undefined) throw new Error("nobody answered the join request");
      if (response.length > MAX_JOIN_RESPONSE_BYTES) throw new Error(`join response of ${response.length} bytes is too long`);
      await withDeadline(io, async (deadline) => {
        await frames.write(response, deadline);
        // A graceful end: a reset right behind the response could overtake it.
        await frames.release().close({ signal: deadline });
      });
    }
  };
}

/** The encrypter of an inbound TCP connection is given that connection; its type in libp2p says only that it is a stream. */
function sourceOf(connection: MessageStream): Ip {
  const { remoteAddr } = connection as MultiaddrConnection;
  return endpointOf(remoteAddr).ip;
}
