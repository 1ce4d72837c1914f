export type { Crypto, Random, SigningKey } from "../crypto/crypto.ts";
export { Counters } from "./counters.ts";
export { chosenPrefix, foundNetwork, freePrefix } from "./found-network.ts";
export { finishJoin, makeJoinRequest, type OpenedInvite, readInvite } from "./join-network.ts";
export { MeshNode, type MeshNodeOptions } from "./mesh-node.ts";
export type { CommandResult, NodeEffect } from "./node-effect.ts";
export type { CommandId, NodeCommand, NodeEvent, PeerStamps } from "./node-event.ts";
export { decodeRecords, decodeSnapshot, encodeRecords, encodeSnapshot, type NodeSnapshot } from "./snapshot.ts";
export type { NodeDevice, ViewSources } from "./views.ts";
