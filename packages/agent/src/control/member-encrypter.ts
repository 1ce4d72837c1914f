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
import { type Clock, type ControlQueries, MAX_RECORD_BYTES, type Millis, type NodeId, shortId } from "@mesh/core/ports";
import { withDeadline } from "./deadline.ts";
import { type Frames, framesOf } from "./frames.ts";
import { nodeOf } from "./peer-id.ts";

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

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0];

export function memberEncrypter(options: MemberEncrypterOptions): (components: NoiseComponents) => ConnectionEncrypter {
  const { clock, queries } = options;
  const timeout = MEMBER_HANDSHAKE_TIMEOUT;

  const verify = ({ remotePeer }: SecuredConnection, credentials: Uint8Array, onRefused: () => void): void => {
    const node = nodeOf(remotePeer);
    const reason = node === undefined ? "not an Ed25519 key" : queries.refuseMember(node, credentials);
    if (node === undefined || reason !== undefined) {
      onRefused();
      throw new Error(`${node === undefined ? "peer" : shortId(node)} is no member: ${reason}`);
    }
    options.onCredentials(node, credentials);
  };

  return (components) => {
    const channel = noise()(components);
    return {
      protocol: MEMBER_PROTOCOL,
      secureOutbound: (connection, { signal, ...rest } = {}) =>
        withDeadline({ clock, timeout, signal }, async (deadline) => {
          const secured = await channel.secureOutbound(connection, { ...rest, signal: deadline });
          const frames = credentialFrames(secured);
          await frames.write(queries.credentials(), deadline);
          verify(secured, await frames.read(deadline), () => options.onRefused(connection, "outbound"));
          frames.release();
          return secured;
        }),
      secureInbound: (connection, { signal, ...rest } = {}) =>
        withDeadline({ clock, timeout, signal }, async (deadline) => {
          const secured = await channel.secureInbound(connection, { ...rest, signal: deadline });
          const frames = credentialFrames(secured);
          verify(secured, await frames.read(deadline), () => options.onRefused(connection, "inbound"));
          await frames.write(queries.credentials(), deadline);
          frames.release();
          return secured;
        }),
    };
  };
}

function credentialFrames(secured: SecuredConnection): Frames {
  return framesOf(secured.connection, MAX_RECORD_BYTES);
}
