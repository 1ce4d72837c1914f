/** What real agents behind real NATs say of their paths and of the network around them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { NetcheckView, PingView, WhyView } from "@mesh/core/api";
import { findCommand } from "../prepare-host.ts";
import { explains } from "./bad-input/refusal.ts";
import { type MeshAgent, meshAgent, until } from "./lab/agent.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { labRefusal } from "./lab/lab.ts";
import { type InternetSpec, planInternet } from "./lab/sites.ts";
import { withLab } from "./lab/with-lab.ts";
import { NatMesh } from "./nat/nat-mesh.ts";

const skip: string | false =
  labRefusal() ?? (findCommand("nft") === undefined ? "nft is missing: apt-get install nftables" : (compilerRefusal() ?? false));

const SPEC: InternetSpec = {
  public: ["pub-1", "pub-2"],
  sites: [
    { name: "s-strict", nat: "eimr-apdf", hosts: ["strict"], ipv6: "none" },
    { name: "s-random", nat: "sym-rand", hosts: ["random"], ipv6: "none" },
  ],
};

/** Most records are there within a second; one that gossip lost comes with the next round of comparing, which a neighbour has once a minute. */
const RECORD_WITHIN = 75_000;

test("why, netcheck and ping say what two NATs make of a path", { skip }, async (t) => {
  await withLab(t, planInternet(SPEC).topology, async (lab) => {
    const mesh = await NatMesh.open(lab, ["pub-1", "strict", "random"]);
    const [pub, strict, random] = [mesh.agent("pub-1"), mesh.agent("strict"), mesh.agent("random")];
    await mesh.ping("random", "strict", { count: 10 });

    await t.test("why shows the relay in use and the addresses that do not answer", async () => {
      await until(
        "nothing answers but the relay",
        async () => {
          const { path, candidates, there } = (await asked<WhyView>(random, ["why", "strict"])).view;
          const silent = candidates.filter(({ endpoint, fate }) => endpoint !== undefined && fate === "unanswered");
          if (there?.homes.length === 1 && path.kind === "relay" && silent.length > 0) return true;
          const known = (await asked<NetcheckView>(strict, ["netcheck"])).view.homes.map(({ name }) => name).join();
          return `${path.text}, ${silent.length} silent, its record says ${JSON.stringify(there)}, itself that its homes are: ${known || "none"}`;
        },
        RECORD_WITHIN,
      );
      const { address4, subnet4 } = await mesh.view("random", "strict");
      for (const target of ["strict", address4, subnet4]) {
        const { code, view } = await asked<WhyView>(random, ["why", target]);
        assert.equal(code, 0);
        assert.deepEqual([view.owner.name, view.owner.certificate.issuer, view.path.kind], ["strict", "pub-1", "relay"]);
        const [first] = view.candidates;
        assert.deepEqual([first?.relay, first?.fate], ["pub-1", "in-use"]);
        assert.deepEqual([view.here.homes, view.there?.homes, view.there?.reachable], [["pub-1"], ["pub-1"], false]);
      }
      const { stdout } = await random.mesh(["why", "strict"]);
      assert.match(stdout, /^path +relayed by pub-1 {3}\d/m);
      assert.match(stdout, /^by pub-1 +home of strict +in use +answered \d+ s ago in /m);
      assert.match(stdout, /^192\.168\.1\.\d+:\d+ +its record +no answer +asked \d+ s ago$/m);
    });

    await t.test("why of a node that is reached directly", async () => {
      const { code, view } = await asked<WhyView>(strict, ["why", "pub-1"]);
      assert.deepEqual([code, view.path.kind, view.candidates[0]?.fate], [0, "direct", "in-use"]);
      assert.deepEqual([view.there?.reachable, view.there?.relays], [true, true]);
      assert.equal(view.owner.certificate.issuer, undefined, "root's own");
    });

    await t.test("ping says by which path each probe went, and waits for a direct one", async () => {
      const relayed = await asked<Pings>(random, ["ping", "strict", "--until-direct", "--count", "2", "--interval", "100ms"]);
      assert.equal(relayed.code, 3);
      assert.deepEqual(
        relayed.view.pings.map(({ path, relay }) => [path, relay]),
        new Array(2).fill(["relayed by pub-1", "pub-1"]),
      );
      const direct = await asked<Pings>(strict, ["ping", "pub-1", "--until-direct"]);
      assert.deepEqual([direct.code, direct.view.pings.length, direct.view.direct?.probe], [0, 1, 1]);
      assert.match(direct.view.pings[0]?.path ?? "", /^direct 198\.18\.1\.2:\d+$/);
    });

    await t.test("netcheck: one observer cannot tell NATs apart, a second one can", async () => {
      const alone = await asked<NetcheckView>(random, ["netcheck"]);
      assert.deepEqual([alone.code, alone.view.udp.state, alone.view.mapping], [0, "works", "unknown"]);
      assert.deepEqual(
        alone.view.relays.map(({ name, answers }) => [name, answers]),
        [["pub-1", true]],
      );
      const second = meshAgent(lab, "pub-2", { name: "pub-2", stateDir: join(lab.directory, "pub-2") });
      await second.join(await pub.invite());
      for (const [agent, mapping] of [
        [strict, "endpoint-independent"],
        [random, "endpoint-dependent"],
      ] as const)
        await until(`${agent.name} knows its NAT`, async () => {
          const { view } = await asked<NetcheckView>(agent, ["netcheck"]);
          return view.mapping === mapping || `${view.mapping}: ${JSON.stringify(view.seen)}`;
        });
      const { view } = await asked<NetcheckView>(strict, ["netcheck"]);
      assert.deepEqual(view.seen[0]?.by, ["pub-1", "pub-2"]);
      assert.deepEqual([view.reachable, view.ipv6, view.homes[0]?.answers], [false, { addresses: [], works: false }, true]);
      const open = await asked<NetcheckView>(pub, ["netcheck"]);
      assert.deepEqual([open.view.mapping, open.view.reachable], ["none", true]);
      assert.match((await random.mesh(["netcheck"])).stdout, /^nat {7}another port for each destination/m);
      assert.match((await strict.mesh(["netcheck"])).stdout, /^nat {7}one port for all/m);
    });

    await t.test("what is nobody's, of several, or this node's own", async () => {
      const { self } = await random.status();
      for (const [target, says, hints] of [
        ["nobody", /No node of this network is called nobody/, /mesh peers/],
        ["192.0.2.1", /No node of this network has 192\.0\.2\.1/, /mesh peers/],
        ["random", /random is this node itself/, /mesh peers/],
        [self.address4 ?? "", /is this node itself/, /mesh peers/],
        ["10.64.0.0/10", /could be any of pub-1, /, /one of them/],
      ] as const) {
        const { code, stderr } = await random.mesh(["why", target]);
        assert.equal(code, 1);
        explains(stderr, { says, hints });
      }
    });
  });
});

type Pings = { readonly pings: readonly PingView[]; readonly direct?: { readonly probe: number } };

/** A command's view and its exit code. */
async function asked<View>(agent: MeshAgent, args: readonly string[]): Promise<{ readonly code: number | null; readonly view: View }> {
  const { code, stdout } = await agent.mesh(args, { json: true });
  return { code, view: JSON.parse(stdout) as View };
}
