/** Laptops behind a firewall that lets nothing out but TCP to port 443: they join, gossip, and exchange packets with everybody. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { until } from "./lab/agent.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { PingWatch } from "./lab/ping-watch.ts";
import { changeNat, moveHost } from "./lab/site-changes.ts";
import { type Internet, type InternetSpec, planInternet } from "./lab/sites.ts";
import { withLab } from "./lab/with-lab.ts";
import { NatMesh } from "./nat/nat-mesh.ts";
import { listeners, sendThroughMesh, throwConnections } from "./tcp-way/tcp-way-fixture.ts";

const skip: string | false =
  labRefusal() ?? (findCommand("nft") === undefined ? "nft is missing: apt-get install nftables" : (compilerRefusal() ?? false));

const SPEC: InternetSpec = {
  public: ["pub", "stranger"],
  sites: [
    { name: "s-a", nat: "masq", hosts: ["a"], ipv6: "none" },
    { name: "s-x", nat: "udp-block", hosts: ["x"], ipv6: "none" },
    { name: "s-y", nat: "udp-block", hosts: ["y"], ipv6: "none" },
    { name: "cafe", nat: "masq", hosts: [], ipv6: "none" },
  ],
  delayMs: 5,
};
const OFFER = ["--tcp-relay", "443"];
const MEMBERS: readonly string[] = ["pub", "a", "x", "y"];
/** Milliseconds without packets that are watched for at most. */
const WATCHED = 60_000;
const TRANSFER_BYTES = 8_000_000;
/** Starts of the agent behind the firewall, of which the time to the first answer is told. */
const COLD_STARTS = 5;

async function inMesh(t: TestContext, body: (lab: Lab, mesh: NatMesh, internet: Internet) => Promise<void>): Promise<void> {
  const planned = planInternet(SPEC);
  await withLab(t, planned.topology, async (lab) => {
    const mesh = await NatMesh.open(lab, MEMBERS, new Map([["pub", OFFER]]));
    await until("x reaches pub", async () => (await mesh.view("x", "pub")).path === "tcp" || (await mesh.view("x", "pub")).path);
    await body(lab, mesh, planned);
  });
}

test("UDP is blocked: a laptop joins by TLS, and its packets reach every member", { skip }, async (t) => {
  await inMesh(t, async (lab, mesh) => {
    for (const to of ["pub", "a", "y"]) {
      const answered = await mesh.ping("x", to, { count: 50, interval: 0.05 });
      const [first] = answered;
      assert.ok(first !== undefined && first <= 20, `${to}: the first of 50 pings that was answered is ${first}`);
      const count = answered.length;
      assert.ok(count >= 0.98 * (50 - first + 1), `${to}: ${count} answers after the first`);
      t.diagnostic(`x to ${to}: first answer to ping ${first}, then ${count - 1} of ${50 - first}`);
    }
    assert.equal((await mesh.view("x", "pub")).path, "tcp");
    assert.equal((await mesh.view("pub", "x")).path, "tcp");
    for (const to of ["a", "y"]) assert.match((await mesh.view("x", to)).path, /^relayed via pub by tcp/);
    assert.match((await mesh.view("a", "x")).path, /^relayed by pub/);
    const { self, control } = await mesh.agent("x").status();
    assert.deepEqual([self.seenAs, control.links], [[], 1], "what a bridge shows is nobody's address");
    const { seenAs } = (await mesh.agent("pub").status()).self;
    assert.deepEqual(
      seenAs.filter((seen) => seen.startsWith("127.")),
      [],
    );

    const { ms, sent, received } = await sendThroughMesh(mesh, { from: "x", to: "a", bytes: TRANSFER_BYTES, directory: lab.directory });
    assert.deepEqual(received, sent);
    t.diagnostic(`x to a: ${((TRANSFER_BYTES * 8) / 1_000 / ms).toFixed()} Mbit/s`);

    const firstAnswers: number[] = [];
    for (let i = 0; i < COLD_STARTS; i++) {
      await mesh.agent("x").down();
      const { address4 } = await mesh.view("a", "pub");
      const beganAt = Date.now();
      await mesh.agent("x").up();
      const servingAt = Date.now();
      const ping = new PingWatch(mesh.agent("x").host, address4);
      const outage = await ping.outage(servingAt, WATCHED);
      ping.stop();
      assert.ok(outage !== undefined, "no answer");
      t.diagnostic(`cold: up after ${servingAt - beganAt} ms, first answer ${outage.toFixed()} ms later`);
      firstAnswers.push(outage);
    }
    t.diagnostic(`cold, first answers after up: ${firstAnswers.sort((a, b) => a - b).map((ms) => ms.toFixed())} ms`);

    for (const name of MEMBERS) await mesh.agent(name).down();
    for (const name of MEMBERS) assert.deepEqual(await listeners(mesh.agent(name).host), [], `${name} is down`);
  });
});

test("the member that lets in starts again, is killed, is flooded by a stranger: packets are back within 10 s", { skip }, async (t) => {
  await inMesh(t, async (lab, mesh) => {
    const [pub, x] = [mesh.agent("pub"), mesh.agent("x")];
    const { address4 } = await mesh.view("x", "a");
    const ping = new PingWatch(x.host, address4);
    await until("pings are answered", async () => ping.repliesTo(0).length > 10 || "not yet");
    for (const [what, stop] of [
      ["stopped", async () => await pub.down()],
      ["killed", async () => await pub.kill9()],
      [
        "stopped, and the laptop started anew",
        async () => {
          await pub.down();
          await x.down();
          await x.up();
        },
      ],
    ] as const) {
      await stop();
      await pub.up();
      const upAt = Date.now();
      const outage = await ping.outage(upAt, WATCHED);
      t.diagnostic(`pub was ${what}: packets back ${outage?.toFixed()} ms after it was up`);
      assert.ok(outage !== undefined && outage < 10_000, `${what}: ${outage}`);
      await until("links are back", async () => (await x.status()).control.links > 0 || "none", 20_000);
    }

    const floodedAt = Date.now();
    const flood = await throwConnections(lab.host("stranger"), { address: pub.host.address4, port: 443, seconds: 8 });
    const answers = ping.repliesTo(floodedAt).length;
    const expected = (Date.now() - floodedAt) / 50;
    const { counters } = await pub.status();
    t.diagnostic(`stranger: ${JSON.stringify(flood)}; answers ${answers} of ${expected.toFixed()}; ${JSON.stringify(counters)}`);
    assert.ok(answers > 0.5 * expected, "members are served beside the flood");
    assert.ok((counters["tcpWay.tooFast"] ?? 0) > 0, "and it is held back");
    assert.ok(flood.mostOpen <= 64, `${flood.mostOpen} connections of the stranger at once`);
    ping.stop();
  });
});

test("UDP passes where the host moved: straight at once; it is blocked there in silence, and at the next place from the start", {
  skip,
}, async (t) => {
  await inMesh(t, async (lab, mesh, internet) => {
    const isDirect = async (): Promise<true | string> => {
      const { path } = await mesh.view("x", "pub");
      return path.startsWith("direct") || path;
    };
    const since = Date.now();
    let now = await moveHost(lab, internet, { host: "x", to: "cafe" });
    await until("UDP is tried where the laptop is now", isDirect, 15_000);
    t.diagnostic(`moved: direct after ${Date.now() - since} ms`);

    const { address4 } = await mesh.view("x", "pub");
    const ping = new PingWatch(mesh.agent("x").host, address4);
    await until("pings are answered", async () => ping.repliesTo(0).length > 10 || "not yet");
    now = await changeNat(lab, now, "cafe", "udp-block");
    const blocked = await ping.outage(Date.now(), WATCHED);
    t.diagnostic(`silently blocked: packets back after ${blocked?.toFixed()} ms`);
    assert.ok(blocked !== undefined, "no packets by TCP");
    assert.equal((await mesh.view("x", "pub")).path, "tcp");

    await moveHost(lab, now, { host: "x", to: "s-x" });
    const outage = await ping.outage(Date.now(), WATCHED);
    t.diagnostic(`moved behind another firewall: packets back after ${outage?.toFixed()} ms`);
    assert.ok(outage !== undefined && outage < 10_000, `${outage}`);
    ping.stop();
  });
});
