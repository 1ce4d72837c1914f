export { decodeInnerPacket, encodeInnerPacket, type InnerPacket } from "./inner-packet.ts";
export { memoCrypto } from "./memo-crypto.ts";
export { SeededRandom } from "./seeded-random.ts";
export { SequenceDiagram } from "./sequence-diagram.ts";
export { SimClock } from "./sim-clock.ts";
export { SimDatapath } from "./sim-datapath.ts";
export { GOOD_LINK, SimMesh, SimNode } from "./sim-mesh.ts";
export { type LinkQuality, SimNetwork } from "./sim-network.ts";
