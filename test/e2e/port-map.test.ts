/** Real agents behind a router that maps ports: miniupnpd, which speaks all three protocols. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { type MeshAgent, meshAgent, until } from "./lab/agent.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { type Lab, type LabHost, labRefusal } from "./lab/lab.ts";
import { mustRun } from "./lab/run-command.ts";
import { type InternetSpec, planInternet } from "./lab/sites.ts";
import { withLab } from "./lab/with-lab.ts";
import { MappingRouter, type RouterProtocol } from "./nat/mapping-router.ts";
import { NatMesh } from "./nat/nat-mesh.ts";

const ALL: readonly RouterProtocol[] = ["pcp", "nat-pmp", "upnp"];
const skip: string | false = refusalOf(["nft", "miniupnpd", "ss"]);

function refusalOf(commands: readonly string[]): string | false {
  const missing = commands.find((command) => findCommand(command) === undefined);
  return labRefusal() ?? (missing === undefined ? compilerRefusal() : `${missing} is missing`) ?? false;
}

test("two hosts behind symmetric NATs go direct when one router maps ports, and the mapping goes with the agent", { skip }, async (t) => {
  const spec: InternetSpec = {
    public: ["pub-1", "pub-2"],
    sites: [
      { name: "s-a", nat: "sym-rand", hosts: ["a"], ipv6: "none" },
      { name: "s-b", nat: "sym-rand", hosts: ["b"], ipv6: "none" },
    ],
  };
  const internet = planInternet(spec);
  await withLab(t, internet.topology, async (lab) => {
    const mesh = await NatMesh.open(lab, ["pub-1", "pub-2", "a", "b"]);
    await mesh.ping("b", "a", { count: 5 });
    assert.equal(await mesh.pathKind("a", "b"), "relayed", "without a mapping");
    const agent = mesh.agent("a");
    await agent.down();
    const router = await MappingRouter.start(lab, { internet, site: "s-a", protocols: ALL });
    await agent.up();
    const mapped = await untilMapped(agent);
    assert.equal(mapped.split(":")[0], router.address);
    await mesh.ping("b", "a", { count: 10 });
    await until("a and b are direct", async () => {
      const kind = await mesh.pathKind("a", "b");
      return kind === "direct" || kind;
    });
    // The router leads the port to the host at each of its addresses, and the one that peers see is guessed with that port.
    assert.equal((await mesh.view("b", "a")).endpoint?.split(":")[1], mapped.split(":")[1]);
    assert.equal((await router.mappings()).length, 1);
    await agent.down();
    assert.deepEqual(await router.mappings(), []);

    const askedBefore = await router.asked();
    await agent.up(["--no-port-map"]);
    assert.equal((await agent.status()).self.mapped, undefined);
    assert.equal(await router.asked(), askedBefore, "with --no-port-map nobody is asked");
  });
});

test("each protocol alone maps the tunnel's port, and takes the mapping back", { skip }, async (t) => {
  const internet = planInternet({ public: [], sites: [{ name: "home", nat: "masq", hosts: ["a"], ipv6: "none" }] });
  await withLab(t, internet.topology, async (lab) => {
    const agent = meshAgent(lab, "a", { name: "a", stateDir: join(lab.directory, "a") });
    await agent.init("home");
    await agent.down();
    for (const protocol of ALL) {
      const router = await MappingRouter.start(lab, { internet, site: "home", protocols: [protocol] });
      await agent.up();
      const mapped = await untilMapped(agent);
      const { udpPort } = (await agent.status()).tunnel;
      assert.equal(mapped, `${router.address}:${udpPort}`, protocol);
      assert.equal(await protocolUsed(lab), protocol);
      const [mapping, ...more] = await router.mappings();
      assert.ok(mapping?.includes(`${udpPort}`), mapping);
      assert.deepEqual(more, []);
      await agent.down();
      assert.deepEqual(await router.mappings(), [], `${protocol}: gone`);
      await router.stop();
    }
  });
});

test("a public host and one without a default route ask nobody; one with IPv4 alone asks by IPv4 alone", {
  skip: refusalOf(["nft"]),
}, async (t) => {
  const hosts = ["lost", "a"];
  const internet = planInternet({ public: ["pub"], sites: [{ name: "home", nat: "masq", hosts, ipv6: "none" }] });
  await withLab(t, internet.topology, async (lab) => {
    for (const family of ["-4", "-6"]) await lab.host("lost").run("ip", [family, "route", "del", "default"]);
    for (const name of ["pub", ...hosts]) {
      const host = lab.host(name);
      await mustRun("ip", ["netns", "exec", host.namespace, "nft", "-f", "-"], { input: COUNT_QUESTIONS });
      const agent = meshAgent(lab, name, { name, stateDir: join(lab.directory, name) });
      await agent.init(`net-${name}`);
    }
    // The one that has somebody to ask has asked, and failed: the others had as long.
    const a = lab.host("a");
    await until("a asks its router by every protocol", async () => {
      const { ip4 } = await questionsOf(a);
      return ip4 >= 6 || `${ip4} questions`;
    });
    assert.equal((await questionsOf(a)).ip6, 0);
    for (const name of ["pub", "lost"]) assert.deepEqual(await questionsOf(lab.host(name)), { ip4: 0, ip6: 0 }, name);
  });
});

/** What leaves a host for the ports at which routers are asked. */
const COUNT_QUESTIONS = `table inet questions {
  counter by_ipv4 { }
  counter by_ipv6 { }
  chain output {
    type filter hook output priority 0;
    meta nfproto ipv4 udp dport { 1900, 5350, 5351 } counter name by_ipv4
    meta nfproto ipv6 udp dport { 1900, 5350, 5351 } counter name by_ipv6
  }
}
`;

async function questionsOf(host: LabHost): Promise<{ readonly ip4: number; readonly ip6: number }> {
  const count = async (name: string): Promise<number> => {
    const { stdout } = await host.run("nft", ["list", "counter", "inet", "questions", name]);
    return Number(/packets (\d+)/.exec(stdout)?.[1] ?? Number.NaN);
  };
  return { ip4: await count("by_ipv4"), ip6: await count("by_ipv6") };
}

async function untilMapped(agent: MeshAgent): Promise<string> {
  let mapped: string | undefined;
  await until(`a router maps the port of ${agent.name}`, async () => {
    const { self, counters } = await agent.status();
    mapped = self.mapped?.[0];
    return mapped !== undefined || JSON.stringify(counters);
  });
  return mapped ?? "";
}

/** As the log says it last. */
async function protocolUsed(lab: Lab): Promise<string | undefined> {
  const lines = (await readFile(join(lab.directory, "a", "home", "agent.log"), "utf8")).split("\n");
  const line = lines.findLast((text) => text.includes("the router mapped our port")) ?? "{}";
  return (JSON.parse(line) as { readonly protocol?: string }).protocol;
}
