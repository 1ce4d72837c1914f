import assert from "node:assert/strict";
import { NAT_KINDS, type SimNode } from "@mesh/core/testing";
import type { Ip } from "../../packages/core/src/address/ip.ts";
import { minutes, seconds } from "../../packages/core/src/time/millis.ts";
import { runSeeds } from "./run-seeds.ts";

const LATENCIES = [20, 30, 40];
/**
 * A handshake and a packet by a relay are six trips, and what a search does besides costs no time. Where the sender's own way to that
 * relay was closed, the relay asks first who is there, one round trip more, and gets the initiation again 20 ms after the answer, at most.
 */
const [TRIPS, TRIPS_ASKED, AND_ASKED] = [6, 8, 20];
/** Datagrams a minute each way when the NAT remembers for 30 s or longer; more often where it forgets sooner. */
const [IDLE_COST, IDLE_COST_15] = [3.5, 7];

for (const relays of [1, 2])
  for (const kind of ["eimr-apdf", "masq", "sym-rand"] as const)
    for (const lifetime of [15, 30, 120])
      runSeeds(
        `${relays} relays, ${kind} NATs that forget after ${lifetime} s: the first packet after an idle hour arrives`,
        kind === "sym-rand" && relays > 1 ? 9 : 3,
        ({ seed, open }) => {
          const latency = LATENCIES[seed % LATENCIES.length] ?? 20;
          const mesh = open({ latency, jitter: 2, loss: 0, duplication: 0 });
          const founder = mesh.found("founder");
          if (relays > 1) mesh.join("relay", founder);
          const nat = { ...NAT_KINDS[kind], lifetime: seconds(lifetime) };
          const siteOf = (name: string, ip: string) => mesh.network.addSite(name, { kind: nat, publicIps: [ip as Ip] });
          const a = mesh.join("a", founder, { site: siteOf("home", "198.51.100.1") });
          const b = mesh.join("b", founder, { site: siteOf("office", "198.51.100.2") });
          mesh.clock.advance(minutes(10));
          const sent = (node: SimNode): number => mesh.network.sentBy(node.name);
          const before = [sent(a), sent(b)];
          mesh.clock.advance(minutes(50) + seed * 1_370);
          for (const [i, node] of [a, b].entries()) {
            const cost = (sent(node) - (before[i] ?? 0)) / 50;
            assert.ok(cost <= (lifetime < 30 ? IDLE_COST_15 : IDLE_COST), `${cost} datagrams a minute`);
          }
          a.send(b);
          const isAsked = kind === "sym-rand" && relays > 1;
          mesh.clock.advance((isAsked ? TRIPS_ASKED : TRIPS) * (latency + 2) + AND_ASKED);
          assert.equal(b.received.length, 1);
        },
      );
