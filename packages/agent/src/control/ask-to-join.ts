/**
 * The joiner's side of join-encrypter.ts. It needs no libp2p node: TCP, multistream and Noise are enough.
 *
 *   1. TCP to the member's endpoints, with head starts (race-endpoints.ts).
 *   2. multistream offers `/mesh/join/1`; Noise XX, only with the expected member. The first endpoint that gets here wins.
 *   3. One request frame, one response frame, end.
 */
import { noise } from "@chainsafe/libp2p-noise";
import type { MessageStream, MultiaddrConnection, Transport, Upgrader } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { tcp } from "@libp2p/tcp";
import {
  type Clock,
  type Endpoint,
  MAX_JOIN_REQUEST_BYTES,
  MAX_JOIN_RESPONSE_BYTES,
  type Millis,
  type NodeId,
  shortId,
} from "@mesh/core/ports";
import type { Logger } from "pino";
import { withDeadline } from "./deadline.ts";
import { framesOf } from "./frames.ts";
import { JOIN_ANSWER_TIMEOUT, JOIN_IO_TIMEOUT, JOIN_PROTOCOL } from "./join-encrypter.ts";
import { libp2pLog } from "./libp2p-log.ts";
import { dialAddress, formatEndpoints } from "./multiaddr.ts";
import { peerIdOf, privateKeyOf } from "./peer-id.ts";
import { raceEndpoints } from "./race-endpoints.ts";

interface JoinQuestion {
  /** 32-byte Ed25519 seed of the joiner. */
  readonly seed: Uint8Array;
  /** `where`: told to people instead of the endpoints. */
  readonly member: { readonly node: NodeId; readonly endpoints: readonly Endpoint[]; readonly where?: string };
  /** At most MAX_JOIN_REQUEST_BYTES. */
  readonly request: Uint8Array;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The member was reached and told; what it made of the request is not known. The same node may ask again: it gets the same answer. */
export class JoinUnansweredError extends Error {
  override readonly name = "JoinUnansweredError";
}

/** The member hung up before the request: it has too many at once to say even that it is busy, or is no member any more. */
export class JoinCutError extends Error {
  override readonly name = "JoinCutError";
}

/** A member answers within 15 s and may take 5 s more for each of request and response. */
const RESPONSE_TIMEOUT: Millis = JOIN_ANSWER_TIMEOUT + 2 * JOIN_IO_TIMEOUT;

/**
 * The response of a member to the request. Rejects with one sentence for people when the member is not reached, is
 * someone else, or when `signal` is aborted; with JoinCutError when no endpoint took the request and one of
 * them hung up on it; with JoinUnansweredError when it hangs up afterwards or does not answer in time.
 */
export async function askToJoin(question: JoinQuestion): Promise<Uint8Array> {
  const { member, request, signal, clock } = question;
  if (request.length > MAX_JOIN_REQUEST_BYTES) throw new RangeError(`join request of ${request.length} bytes`);
  const dialer = await joinDialer(question);
  const who = `${shortId(member.node)} at ${member.where ?? formatEndpoints(member.endpoints)}`;
  const secured = await raceEndpoints(member.endpoints, {
    clock,
    signal,
    dial: (endpoint, deadline) => dialer.dial(endpoint, deadline),
    discard: (late) => late.abort(new Error("another endpoint was faster")),
  }).catch((error: unknown) => {
    const wasCut = error instanceof AggregateError && error.errors.some((one) => one instanceof JoinCutError);
    throw new (wasCut ? JoinCutError : Error)(`Member ${who} was not reached: ${messageOf(error)}.`, { cause: error });
  });
  try {
    return await withDeadline({ clock, timeout: RESPONSE_TIMEOUT, signal }, async (deadline) => {
      const frames = framesOf(secured, MAX_JOIN_RESPONSE_BYTES);
      await frames.write(request, deadline);
      return await frames.read(deadline);
    });
  } catch (error) {
    throw new JoinUnansweredError(`Member ${who} gave no answer: ${messageOf(error)}.`, { cause: error });
  } finally {
    secured.abort(new Error("the join exchange is over"));
  }
}

interface JoinDialer {
  dial(endpoint: Endpoint, signal: AbortSignal): Promise<MessageStream>;
}

async function joinDialer({ seed, member, log }: JoinQuestion): Promise<JoinDialer> {
  const privateKey = await privateKeyOf(seed);
  const logger = libp2pLog(log);
  const transport = tcp()({ logger });
  const channel = noise()({ peerId: peerIdFromPrivateKey(privateKey), privateKey, logger, upgrader: rawUpgrader(() => {}) });
  const remotePeer = peerIdOf(member.node);
  return {
    dial: async (endpoint, signal) => {
      const connection = await connectRaw(transport, { endpoint, node: member.node, signal });
      const abort = (): void => connection.abort(new Error("dial aborted"));
      signal.addEventListener("abort", abort, { once: true });
      try {
        await selectProtocol(connection, signal);
        const secured = await channel
          .secureOutbound(connection, { remotePeer, signal, skipStreamMuxerNegotiation: true })
          .catch((error) => {
            if (signal.aborted || connection.status === "open") throw error;
            throw new JoinCutError("it hung up", { cause: error });
          });
        return secured.connection;
      } catch (error) {
        connection.abort(error instanceof Error ? error : new Error(String(error)));
        throw error;
      } finally {
        signal.removeEventListener("abort", abort);
      }
    },
  };
}

interface RawDial {
  readonly endpoint: Endpoint;
  readonly node: NodeId;
  readonly signal: AbortSignal;
}

/** libp2p's TCP, stopped where it would hand the connection to an upgrader: what comes after is this file's. */
function connectRaw(transport: Transport, { endpoint, node, signal }: RawDial): Promise<MultiaddrConnection> {
  return new Promise((resolve, reject) => {
    transport.dial(dialAddress(node, endpoint), { signal, upgrader: rawUpgrader(resolve) }).catch(reject);
  });
}

/** Its upgrade never settles, so the transport leaves the connection alone. */
function rawUpgrader(onConnected: (connection: MultiaddrConnection) => void): Upgrader {
  return {
    upgradeOutbound: (connection) => {
      onConnected(connection);
      return new Promise<never>(() => {});
    },
    upgradeInbound: () => Promise.reject(new Error("a joiner does not listen")),
    createInboundAbortSignal: () => {
      throw new Error("a joiner does not listen");
    },
    getStreamMuxers: () => new Map(),
    getConnectionEncrypters: () => new Map(),
  };
}

/** multistream-select 1.0.0: each side sends its header and then the protocol, as frames that end in a newline. */
const MULTISTREAM_HEADER = "/multistream/1.0.0";

async function selectProtocol(connection: MultiaddrConnection, signal: AbortSignal): Promise<void> {
  const frames = framesOf(connection, 1_024);
  await frames.write(Buffer.from(`${MULTISTREAM_HEADER}\n`), signal);
  await frames.write(Buffer.from(`${JOIN_PROTOCOL}\n`), signal);
  for (const expected of [MULTISTREAM_HEADER, JOIN_PROTOCOL]) {
    const line = Buffer.from(await frames.read(signal)).toString();
    if (line !== `${expected}\n`) throw new Error("it does not take join requests");
  }
  frames.release();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
