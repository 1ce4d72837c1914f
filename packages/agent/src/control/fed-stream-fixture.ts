import type { Stream } from "@libp2p/interface";
import { AbstractStream } from "@libp2p/utils";
import { pino } from "pino";
import { libp2pLog } from "./libp2p-log.ts";

const log = libp2pLog(pino({ level: "silent" })).forComponent("fed");

/** A stream whose other side says these pieces and ends; what is said to it is lost. Cheap enough for thousands. */
export function fedStream(pieces: readonly Uint8Array[]): Stream {
  const stream = new FedStream({ id: "fed", direction: "inbound", log });
  for (const piece of pieces) if (piece.length > 0) stream.onData(piece);
  stream.onRemoteCloseWrite();
  return stream;
}

class FedStream extends AbstractStream {
  sendData(data: { readonly byteLength: number }): { readonly sentBytes: number; readonly canSendMore: boolean } {
    return { sentBytes: data.byteLength, canSendMore: true };
  }
  sendReset(): void {}
  async sendCloseWrite(): Promise<void> {}
  async sendCloseRead(): Promise<void> {}
  sendPause(): void {}
  sendResume(): void {}
}
