import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { until } from "./lab/agent.ts";
import type { LabHost } from "./lab/lab.ts";
import { capturedDatagrams } from "./wireguard/captured-datagrams.ts";
import { SOURCES } from "./wireguard/flood.ts";
import { type End, INNER, otherEnd, outerEndpoint, type Pair, PORTS, pairRefusal, withPair } from "./wireguard/pair.ts";
import { allInOrder, ping, pingInVain } from "./wireguard/ping.ts";

/** A stock WireGuard peer under load: cookies while one side is flooded; and one that moves. */
const skip: string | false = pairRefusal(["nft"]);

/** Message sizes of the WireGuard whitepaper, section 5.4. */
const INITIATION = 148;
const RESPONSE = 92;
const COOKIE_REPLY = 64;

/** Pings, one a second: two retries, 5.3 s each, and the rest for a busy machine. */
const PATIENCE = 30;

const HANDSHAKES = [INITIATION, RESPONSE, COOKIE_REPLY];

describe("with a stock WireGuard peer, under load", { skip, concurrency: 4 }, () => {
  test("our side is flooded: a stock initiator gets a cookie and, when it tries again, its session", async (t) => {
    await withPair(t, { knowing: ["stock"], others: ["flood"] }, async (pair) => {
      await flood(pair, "ours");
      await until("our side sends cookies", async () => (await pair.ours.report()).counters.handshakeCookieSent > 400 || "too few");
      const messages = await handshakesUntilPinged(pair, "stock");
      assert.deepEqual(messages.slice(0, 4), ["stock 148", "ours 64", "stock 148", "ours 92"]);
      assert.deepEqual(await ping(pair.ours.host, INNER.stock.v4, { count: 20 }), allInOrder(20));
      const [{ counters }, drops] = [await pair.ours.report(), await pair.ours.drops()];
      assert.ok(drops.length < counters.handshakeCookieSent / 2, `${drops.length} of the flood came to JavaScript`);
      assert.equal(counters.exceptionsLost, 0);
    });
  });

  test("the stock side is flooded: our initiation gets a cookie and, when it is repeated, its response", async (t) => {
    await withPair(t, { knowing: ["ours"], others: ["flood"] }, async (pair) => {
      await flood(pair, "stock");
      await untilCookiesLeave(pair.stock.host);
      const messages = await handshakesUntilPinged(pair, "ours");
      assert.deepEqual(messages.slice(0, 4), ["ours 148", "stock 64", "ours 148", "stock 92"]);
      assert.deepEqual(await ping(pair.ours.host, INNER.stock.v4, { count: 20 }), allInOrder(20));
      assert.deepEqual(await pair.ours.drops(), []);
    });
  });

  test("the stock side is flooded and initiates: our response gets a cookie, and the answer to its next initiation is taken", async (t) => {
    await withPair(t, { knowing: ["stock"], others: ["flood"] }, async (pair) => {
      await flood(pair, "stock");
      await untilCookiesLeave(pair.stock.host);
      const messages = await handshakesUntilPinged(pair, "stock");
      assert.deepEqual(messages.slice(0, 5), ["stock 148", "ours 92", "stock 64", "stock 148", "ours 92"]);
      assert.deepEqual(await ping(pair.stock.host, INNER.ours.v4, { count: 20 }), allInOrder(20));
      assert.deepEqual(await pair.ours.drops(), []);
    });
  });

  test("a stock peer that gets another port, and then another address, is followed by its next packet", async (t) => {
    await withPair(t, { ours: { isRoaming: true } }, async (pair) => {
      const { ours, stock, lab, publicKeys } = pair;
      assert.deepEqual(await ping(ours.host, INNER.stock.v4), [1]);
      const port = PORTS.stock + 1_000;
      const address = stock.host.address4.replace(/\.2$/, ".3");
      const moves = [
        { to: `${stock.host.address4}:${port}`, commands: [["wg", "set", stock.device, "listen-port", String(port)]] },
        {
          to: `${address}:${port}`,
          commands: [
            ["ip", "address", "del", `${stock.host.address4}/24`, "dev", "eth0"],
            ["ip", "address", "add", `${address}/24`, "dev", "eth0"],
            ["ip", "route", "replace", "default", "via", stock.host.address4.replace(/\.2$/, ".1")],
            // wireguard-go would keep the source address that is gone until it misses answers.
            ["wg", "set", stock.device, "peer", publicKeys.ours, "endpoint", outerEndpoint(lab, "ours")],
          ],
        },
      ];
      for (const { to, commands } of moves) {
        for (const [command = "", ...args] of commands) assert.equal((await stock.host.run(command, args)).code, 0, args.join(" "));
        const capture = (await lab.capture("ours")) ?? assert.fail("no tcpdump");
        assert.deepEqual(await ping(stock.host, INNER.ours.v4, { count: 20 }), allInOrder(20), `now at ${to}`);
        assert.deepEqual(await ping(ours.host, INNER.stock.v4, { count: 20 }), allInOrder(20), `now at ${to}`);
        const sent = (await capturedDatagrams(capture)).filter(({ from }) => from === ours.host.address4);
        assert.deepEqual([...new Set(sent.map((datagram) => `${datagram.to}:${datagram.toPort}`))], [to]);
      }
      assert.deepEqual(await ours.roles(), ["initiator"], "with the session that it had");
    });
  });
});

/** Until the lab is closed. */
async function flood({ lab, publicKeys }: Pair, target: End): Promise<void> {
  const host = lab.host("flood");
  assert.equal((await host.run("ip", ["route", "add", "local", SOURCES, "dev", "lo"])).code, 0);
  const child = host.spawn(process.execPath, [
    join(import.meta.dirname, "wireguard/flood.ts"),
    outerEndpoint(lab, target),
    publicKeys[target],
  ]);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`the flood ended with ${code}`)));
  });
}

/** Until then the stock side, which counts what waits for it, may not have noticed the flood. */
async function untilCookiesLeave(host: LabHost): Promise<void> {
  const rules = `table inet cookies { counter sent {}\n chain out { type filter hook output priority 0; udp length ${8 + COOKIE_REPLY} counter name sent; }\n}`;
  assert.equal((await host.run("nft", ["-f", "-"], { input: rules })).code, 0);
  await until("the stock side sends cookies", async () => {
    const { stdout } = await host.run("nft", ["list", "counter", "inet", "cookies", "sent"]);
    return Number(/packets (\d+)/.exec(stdout)?.[1]) > 400 || stdout;
  });
}

/** Who sent a handshake message of which size to the other end, until `from` got an answer through the tunnel. */
async function handshakesUntilPinged({ lab, ours, stock }: Pair, from: End): Promise<readonly string[]> {
  const capture = (await lab.capture("ours")) ?? assert.fail("no tcpdump");
  const hosts = { ours: ours.host, stock: stock.host };
  let tries = 0;
  while ((await pingInVain(hosts[from], INNER[otherEnd(from)].v4)).length === 0) assert.ok(++tries < PATIENCE, "no session");
  const names = new Map(Object.entries(hosts).map(([name, { address4 }]) => [address4, name]));
  const between = (await capturedDatagrams(capture)).filter((datagram) => names.has(datagram.from) && names.has(datagram.to));
  return between.filter(({ length }) => HANDSHAKES.includes(length)).map((datagram) => `${names.get(datagram.from)} ${datagram.length}`);
}
