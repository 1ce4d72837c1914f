/**
 * A stranger's one exchange with a member, on a connection that never becomes more than that:
 *
 *   1. multistream selects `/mesh/join/1`. Of those beyond JoinLimit a few go on and are answered "busy", others are cut.
 *   2. Noise XX: the joiner knows that it talks to the member of its invite.
 *   3. One request frame from the joiner.
 *   4. Core is asked; it may carry the request to the issuer (carry-join.ts).
 *   5. One response frame, then the connection ends.
 *
 * The encrypter always fails in the end, so the connection is never upgraded: no muxer, no identify, no gossip.
 */
import { noise } from "@chainsafe/libp2p-noise";
import type { ConnectionEncrypter, MessageStream, MultiaddrConnection } from "@libp2p/interface";
import { type Clock, type Ip, MAX_JOIN_REQUEST_BYTES, MAX_JOIN_RESPONSE_BYTES, type Millis } from "@mesh/core/ports";
import { type DeadlineOptions, withDeadline } from "./deadline.ts";
import { type Frames, framesOf } from "./frames.ts";
import type { JoinDesk } from "./join-desk.ts";
import { JoinLimit } from "./join-limit.ts";
import { endpointOf } from "./multiaddr.ts";
import type { Refusals } from "./refusals.ts";
import { whileOpen } from "./stream-end.ts";

export const JOIN_PROTOCOL = "/mesh/join/1";
/** For core to answer, a carried request's 10 s included. */
export const JOIN_ANSWER_TIMEOUT: Millis = 15_000;
/** For Noise and the request, and again for the response to be taken. */
export const JOIN_IO_TIMEOUT: Millis = 5_000;

interface JoinEncrypterOptions {
  readonly clock: Clock;
  readonly desk: JoinDesk;
  readonly refusals: Refusals;
  /** For joiners beyond the limits; undefined: they are cut. */
  readonly busyResponse: Uint8Array | undefined;
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
        const now = options.clock.now();
        const leave = limit.enter(sourceOf(connection), now);
        options.refusals.blame(connection, leave === undefined ? "join-limit" : "join-failed");
        const leaveRefused = leave === undefined ? limit.enterRefused(now) : undefined;
        try {
          if (leave !== undefined) await serve(connection, signal);
          else if (leaveRefused !== undefined) await refuse(connection, signal);
        } finally {
          leave?.();
          leaveRefused?.();
        }
        throw new Error(leave === undefined ? "too many join attempts" : "the join exchange is over");
      },
    };

    async function serve(connection: MessageStream, signal: AbortSignal | undefined): Promise<void> {
      const { clock, desk, refusals } = options;
      const io = { clock, timeout: JOIN_IO_TIMEOUT, signal };
      const { frames, request } = await receive(connection, io);
      const response = await whileOpen(connection, (gone) => desk.ask({ request }, { timeout: JOIN_ANSWER_TIMEOUT, signal: gone }));
      if (response === undefined) throw new Error("nobody answered the join request");
      if (response.length > MAX_JOIN_RESPONSE_BYTES) throw new Error(`join response of ${response.length} bytes is too long`);
      await respond(frames, response, io);
      refusals.blame(connection, "none");
    }

    /** Reads the request too: a connection that is closed with unread bytes is reset, and the reset overtakes the response. */
    async function refuse(connection: MessageStream, signal: AbortSignal | undefined): Promise<void> {
      const { clock, busyResponse } = options;
      if (busyResponse === undefined) return;
      const io = { clock, timeout: JOIN_IO_TIMEOUT, signal };
      const { frames } = await receive(connection, io);
      await respond(frames, busyResponse, io);
    }

    function receive(connection: MessageStream, io: DeadlineOptions): Promise<{ readonly frames: Frames; readonly request: Uint8Array }> {
      options.onStarted(connection);
      return withDeadline(io, async (deadline) => {
        const secured = await channel.secureInbound(connection, { signal: deadline, skipStreamMuxerNegotiation: true });
        const frames = framesOf(secured.connection, MAX_JOIN_REQUEST_BYTES);
        return { frames, request: await frames.read(deadline) };
      });
    }
  };
}

function respond(frames: Frames, response: Uint8Array, io: DeadlineOptions): Promise<void> {
  return withDeadline(io, async (deadline) => {
    await frames.write(response, deadline);
    // A graceful end: a reset right behind the response could overtake it.
    await frames.release().close({ signal: deadline });
  });
}

/** The encrypter of an inbound TCP connection is given that connection; its type in libp2p says only that it is a stream. */
function sourceOf(connection: MessageStream): Ip {
  const { remoteAddr } = connection as MultiaddrConnection;
  return endpointOf(remoteAddr).ip;
}
