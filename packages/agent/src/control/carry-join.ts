/**
 * `/mesh/carry-join/1`: a member carries a stranger's join request to its issuer, over the link they have.
 *
 *   carrier → issuer   one frame: the request, as the stranger wrote it (MAX_JOIN_REQUEST_BYTES)
 *   issuer → carrier   one frame: the response (MAX_JOIN_RESPONSE_BYTES); or the stream is reset
 */
import type { Connection, Stream } from "@libp2p/interface";
import { type Clock, MAX_JOIN_REQUEST_BYTES, MAX_JOIN_RESPONSE_BYTES, type Millis, type NodeId } from "@mesh/core/ports";
import { withDeadline } from "./deadline.ts";
import { framesOf } from "./frames.ts";
import type { JoinDesk } from "./join-desk.ts";
import { endingStream, whileOpen } from "./stream-end.ts";

export const CARRY_JOIN_PROTOCOL = "/mesh/carry-join/1";
/** For the whole exchange; the stranger waits 15 s. */
const CARRY_JOIN_TIMEOUT: Millis = 10_000;
/** Requests one member may carry to us at a time; the desk bounds all of them together. */
export const MAX_CARRIED_STREAMS = 4;

/** Rejects when the issuer hangs up or is too slow. */
export async function carryJoin(connection: Connection, request: Uint8Array, clock: Clock): Promise<Uint8Array> {
  return await withDeadline({ clock, timeout: CARRY_JOIN_TIMEOUT }, async (signal) => {
    const stream = await connection.newStream(CARRY_JOIN_PROTOCOL, { signal, maxOutboundStreams: MAX_CARRIED_STREAMS });
    return await endingStream(stream, signal, async () => {
      const frames = framesOf(stream, MAX_JOIN_RESPONSE_BYTES);
      await frames.write(request, signal);
      return await frames.read(signal);
    });
  });
}

interface CarriedJoin {
  readonly stream: Stream;
  readonly carriedBy: NodeId;
  readonly desk: JoinDesk;
  readonly clock: Clock;
}

/** The issuer's side. Rejects when the request does not come, nobody answers it, or the carrier hangs up. */
export async function serveCarriedJoin({ stream, carriedBy, desk, clock }: CarriedJoin): Promise<void> {
  await withDeadline({ clock, timeout: CARRY_JOIN_TIMEOUT }, (signal) =>
    endingStream(stream, signal, async () => {
      const frames = framesOf(stream, MAX_JOIN_REQUEST_BYTES);
      const request = await frames.read(signal);
      const response = await whileOpen(stream, (gone) => desk.ask({ request, carriedBy }, { timeout: CARRY_JOIN_TIMEOUT, signal: gone }));
      if (response === undefined) throw new Error("nobody answered the carried join request");
      if (response.length > MAX_JOIN_RESPONSE_BYTES) throw new Error(`join response of ${response.length} bytes is too long`);
      await frames.write(response, signal);
    }),
  );
}
