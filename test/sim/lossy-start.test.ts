import assert from "node:assert/strict";
import type { Ip } from "../../packages/core/src/address/ip.ts";
import { runSeeds } from "./run-seeds.ts";

const LINK = { latency: 20, jitter: 2, loss: 0, duplication: 0 };
/** The first byte of WireGuard's message 1. */
const INITIATION = 1;
const LOSSY_FOR = 200;
/** A PING that is lost by the relay is repeated at the end of its round; WireGuard would repeat its initiation after 5 s. */
const WITHIN = 2_500;

runSeeds("a PONG by the other relay that overtakes the answer to an initiation does not begin a second handshake", 20, ({ open }) => {
  const mesh = open({ ...LINK, jitter: 10 });
  const founder = mesh.found("founder");
  mesh.join("second", founder);
  const siteOf = (name: string, ip: string) => mesh.network.addSite(name, { kind: "eimr-apdf", publicIps: [ip as Ip] });
  const a = mesh.join("a", founder, { site: siteOf("home", "198.51.100.1") });
  const b = mesh.join("b", founder, { site: siteOf("office", "198.51.100.2") });
  mesh.clock.advance(60_000);
  const before = a.effects.length;
  a.send(b);
  mesh.clock.advance(1_000);
  assert.equal(b.received.length, 1);
  const initiations = a.effects.slice(before).filter((effect) => effect.type === "send-datagram" && effect.bytes[0] === INITIATION);
  assert.equal(initiations.length, 1);
});

runSeeds("when 30 % of what is sent in the first 200 ms is lost, a session is there as soon as a path is", 20, ({ open }) => {
  const mesh = open(LINK);
  const founder = mesh.found("founder");
  const siteOf = (name: string, ip: string) => mesh.network.addSite(name, { kind: "eimr-apdf", publicIps: [ip as Ip] });
  const a = mesh.join("a", founder, { site: siteOf("home", "198.51.100.1") });
  const b = mesh.join("b", founder, { site: siteOf("office", "198.51.100.2") });
  mesh.clock.advance(60_000);
  mesh.network.quality = { ...LINK, loss: 0.3 };
  mesh.clock.at(mesh.clock.now() + LOSSY_FOR, () => {
    mesh.network.quality = LINK;
  });
  for (let waited = 0; waited < WITHIN && b.received.length === 0; waited += 50) {
    a.send(b);
    mesh.clock.advance(50);
  }
  assert.ok(b.received.length > 0, `nothing arrived within ${WITHIN} ms`);
});
