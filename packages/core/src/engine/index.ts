export { type EngineException, type EngineOutput, PacketEngine, type PacketEngineOptions } from "./packet-engine.ts";
