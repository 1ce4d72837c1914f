import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { pino } from "pino";
import { HandshakeDeadline } from "./handshake-deadline.ts";
import { type Libp2pNode, startLibp2p } from "./libp2p-node.ts";
import { memberEncrypter } from "./member-encrypter.ts";
import { credentialsOf, LOOPBACK, nodeOfSeed, realClock, seedOf, TOPIC } from "./member-fixture.ts";
import { pingLink } from "./ping-link.ts";
import { Refusals } from "./refusals.ts";

describe("ping of a link", () => {
  const open: Libp2pNode[] = [];
  after(() => Promise.all(open.map(async ({ libp2p }) => await libp2p.stop())));

  it("is answered, also beside others on the same connection, and not when it is closed", async () => {
    const start = async (name: string): Promise<Libp2pNode> => {
      const node = await nodeOfSeed(seedOf(name));
      const queries = { credentials: () => credentialsOf(node), refuseMember: () => undefined };
      const started = await startLibp2p({
        seed: seedOf(name),
        topic: TOPIC,
        clock: realClock,
        log: pino({ level: "silent" }),
        encrypters: [memberEncrypter({ clock: realClock, queries, onRefused: () => {}, onCredentials: () => {} })],
        deadline: new HandshakeDeadline(realClock, () => {}),
        refusals: new Refusals(realClock, () => {}),
        isRemoved: () => false,
      });
      open.push(started);
      return started;
    };
    const [a, b] = [await start("ping-a"), await start("ping-b")];
    const port = await b.listen({ ip: LOOPBACK, port: 0 });
    const { signal } = new AbortController();
    const connection = await a.dial(await nodeOfSeed(seedOf("ping-b")), { ip: LOOPBACK, port }, signal);
    await Promise.all(Array.from({ length: 8 }, () => pingLink(connection, signal)));
    await connection.close();
    await assert.rejects(pingLink(connection, signal));
  });
});
