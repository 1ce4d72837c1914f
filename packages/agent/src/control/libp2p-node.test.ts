import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { after, describe, it } from "node:test";
import { MeshError } from "@mesh/core/errors";
import type { Ip } from "@mesh/core/ports";
import { pino } from "pino";
import { HandshakeDeadline } from "./handshake-deadline.ts";
import { type Libp2pNode, startLibp2p } from "./libp2p-node.ts";
import { realClock, seedOf, TOPIC } from "./member-fixture.ts";
import { Refusals } from "./refusals.ts";

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ family }) => family === "IPv6"));

describe("libp2p node", () => {
  const open: Libp2pNode[] = [];
  const node = async (name: string): Promise<Libp2pNode> => {
    const deadline = new HandshakeDeadline(realClock, () => {});
    const started = await startLibp2p({
      seed: seedOf(name),
      topic: TOPIC,
      clock: realClock,
      log: pino({ level: "silent" }),
      encrypters: [],
      deadline,
      refusals: new Refusals(realClock, () => {}),
      isRemoved: () => false,
    });
    open.push(started);
    return started;
  };
  const isTaken = (error: unknown): boolean => error instanceof MeshError && error.code === "control/port-taken";
  after(() => Promise.all(open.map(async ({ libp2p }) => await libp2p.stop())));

  it("listens on one random port for both families", async () => {
    const port = await (await node("any")).listen({ ip: undefined, port: 0 });
    for (const host of hasIpv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"]) {
      const socket = connect(port, host);
      await once(socket, "connect");
      socket.destroy();
    }
  });

  it("says that a port is taken, also when it is in one family alone", async () => {
    const port = await (await node("first")).listen({ ip: undefined, port: 0 });
    await assert.rejects((await node("second")).listen({ ip: undefined, port }), isTaken);
    if (!hasIpv6) return;
    const other = createServer().listen({ host: "::", port: 0, ipv6Only: true }).unref();
    await once(other, "listening");
    await assert.rejects((await node("third")).listen({ ip: undefined, port: (other.address() as AddressInfo).port }), isTaken);
    other.close();
  });

  it("says that an address is not the host's", async () => {
    // TEST-NET-1 (RFC 5737).
    await assert.rejects((await node("foreign")).listen({ ip: "192.0.2.1" as Ip, port: 0 }), (error: unknown) => {
      assert.ok(error instanceof MeshError);
      assert.deepEqual([error.code, error.details], ["config/invalid", { key: "listen", reason: "EADDRNOTAVAIL" }]);
      return true;
    });
  });

  it("tells nobody its addresses, nor what it is made of", async () => {
    const { libp2p } = await node("quiet");
    await (open.at(-1) ?? assert.fail()).listen({ ip: undefined, port: 0 });
    assert.deepEqual(libp2p.getMultiaddrs(), []);
    const self = await libp2p.peerStore.get(libp2p.peerId);
    assert.equal(Buffer.from(self.metadata.get("AgentVersion") ?? []).toString(), "mesh");
  });
});
