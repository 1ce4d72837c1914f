import type { Clock, Endpoint, Millis, NodeId } from "@mesh/core/ports";

/** Plain TCP is tried for so long before TLS is tried beside it. */
export const PLAIN_HEAD_START: Millis = 2_000;

/** A member that may be asked to let this node in. */
export interface InvitedBy {
  readonly node: NodeId;
  readonly endpoints: readonly Endpoint[];
  /** For people, where the endpoints are those of a bridge on this host. */
  readonly where?: string;
}

interface EitherWay {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  ask(member: InvitedBy, signal: AbortSignal): Promise<Uint8Array>;
  /** A loopback port of which every connection is one to the first of these endpoints that takes TLS WebSocket. */
  openStream(endpoints: readonly Endpoint[]): Promise<{ readonly endpoint: Endpoint; readonly failure: string | undefined; close(): void }>;
}

/**
 * Asks a member by plain TCP, and when that fails or takes long, by TLS WebSocket too. The first answer counts; the same question
 * asked twice gets the same one. Rejects with what either way said; an error of which it is open whether the member was told, as it is.
 */
export async function askEitherWay(member: InvitedBy, either: EitherWay): Promise<Uint8Array> {
  const { clock, signal, ask } = either;
  const losers = new AbortController();
  const onAbort = (): void => losers.abort(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", onAbort, { once: true });
  const { promise: headStart, resolve: startTls } = Promise.withResolvers<void>();
  const cancel = clock.at(clock.now() + PLAIN_HEAD_START, startTls);
  const plain = ask(member, losers.signal);
  plain.catch(() => startTls());
  const tls = headStart.then(() => {
    losers.signal.throwIfAborted();
    return askByTls(member, either, losers.signal);
  });
  try {
    return await Promise.any([plain, tls]);
  } catch {
    const [one, other] = (await Promise.allSettled([plain, tls])).map((result) =>
      result.status === "rejected" ? result.reason : undefined,
    );
    if (isOpen(one) || !isOpen(other)) throw isOpen(one) ? one : new Error(`${messageOf(one)} ${messageOf(other)}`, { cause: one });
    throw other;
  } finally {
    cancel();
    signal.removeEventListener("abort", onAbort);
    losers.abort(new Error("the other way was faster"));
  }
}

async function askByTls({ node, endpoints }: InvitedBy, { ask, openStream }: EitherWay, signal: AbortSignal): Promise<Uint8Array> {
  // An invite names those that take TLS last.
  const stream = await openStream(endpoints.toReversed());
  try {
    return await ask({ node, endpoints: [stream.endpoint], where: "its TLS port" }, signal);
  } catch (error) {
    if (isOpen(error) || stream.failure === undefined) throw error;
    throw new Error(`Nor by TLS: ${stream.failure}.`, { cause: error });
  } finally {
    stream.close();
  }
}

/** The member was reached, and may have done what it was asked (JoinUnansweredError of the control plane). */
function isOpen(error: unknown): boolean {
  return error instanceof Error && error.name === "JoinUnansweredError";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
