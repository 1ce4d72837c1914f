/** Real agents behind real NATs: which pairs get a direct path, and what happens when a member that relays is gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { until } from "./lab/agent.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { labRefusal } from "./lab/lab.ts";
import type { NatKindName } from "./lab/nat-kinds.ts";
import { type InternetSpec, planInternet } from "./lab/sites.ts";
import { withLab } from "./lab/with-lab.ts";
import { NatMesh } from "./nat/nat-mesh.ts";

const skip: string | false =
  labRefusal() ?? (findCommand("nft") === undefined ? "nft is missing: apt-get install nftables" : (compilerRefusal() ?? false));

const KINDS: readonly NatKindName[] = ["fw", "eimr-eif", "eimr-adf", "eimr-apdf", "masq", "masq-open", "adm-apdf", "sym-seq", "sym-rand"];
/** Each destination sees another port. */
const VARYING: readonly string[] = ["adm-apdf", "sym-seq", "sym-rand"];
/** Only the address and port that was sent to may answer. */
const STRICT: readonly string[] = ["fw", "eimr-apdf", "masq", "masq-open", ...VARYING];

/** A port that nobody knows and that nobody else may knock at: such a pair needs more than two PINGs that cross. */
function expected(one: string, other: string): string {
  const isHard = (VARYING.includes(one) && STRICT.includes(other)) || (VARYING.includes(other) && STRICT.includes(one));
  return isHard ? "relayed" : "direct";
}

test("every pair of NATs gets the path it can have, and its first packet is answered", { skip }, async (t) => {
  const spec: InternetSpec = {
    public: ["pub-1", "pub-2"],
    sites: KINDS.map((nat) => ({ name: `s-${nat}`, nat, hosts: [nat], ipv6: "none" })),
  };
  await withLab(t, planInternet(spec).topology, async (lab) => {
    const mesh = await NatMesh.open(lab, ["pub-1", "pub-2", ...KINDS]);
    const pairs = KINDS.flatMap((one, i) => KINDS.slice(i + 1).map((other) => [one, other] as const));
    const wrong: string[] = [];
    await Promise.all(
      pairs.map(async ([one, other]) => {
        const answered = await mesh.ping(one, other, { count: 20 });
        if (answered.length !== 20)
          wrong.push(`${one} to ${other}: ${20 - answered.length} of 20 pings lost, first answered ${answered[0]}`);
      }),
    );
    for (const [one, other] of pairs) {
      const kind = await mesh.pathKind(one, other);
      if (kind !== expected(one, other)) wrong.push(`${one} and ${other}: ${kind}`);
    }
    assert.deepEqual(wrong, []);
  });
});

test("the only public node dies: direct pairs go on, and so does gossip, through the tunnel", { skip }, async (t) => {
  const spec: InternetSpec = {
    public: ["pub"],
    sites: [
      { name: "s-a", nat: "eimr-apdf", hosts: ["a"], ipv6: "none" },
      { name: "s-b", nat: "masq", hosts: ["b"], ipv6: "none" },
      { name: "s-c", nat: "eimr-adf", hosts: ["c"], ipv6: "none" },
    ],
  };
  await withLab(t, planInternet(spec).topology, async (lab) => {
    const mesh = await NatMesh.open(lab, ["pub", "a", "b", "c"]);
    for (const [one, other] of [
      ["a", "b"],
      ["a", "c"],
      ["b", "c"],
    ] as const) {
      await mesh.ping(one, other, { count: 5 });
      await until(`${one} and ${other} are direct`, async () => (await mesh.pathKind(one, other)) === "direct" || "not yet");
    }
    await mesh.agent("pub").kill9();
    assert.equal((await mesh.ping("a", "b", { count: 50, interval: 0.05 })).length, 50);
    await until(
      "nodes behind NATs are linked",
      async () => {
        const links = await Promise.all(["a", "b", "c"].map(async (name) => (await mesh.agent(name).status()).control.links));
        return links.every((count) => count > 0) || links.join();
      },
      40_000,
    );
    await mesh.agent("c").down();
    for (const name of ["a", "b"])
      await until(`${name} hears that c was stopped`, async () => (await mesh.view(name, "c")).state === "left" || "not yet");
  });
});
