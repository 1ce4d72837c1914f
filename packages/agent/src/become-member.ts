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
} from "@mesh/core/node";
import { type Clock, formatEndpoint, type HostView, type Store } from "@mesh/core/ports";
import { JoinUnansweredError } from "./control/ask-to-join.ts";
import type { NodeDocuments } from "./store/node-documents.ts";

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
  const { invite, network, crypto, ask, onStep, onKnown } = options;
  const key = crypto.signingKey(identity);
  const request = makeJoinRequest(crypto, { invite, key, name: nodeName(options) });
  const tried: string[] = [];
  let refusal: unknown;
  for (const member of invite.invite.members) {
    onStep(`asking ${member.endpoints.map(formatEndpoint).join(" or ")} to let this node into ${network}`);
    let response: Uint8Array;
    try {
      response = await ask({ seed: identity, member, request });
    } catch (error) {
      if (error instanceof JoinUnansweredError) onKnown();
      tried.push(error instanceof Error ? error.message : String(error));
      continue;
    }
    try {
      const joined = admission(response, { ...options, key });
      onStep("admitted");
      return { ...joined, root: undefined };
    } catch (error) {
      // Only the issuer's own no is final: another member may be too busy, may not reach it, or may lie.
      if (member.node === invite.invite.issuer) throw error;
      refusal ??= error;
    }
  }
  if (refusal !== undefined) throw refusal;
  const what = tried.length === 0 ? "The invite names no member that can be reached." : tried.join(" ");
  const hint = "Check that the node that made the invite is up and that this host can reach it by TCP, then run the same command again.";
  throw new MeshError("invite/unreachable", what, { tried }, { hint });
}

/** Refusals that leave open what the issuer has written down: it may have been asked, and its answer lost or changed on the way. */
const OPEN_REFUSALS: readonly string[] = ["issuer-unreachable", "untrue"];

function admission(
  response: Uint8Array,
  { crypto, invite, key, onKnown }: JoinOptions & { readonly key: ReturnType<Crypto["signingKey"]> },
): ReturnType<typeof finishJoin> {
  try {
    const joined = finishJoin(crypto, { invite, key, response });
    onKnown();
    return joined;
  } catch (error) {
    const isPlainNo = error instanceof MeshError && "reason" in error.details && !OPEN_REFUSALS.includes(String(error.details.reason));
    if (!isPlainNo) onKnown();
    throw error;
  }
}

function nodeName({ order, hostName }: BecomeMemberOptions): string {
  return order.nodeName ?? nameFrom(hostName, "node");
}
