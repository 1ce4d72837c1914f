/**
 * node flood.ts <address:port> <public key in base64>
 *
 * Sends handshake initiations of nobody to a WireGuard peer: each with a valid mac1, so that the peer has to look at it,
 * from one of 100 addresses (SOURCES; the host must have them) and a port that is not listened on for answers. In bursts,
 * because wireguard-go counts what waits in its queue. Prints `flooding` after the first one; ends with its process.
 */
import { randomFillSync } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { computeMac1, mac1Key } from "../../../packages/core/src/session/macs.ts";
import { INITIATION_BYTES, INITIATION_TYPE, mac1Of } from "../../../packages/core/src/wire/handshake-message.ts";

/** A prefix of RFC 5737, so that nothing answers there. */
export const SOURCES = "203.0.113.0/24";
const SOURCE_COUNT = 100;
/** wireguard-go is under load with 128 messages in its queue, our engine after 200 and then 100 a second. */
const BURST = 400;
/** Milliseconds. Load lasts for a second after it was last seen, with both. */
const BURST_INTERVAL = 500;

async function main([target = "", publicKey = ""]: readonly string[]): Promise<void> {
  const [address = "", port] = target.split(":");
  const key = mac1Key(new Uint8Array(Buffer.from(publicKey, "base64")));
  const sockets = await Promise.all(Array.from({ length: SOURCE_COUNT }, (_, i) => openSocket(`203.0.113.${i + 1}`)));
  const bytes = new Uint8Array(INITIATION_BYTES);
  const burst = (): void => {
    for (let i = 0; i < BURST; i++) {
      randomFillSync(bytes);
      bytes.set([INITIATION_TYPE, 0, 0, 0]);
      mac1Of(bytes).set(computeMac1(bytes, key));
      sockets[i % sockets.length]?.send(bytes.slice(), Number(port), address);
    }
  };
  setInterval(burst, BURST_INTERVAL);
  burst();
  console.log("flooding");
}

async function openSocket(address: string): Promise<Socket> {
  const socket = createSocket("udp4").bind(0, address);
  await once(socket, "listening");
  // What comes back is for somebody else, as far as a forged source is concerned.
  return socket.on("error", () => {}).on("message", () => {});
}

if (import.meta.main) await main(process.argv.slice(2));
