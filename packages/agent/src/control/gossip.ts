/**
 * A record on its way by gossip: publish → every linked member that is subscribed → its validator asks core → core
 * accepts → event, and on to the gossip mesh. Every message is one record; its author signed it, so the router does not.
 *
 * The package is @libp2p/gossipsub under the name of its predecessor (ARCHITECTURE.md, dependencies). A version that does
 * not fit libp2p starts and never delivers, without a word: control-plane.test.ts publishes between two nodes.
 */
import { createHash } from "node:crypto";
import {
  type GossipSub,
  type GossipSubComponents,
  type GossipsubMessage,
  type GossipsubOpts,
  gossipsub,
  StrictNoSign,
  TopicValidatorResult,
} from "@chainsafe/libp2p-gossipsub";
import { createTopicScoreParams, type TopicScoreParams } from "@chainsafe/libp2p-gossipsub/score";
import type { PeerId } from "@libp2p/interface";
import { type ControlQueries, MAX_RECORD_BYTES, type Millis } from "@mesh/core/ports";
import { decodeHello, encodeHello, type GossipHello } from "./gossip-hello.ts";

/** Message ids are hashes of the record, so anyone may publish it again and it still travels once. */
const MESSAGE_ID_BYTES = 16;
/** One message of the router carries what a peer asked for of the last five seconds, not just one record. A longer one kills the stream. */
const MAX_RPC_BYTES = 1_048_576;
/** Waiting for a peer that does not read: then the stream is reset, and GossipKeeper opens it again. The router itself knows no limit (33 MB in 12 s). */
const MAX_QUEUED_BYTES = 1_048_576;

/**
 * Rejected records are all that counts for or against a peer: 9 in a few seconds, and it is not listened to
 * (-n² below -80); two of three are forgotten every ten seconds, so that it is forgiven within a minute. The router looks at this once in 128
 * messages, and a peer that links anew begins anew: what bounds the work a member makes is its pace (stream-guard.ts). The
 * defaults also blame peers that are quiet, which here they mostly are.
 */
const BLAME: TopicScoreParams = createTopicScoreParams({
  topicWeight: 1,
  timeInMeshWeight: 0,
  firstMessageDeliveriesWeight: 0,
  meshMessageDeliveriesWeight: 0,
  meshFailurePenaltyWeight: 0,
  invalidMessageDeliveriesWeight: -1,
  invalidMessageDeliveriesDecay: 0.35,
});

const BLAME_DECAY_INTERVAL: Millis = 10_000;

export type Gossip = GossipSub & {
  // By peer id as text. The router has them, though its type does not say so.
  readonly streamsInbound: ReadonlyMap<string, unknown>;
  readonly streamsOutbound: ReadonlyMap<string, unknown>;
  /** To one peer alone; false: there is no stream to it. */
  sendRpc(peer: string, rpc: GossipRpc): boolean;
};

interface GossipRpc {
  readonly subscriptions: readonly never[];
  readonly messages: readonly { readonly topic: string; readonly data: Uint8Array }[];
}

export function recordGossip(topic: string): (components: GossipSubComponents) => GossipSub {
  const options: Partial<GossipsubOpts> = {
    globalSignaturePolicy: StrictNoSign,
    msgIdFn: ({ data }) => createHash("sha256").update(data).digest().subarray(0, MESSAGE_ID_BYTES),
    allowedTopics: [topic],
    fallbackToFloodsub: false,
    doPX: false,
    tagMeshPeers: false,
    // To everyone linked at once: a mesh of up to 50 nodes is fully linked, and a larger one has 8 to 12 links a node.
    floodPublish: true,
    allowPublishToZeroTopicPeers: true,
    // With ids from content, saying a thing twice within two minutes is no error.
    ignoreDuplicatePublishError: true,
    // Between the defaults (6, 4, 12: 3,306 B a message and node, 20 nodes, measured) and the least that still
    // delivered everything (4, 3, 6: 2,249 B).
    D: 5,
    Dlo: 4,
    Dhi: 8,
    Dscore: 3,
    Dout: 2,
    maxInboundDataLength: MAX_RPC_BYTES,
    maxOutboundBufferSize: MAX_QUEUED_BYTES,
    scoreParams: {
      // By default 15 peers behind one address, an office, are enough to be ignored by everyone.
      IPColocationFactorWeight: 0,
      // By default one broken promise, a laptop that slept, drops a peer from the mesh.
      behaviourPenaltyThreshold: 6,
      // Each BLAME_DECAY_INTERVAL: halved each second.
      behaviourPenaltyDecay: 0.001,
      // By default every second, which wakes an idle agent for nothing.
      decayInterval: BLAME_DECAY_INTERVAL,
      topics: { [topic]: BLAME },
    },
  };
  return gossipsub(options);
}

interface GossipListener {
  readonly topic: string;
  readonly judge: ControlQueries["judgeRecord"];
  /** A record that core accepted; the message says who passed it on to us. */
  onRecord(record: Uint8Array, message: GossipsubMessage): void;
  onRejected(): void;
  /** From the neighbour itself: it is not passed on. */
  onHello(from: PeerId, hello: GossipHello): void;
}

/** Joins the topic: from here on records come in. */
export function joinTopic(gossip: GossipSub, { topic, judge, onRecord, onRejected, onHello }: GossipListener): void {
  gossip.topicValidators.set(topic, (from, { data }) => {
    const hello = decodeHello(data);
    if (hello !== undefined) {
      onHello(from, hello);
      return TopicValidatorResult.Ignore;
    }
    const verdict = data.length > MAX_RECORD_BYTES ? "reject" : judge(data);
    if (verdict === "reject") onRejected();
    return { accept: TopicValidatorResult.Accept, ignore: TopicValidatorResult.Ignore, reject: TopicValidatorResult.Reject }[verdict];
  });
  gossip.addEventListener("gossipsub:message", ({ detail }) => onRecord(detail.msg.data, detail));
  gossip.subscribe(topic);
}

/** To this neighbour alone, on the stream and in the form of every record. */
export function sendHello(gossip: Gossip, topic: string, { to, hello }: { readonly to: PeerId; readonly hello: GossipHello }): void {
  gossip.sendRpc(to.toString(), { subscriptions: [], messages: [{ topic, data: encodeHello(hello) }] });
}
