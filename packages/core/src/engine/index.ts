export { type EngineException, type EngineOutput, PacketEngine, type PacketEngineOptions } from "./packet-engine.ts";
export { checkRelayTable } from "./relay-desk.ts";
export { checkTtl, checkWay, checkWays, type Hop } from "./ways.ts";
