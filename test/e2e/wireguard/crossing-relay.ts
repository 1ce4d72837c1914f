/**
 * node crossing-relay.ts <port of ours> <ours as address:port> <port of stock> <stock as address:port>
 *
 * Passes datagrams between two WireGuard ends, each of which takes the relay for the other. It holds what comes until
 * both ends have sent something, so that their first messages, the initiations, cross. Prints `listening`, then `crossed`.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

interface End {
  readonly socket: Socket;
  readonly address: string;
  readonly port: number;
  readonly held: Uint8Array[];
}

async function main([portOfOurs = "", ours = "", portOfStock = "", stock = ""]: readonly string[]): Promise<void> {
  const ends = [await openEnd(portOfOurs, ours), await openEnd(portOfStock, stock)] as const;
  let hasCrossed = false;
  for (const [from, to] of [ends, [ends[1], ends[0]] as const]) {
    from.socket.on("message", (bytes) => {
      if (hasCrossed) return to.socket.send(bytes, to.port, to.address);
      from.held.push(bytes);
      if (to.held.length === 0) return;
      hasCrossed = true;
      console.log("crossed");
      for (const one of from.held) to.socket.send(one, to.port, to.address);
      for (const one of to.held) from.socket.send(one, from.port, from.address);
    });
  }
  console.log("listening");
}

async function openEnd(port: string, other: string): Promise<End> {
  const socket = createSocket("udp4").bind(Number(port));
  await once(socket, "listening");
  const [address = "", otherPort] = other.split(":");
  return { socket, address, port: Number(otherPort), held: [] };
}

if (import.meta.main) await main(process.argv.slice(2));
