/**
 * How a connection between members comes to be, before muxer, identify or gossip exist on it:
 *
 *   1. multistream selects `/mesh/member/1`.
 *   2. Noise XX: both prove their node keys.
 *   3. The initiator shows its credentials: one frame.
 *   4. The responder verifies them. Until it has, it says nothing: a stranger that guesses the protocol learns its key, no more.
 *   5. The responder shows its own; the initiator verifies them.
 *
 * Whoever is refused sees the connection reset, and is counted. Shown credentials go to core as records before the link is reported.
 */
import { noise } from "@chainsafe/libp2p-noise";
import type { ConnectionEncrypter, MessageStream, SecuredConnection } from "@libp2p/interface";
import type { Clock, ControlQueries, Millis, NodeId } from "@mesh/core/ports";
import { withDeadline } from "./deadline.ts";
import type { Frames } from "./frames.ts";
import { credentialFrames, takeCredentials } from "./member-credentials.ts";

const MEMBER_PROTOCOL = "/mesh/member/1";
/** For steps 2 to 5: three round trips and four signatures, even on a slow, lossy path. */
const MEMBER_HANDSHAKE_TIMEOUT: Millis = 5_000;

interface MemberEncrypterOptions {
  readonly clock: Clock;
  readonly queries: Pick<ControlQueries, "credentials" | "refuseMember">;
  /** Core refused what the other side of this connection showed. */
  onRefused(connection: MessageStream, direction: "inbound" | "outbound"): void;
  /** Credentials that were verified, as they were shown. */
  onCredentials(node: NodeId, credentials: Uint8Array): void;
}

/** Waiting for a peer that does not read. Streams stop writing before (yamux windows); what is left are answers to its own frames, of which one that never reads could cause any number. */
const MAX_UNSENT_BYTES = 4_194_304;

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0];

export function memberEncrypter(options: MemberEncrypterOptions): (components: NoiseComponents) => ConnectionEncrypter {
  const { clock, queries } = options;
  const timeout = MEMBER_HANDSHAKE_TIMEOUT;

  const listener = {
    refuseMember: (node: NodeId, credentials: Uint8Array) => queries.refuseMember(node, credentials),
    onCredentials: (node: NodeId, credentials: Uint8Array) => options.onCredentials(node, credentials),
  };
  const take = (secured: SecuredConnection, frames: Frames, part: { readonly signal: AbortSignal; onRefused(): void }): Promise<void> =>
    takeCredentials(secured, { ...part, ...listener }, frames);

  return (components) => {
    const channel = noise()(components);
    return {
      protocol: MEMBER_PROTOCOL,
      secureOutbound: (connection, { signal, ...rest } = {}) =>
        withDeadline({ clock, timeout, signal }, async (deadline) => {
          const secured = await channel.secureOutbound(connection, { ...rest, signal: deadline });
          const frames = credentialFrames(secured);
          await frames.write(queries.credentials(), deadline);
          await take(secured, frames, { signal: deadline, onRefused: () => options.onRefused(connection, "outbound") });
          return released(secured, frames);
        }),
      secureInbound: (connection, { signal, ...rest } = {}) =>
        withDeadline({ clock, timeout, signal }, async (deadline) => {
          const secured = await channel.secureInbound(connection, { ...rest, signal: deadline });
          const frames = credentialFrames(secured);
          await take(secured, frames, { signal: deadline, onRefused: () => options.onRefused(connection, "inbound") });
          await frames.write(queries.credentials(), deadline);
          return released(secured, frames);
        }),
    };
  };
}

function released(secured: SecuredConnection, frames: Frames): SecuredConnection {
  frames.release();
  secured.connection.maxWriteBufferLength = MAX_UNSENT_BYTES;
  return secured;
}
