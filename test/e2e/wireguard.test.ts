import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { until } from "./lab/agent.ts";
import type { Capture, Lab, LabHost } from "./lab/lab.ts";
import { capturedDatagrams } from "./wireguard/captured-datagrams.ts";
import { type End, INNER, makeKeys, outerEndpoint, type Pair, PORTS, pairRefusal, withPair } from "./wireguard/pair.ts";
import { allInOrder, type PingOptions, ping, pingInVain } from "./wireguard/ping.ts";

/** Interoperability of session table and engine with a stock WireGuard peer: Debian's wireguard-go, configured by `wg`. */
const skip: string | false = pairRefusal();

/** Message sizes of the WireGuard whitepaper, section 5.4. */
const INITIATION = 148;
const RESPONSE = 92;
const KEEPALIVE = 32;

/** Seconds: SILENCE_TIMEOUT of 15 s, the stamps' 0.5 s, a handshake; the rest is for a busy machine. */
const RECOVERY = 30;

// Labs of their own, and most of the time is waiting for WireGuard's timers.
describe("with a stock WireGuard peer", { skip, concurrency: 4 }, () => {
  test("our side initiates: messages of WireGuard's sizes, pings of every size, 100 in a row", async (t) => {
    await withPair(t, { knowing: ["ours"] }, async (pair) => {
      const capture = await startCapture(pair.lab);
      assert.deepEqual(await ping(pair.ours.host, INNER.stock.v4), [1], "the packet that asked for the handshake arrives too");
      assert.deepEqual(await pair.ours.roles(), ["initiator"]);
      await assertPings(pair, "ours");
      await assertPings(pair, "stock");
      assert.deepEqual(await ping(pair.ours.host, INNER.stock.v4, { count: 100 }), allInOrder(100));
      await assertShown(pair);
      await assertUncounted(pair);

      const address = { ours: pair.lab.host("ours").address4, stock: pair.lab.host("stock").address4 };
      const sent = await capturedDatagrams(capture);
      const first = sent.slice(0, 3).map(({ from, length }) => [from, length]);
      // The keepalive confirms the session to the responder; the ping that waited follows or precedes it.
      assert.deepEqual(first.slice(0, 2), [
        [address.ours, INITIATION],
        [address.stock, RESPONSE],
      ]);
      assert.equal(first[2]?.[0], address.ours);
      assert.ok(sent.some(({ from, length }) => from === address.ours && length === KEEPALIVE));
    });
  });

  test("the stock side initiates", async (t) => {
    await withPair(t, { knowing: ["stock"] }, async (pair) => {
      assert.deepEqual(await ping(pair.stock.host, INNER.ours.v4), [1]);
      assert.deepEqual(await pair.ours.roles(), ["responder"]);
      await pair.ours.until("the session is confirmed", () => pair.ours.count("confirmed") === 1);
      const { address4 } = pair.stock.host;
      assert.ok(pair.ours.events.some((event) => event.type === "heard" && event.from === `${address4}:${PORTS.stock}`));
      await assertPings(pair, "ours");
      await assertPings(pair, "stock");
      await assertShown(pair);
      await assertUncounted(pair);
    });
  });

  for (const initiator of ["ours", "stock"] as const) {
    test(`over IPv6 outside, initiated by ${initiator}`, async (t) => {
      await withPair(t, { outer: 6, knowing: [initiator] }, async (pair) => {
        assert.deepEqual(await ping(pair[initiator].host, inner(initiator).v6), [1]);
        await assertPings(pair, "ours");
        await assertShown(pair, 6);
        await assertUncounted(pair);
      });
    });
  }

  test("both initiate at once and end with one session each that works both ways", async (t) => {
    // Neither knows the other, both know the relay: it stands between them, on the router.
    const relayed = { ours: PORTS.ours + 10, stock: PORTS.stock + 10 };
    const endpoints = {
      ours: { endpoint: `198.18.1.1:${relayed.stock}` },
      stock: { endpoint: `198.18.2.1:${relayed.ours}` },
    };
    await withPair(t, endpoints, async (pair) => {
      const relay = await startRelay(pair.lab, relayed);
      const pings = await Promise.all([
        ping(pair.ours.host, INNER.stock.v4, { count: 20, interval: 0.1 }),
        ping(pair.stock.host, INNER.ours.v4, { count: 20, interval: 0.1 }),
      ]);
      assert.equal(relay.hasCrossed(), true, "both initiations were on the way at once");
      assert.deepEqual([...(await pair.ours.roles())].sort(), ["initiator", "responder"]);
      assert.deepEqual(pings, [allInOrder(20), allInOrder(20)]);
      assert.deepEqual(await pair.ours.drops(), []);
      const { counters } = await pair.ours.report();
      assert.equal(counters.udpUnknownSession, 0);
    });
  });

  for (const initiator of ["ours", "stock"] as const) {
    test(`a preshared key that both have, initiated by ${initiator}`, async (t) => {
      const { privateKey: presharedKey } = makeKeys();
      await withPair(t, { knowing: [initiator], ours: { presharedKey }, stock: { presharedKey } }, async (pair) => {
        assert.deepEqual(await ping(pair[initiator].host, inner(initiator).v4), [1]);
        await assertPings(pair, "ours");
        await assertShown(pair);
      });
    });
  }

  test("a preshared key that differs makes no session", async (t) => {
    const stock = { presharedKey: makeKeys().privateKey };
    await withPair(t, { ours: { presharedKey: makeKeys().privateKey }, stock }, async (pair) => {
      assert.deepEqual(await pingInVain(pair.ours.host, INNER.stock.v4), []);
      await pair.ours.until("the response is refused", () => pair.ours.count("dropped") > 0);
      assert.deepEqual(new Set(await pair.ours.drops()), new Set(["not-authentic"]));
      assert.equal((await pair.ours.roles()).includes("initiator"), false);
      assert.equal((await pair.stock.show()).handshakeAt, 0);
    });
  });

  const wrongKeys = [
    { name: "whose key no peer of ours has", side: "ours", hasReached: async ({ ours }: Pair) => (await ours.drops()).length >= 2 },
    {
      name: "that takes us for somebody else",
      side: "stock",
      hasReached: async ({ ours }: Pair) => (await ours.report()).counters.handshakeNotForUs >= 2,
    },
  ] as const;
  for (const { name, side, hasReached } of wrongKeys) {
    test(`an initiation of a peer ${name} is counted and not answered at all`, async (t) => {
      await withPair(t, { knowing: ["stock"], [side]: { publicKey: makeKeys().publicKey } }, async (pair) => {
        const capture = await startCapture(pair.lab);
        assert.deepEqual(await pingInVain(pair.stock.host, INNER.ours.v4), []);
        // wireguard-go asks again after 5 s.
        await until("two initiations are dropped", async () => (await hasReached(pair)) || "not two");
        assert.deepEqual(new Set(await pair.ours.drops()), new Set(side === "ours" ? ["unknown-peer"] : []));
        const seen = await capturedDatagrams(capture);
        assert.ok(seen.length >= 2);
        assert.deepEqual(
          seen.filter(({ from, length }) => from !== pair.stock.host.address4 || length !== INITIATION),
          [],
          "nothing but initiations, and nothing from us",
        );
        assert.deepEqual(await pair.ours.roles(), []);
        assert.equal((await pair.stock.show()).receivedBytes, 0);
      });
    });
  }

  test("persistent keepalives of the stock side are accepted and reach nobody", async (t) => {
    await withPair(t, { knowing: ["stock"], stock: { keepalive: 1 } }, async (pair) => {
      const { ours } = pair;
      await ours.until("the keepalive brings a session", () => ours.count("confirmed") === 1);
      const stampOf = async (): Promise<number> => (await ours.report()).traffic.authenticatedReceivedAt;
      for (let n = 1, last = await stampOf(); n <= 3; n++) {
        await until(`keepalive ${n}`, async () => {
          const stamp = await stampOf();
          if (stamp <= last) return "none came";
          last = stamp;
          return true;
        });
      }
      const { traffic } = await ours.report();
      assert.deepEqual([traffic.receivedPackets, traffic.receivedBytes, traffic.dataReceivedAt], [0, 0, 0]);
      assert.equal(traffic.sentPackets, 0, "keepalives are not answered");
      assert.deepEqual(await ours.roles(), ["responder"]);
      await assertUncounted(pair);
    });
  });

  test("packets from outside the allowed IPs are dropped and counted, in both directions", async (t) => {
    await withPair(t, {}, async ({ ours, stock }) => {
      assert.deepEqual(await ping(ours.host, INNER.stock.v4), [1]);
      const foreign: readonly (readonly [string, keyof (typeof INNER)["ours"]])[] = [
        ["10.9.0.77", "v4"],
        ["fd09::77", "v6"],
      ];
      for (const [from, family] of foreign) {
        for (const { host, device } of [{ host: ours.host, device: ours.tunName }, stock]) {
          const length = family === "v4" ? 32 : 128;
          assert.equal((await host.run("ip", ["address", "add", `${from}/${length}`, "dev", device])).code, 0);
        }
        const before = await ours.report();
        const options: PingOptions = { from, count: 3 };
        assert.deepEqual(await pingInVain(stock.host, INNER.ours[family], options), []);
        const after = await ours.report();
        assert.equal(after.counters.udpSourceNotAllowed - before.counters.udpSourceNotAllowed, 3);
        assert.equal(after.traffic.receivedPackets, before.traffic.receivedPackets);

        assert.deepEqual(await pingInVain(ours.host, INNER.stock[family], options), []);
        const refused = stock.log.match(new RegExp(`IP${family} packet with disallowed source address`, "g"));
        assert.equal(refused?.length, 3, "wireguard-go says so of each");
      }
      const nowhere = await ours.report();
      assert.deepEqual(await pingInVain(ours.host, "10.9.0.99", { count: 3 }), []);
      assert.equal((await ours.report()).counters.tunNoRoute - nowhere.counters.tunNoRoute, 3, "to an address that is no peer's");
      assert.deepEqual(await ping(ours.host, INNER.stock.v4, { count: 20 }), allInOrder(20), "the session is none the worse");
    });
  });

  for (const restarted of ["ours", "stock"] as const) {
    for (const sender of ["ours", "stock"] as const) {
      const how = sender === restarted ? "at once, by its own packet" : "once the other's silence is noticed";
      test(`${restarted} restarts with the same key and ${sender} sends: traffic goes on ${how}`, async (t) => {
        await withPair(t, {}, async (pair) => {
          assert.deepEqual(await ping(pair.ours.host, INNER.stock.v4), [1]);
          await restart(pair, restarted);
          const { host } = pair[sender];
          if (sender === restarted) assert.deepEqual(await ping(host, inner(sender).v4), [1]);
          else assert.ok((await untilPinged(host, inner(sender).v4)) > 1, "the packets before were for a session that is gone");
          await assertPings(pair, "ours");
          await assertPings(pair, "stock");
          assert.deepEqual(await ping(pair.ours.host, INNER.stock.v4, { count: 20 }), allInOrder(20));
          assert.deepEqual(await pair.ours.drops(), []);
          await assertShown(pair);
        });
      });
    }
  }
});

/** The inner addresses of the one that is not `end`. */
function inner(end: End): (typeof INNER)[End] {
  return INNER[end === "ours" ? "stock" : "ours"];
}

/** IPv4 and IPv6; 4,000 B travel as three fragments, made by the sender's kernel in front of the tunnel. */
async function assertPings(pair: Pair, from: End): Promise<void> {
  for (const target of Object.values(inner(from))) {
    for (const size of [56, 1_392, 1_400, 4_000]) {
      assert.deepEqual(await ping(pair[from].host, target, { size, count: 3 }), [1, 2, 3], `${size} B from ${from} to ${target}`);
    }
  }
}

/** `wg show` knows the handshake, the endpoint and that packets went both ways. */
async function assertShown({ lab, ours, stock }: Pair, family: 4 | 6 = 4): Promise<void> {
  const shown = await stock.show();
  assert.ok(Math.abs(shown.handshakeAt - Date.now() / 1_000) < 60, `handshake at ${shown.handshakeAt}`);
  assert.equal(shown.endpoint, outerEndpoint(lab, "ours", family));
  const { traffic } = await ours.report();
  assert.ok(shown.receivedBytes > traffic.sentBytes && traffic.sentBytes > 0, "its count has headers and handshakes, ours has not");
  assert.ok(shown.sentBytes > traffic.receivedBytes && traffic.receivedBytes > 0);
}

/** Nothing was dropped for any reason. */
async function assertUncounted({ ours }: Pair): Promise<void> {
  const { counters } = await ours.report();
  assert.deepEqual(Object.fromEntries(Object.entries(counters).filter(([, count]) => count > 0)), {});
  assert.deepEqual(await ours.drops(), []);
}

async function restart({ ours, stock }: Pair, which: End): Promise<void> {
  if (which === "ours") await ours.kill();
  else await stock.stop();
  await (which === "ours" ? ours : stock).start();
}

/** One ping a second until one is answered; its number. */
async function untilPinged(host: LabHost, target: string): Promise<number> {
  for (let n = 1; n <= RECOVERY; n++) if ((await pingInVain(host, target)).length > 0) return n;
  return assert.fail(`no answer from ${target} within ${RECOVERY} s`);
}

async function startCapture(lab: Lab): Promise<Capture> {
  return (await lab.capture("ours")) ?? assert.fail("no tcpdump");
}

async function startRelay(lab: Lab, ports: Readonly<Record<End, number>>): Promise<{ readonly hasCrossed: () => boolean }> {
  const program = join(import.meta.dirname, "wireguard/crossing-relay.ts");
  const ends = [String(ports.stock), outerEndpoint(lab, "ours"), String(ports.ours), outerEndpoint(lab, "stock")];
  const relay = lab.host("core").spawn(process.execPath, [program, ...ends]);
  let output = "";
  await new Promise<void>((resolve, reject) => {
    relay.once("exit", (code) => reject(new Error(`the relay ended with ${code}`)));
    relay.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("listening")) resolve();
    });
  });
  return { hasCrossed: () => output.includes("crossed") };
}
