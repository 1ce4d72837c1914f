/**
 * How a host becomes a member: it makes a network (`init`), or a member of one admits it (`join`).
 *
 *   identity, written → network made, or request to the invite's members in turn → records → node, written: a member
 */

import { DEFAULT_NETWORK, type LaunchOrder, nameFrom } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import {
  type Crypto,
  chosenPrefix,
  encodeRecords,
  encodeSnapshot,
  finishJoin,
  foundNetwork,
  freePrefix,
  makeJoinRequest,
  type NodeSnapshot,
  type OpenedInvite,
  type Random,
  randomBelow,
} from "@mesh/core/node";
import { type Clock, formatEndpoint, type HostView, type Millis, type Store } from "@mesh/core/ports";
import { JoinCutError, JoinUnansweredError } from "./control/ask-to-join.ts";
import { connectFailure } from "./control/connect-failure.ts";
import { DeadlineError, withDeadline } from "./control/deadline.ts";
import type { NodeDocuments } from "./store/node-documents.ts";

/** Members admit a few at once (control/join-limit.ts): a joiner that finds them busy asks again for so long … */
export const BUSY_PATIENCE: Millis = 20_000;
/** … after a pause of this to twice this, so that those who were told together do not come back together. */
const BUSY_PAUSE: Millis = 1_000;

export interface BecomeMemberOptions {
  readonly order: LaunchOrder;
  /** Present: join with it; absent: make a network. */
  readonly invite: OpenedInvite | undefined;
  readonly network: string;
  readonly store: Pick<Store, "read" | "write">;
  readonly crypto: Crypto;
  readonly random: Random;
  readonly clock: Clock;
  /** What the host calls itself. */
  readonly hostName: string;
  readonly host: HostView;
  readonly udpPort: number;
  /** Aborted: nobody waits for this host to become a member any more. */
  readonly signal: AbortSignal;
  /** Sends a request to one member of the invite; see control/ask-to-join.ts. */
  ask(question: JoinQuestion): Promise<Uint8Array>;
  /** A step is done or begins, in words for people. */
  onStep(text: string): void;
}

interface JoinQuestion {
  /** 32-byte Ed25519 seed of this node. */
  readonly seed: Uint8Array;
  readonly member: OpenedInvite["invite"]["members"][number];
  readonly request: Uint8Array;
}

/**
 * `isKnown`: others know this node's key now, or may. What is stored must then be kept, also after a failure: asked again
 * with the same key, the network gives the same answer. Otherwise nobody loses anything with it.
 */
export type BecomeMemberOutcome =
  /** Everything is durable. */
  | { readonly ok: true; readonly isKnown: boolean; readonly documents: NodeDocuments }
  | { readonly ok: false; readonly isKnown: boolean; readonly error: unknown };

/** The invite knows its network; a person who names another one means another invite. */
export function networkOf({ network }: LaunchOrder, invite: OpenedInvite | undefined): string {
  if (invite === undefined) return network ?? DEFAULT_NETWORK;
  const { name } = invite.statement;
  if (network === undefined || network === name) return name;
  const reason = `This invite is for the network ${name}, not for ${network}.`;
  throw new MeshError(
    "usage/invalid",
    reason,
    { reason },
    { hint: `Leave out --network to join ${name}, or use an invite for ${network}.` },
  );
}

export async function becomeMember(options: BecomeMemberOptions): Promise<BecomeMemberOutcome> {
  const { store, random, invite, udpPort } = options;
  let isKnown = false;
  try {
    // The key of an interrupted attempt is used again: the network may know it already.
    const identity = (await store.read("identity")) ?? random.bytes(32);
    await store.write("identity", identity);
    const onKnown = (): void => {
      isKnown = true;
    };
    const made = invite === undefined ? await found(identity, options) : await join(identity, { ...options, invite, onKnown });
    const snapshot = { ...made.snapshot, udpPort, tcpPort: 0 };
    // First what can be had again, then what makes this host a member.
    await store.write("records", encodeRecords(made.records));
    await store.write("node", encodeSnapshot(snapshot));
    return { ok: true, isKnown, documents: { identity, root: made.root, snapshot, records: made.records } };
  } catch (error) {
    return { ok: false, isKnown, error };
  }
}

/** What both ways have in common when they are done. */
interface Made {
  readonly snapshot: Omit<NodeSnapshot, "udpPort" | "tcpPort">;
  readonly records: readonly Uint8Array[];
  readonly root: Uint8Array | undefined;
}

async function found(identity: Uint8Array, options: BecomeMemberOptions): Promise<Made> {
  const { order, network, store, crypto, random, clock, host, onStep } = options;
  const { prefix4, nodeLength } = order.cidr === undefined ? freePrefix(random, host) : chosenPrefix(order.cidr, order.nodeBits, host);
  const root = random.bytes(32);
  await store.write("root", root);
  const snapshot = foundNetwork({
    crypto,
    key: crypto.signingKey(identity),
    root: crypto.signingKey(root),
    name: network,
    nodeName: nodeName(options),
    prefix4,
    nodeLength,
    wallNow: clock.wallNow(),
  });
  onStep(`made the network ${network}, ${prefix4.ip}/${prefix4.length}`);
  return { snapshot, records: [], root };
}

interface JoinOptions extends BecomeMemberOptions {
  readonly invite: OpenedInvite;
  onKnown(): void;
}

async function join(identity: Uint8Array, options: JoinOptions): Promise<Made> {
  const { invite, crypto, random, clock, onStep, signal } = options;
  const key = crypto.signingKey(identity);
  const request = makeJoinRequest(crypto, { invite, key, name: nodeName(options) });
  const patientUntil = clock.now() + BUSY_PATIENCE;
  for (;;) {
    const asked = await askMembers({ seed: identity, key, request }, options);
    if (asked.joined !== undefined) return { ...asked.joined, root: undefined };
    if (!asked.isBusy || clock.now() > patientUntil) throw asked.error;
    onStep("too many others are joining at this moment: asking again");
    await pause(BUSY_PAUSE + randomBelow(random, BUSY_PAUSE), { clock, signal });
  }
}

type Joined = ReturnType<typeof finishJoin>;

type AskedMembers =
  | { readonly joined: Joined }
  /** `isBusy`: one of them has only no time now. */
  | { readonly joined?: undefined; readonly isBusy: boolean; readonly error: unknown };

interface Request {
  /** 32-byte Ed25519 seed of this node. */
  readonly seed: Uint8Array;
  readonly key: ReturnType<Crypto["signingKey"]>;
  readonly request: Uint8Array;
}

/** Each member of the invite in turn, until one admits or the issuer itself says no. */
async function askMembers({ seed, key, request }: Request, options: JoinOptions): Promise<AskedMembers> {
  const { invite, network, ask, onStep, onKnown } = options;
  const tried: string[] = [];
  let refusal: unknown;
  let isBusy = false;
  for (const member of invite.invite.members) {
    onStep(`asking ${member.endpoints.map(formatEndpoint).join(" or ")} to let this node into ${network}`);
    let response: Uint8Array;
    try {
      response = await ask({ seed, member, request });
    } catch (error) {
      if (error instanceof JoinUnansweredError) onKnown();
      if (error instanceof JoinCutError) isBusy = true;
      tried.push(connectFailure(error instanceof Error ? error.message : String(error)));
      continue;
    }
    try {
      const joined = admission(response, { ...options, key });
      onStep("admitted");
      return { joined };
    } catch (error) {
      if (refusalReason(error) === "busy") isBusy = true;
      // Only the issuer's own no is final: another member may be too busy, may not reach it, or may lie.
      else if (member.node === invite.invite.issuer) return { isBusy: false, error };
      refusal ??= error;
    }
  }
  if (refusal !== undefined) return { isBusy, error: refusal };
  const what = tried.length === 0 ? "The invite names no member that can be reached." : tried.join(" ");
  const hint = "Check that the node that made the invite is up and that this host can reach it by TCP, then run the same command again.";
  return { isBusy, error: new MeshError("invite/unreachable", what, { tried }, { hint }) };
}

/** Why the network said no; undefined: it did not. */
function refusalReason(error: unknown): string | undefined {
  return error instanceof MeshError && "reason" in error.details ? String(error.details.reason) : undefined;
}

/** Rejects when nobody waits any more. */
async function pause(duration: Millis, { clock, signal }: Pick<BecomeMemberOptions, "clock" | "signal">): Promise<void> {
  await withDeadline({ clock, timeout: duration, signal }, () => new Promise<never>(() => {})).catch((error: unknown) => {
    if (!(error instanceof DeadlineError)) throw error;
  });
}

/** Refusals that leave open what the issuer has written down: it may have been asked, and its answer lost or changed on the way. */
const OPEN_REFUSALS: readonly string[] = ["issuer-unreachable", "untrue"];

function admission(response: Uint8Array, { crypto, invite, key, onKnown }: JoinOptions & Pick<Request, "key">): Joined {
  try {
    const joined = finishJoin(crypto, { invite, key, response });
    onKnown();
    return joined;
  } catch (error) {
    const reason = refusalReason(error);
    if (reason === undefined || OPEN_REFUSALS.includes(reason)) onKnown();
    throw error;
  }
}

function nodeName({ order, hostName }: BecomeMemberOptions): string {
  return order.nodeName ?? nameFrom(hostName, "node");
}
