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

/** More than two PINGs that cross is needed: one end's port is to be found by further sockets, and until then a relay carries the packets. */
function isHard(one: string, other: string): boolean {
  return (VARYING.includes(one) && STRICT.includes(other)) || (VARYING.includes(other) && STRICT.includes(one));
}

/** A NAT that remembered a PING too early needs a second round, with a fresh socket. */
const DIRECT_WITHIN = 45_000;
const PINGS = 40;

test("every pair of NATs has a path at once, and all that need no search for ports get a straight one, and not one packet is lost", {
  skip,
}, async (t) => {
  const spec: InternetSpec = {
    public: ["pub-1", "pub-2"],
    sites: KINDS.map((nat) => ({ name: `s-${nat}`, nat, hosts: [nat], ipv6: "none" })),
  };
  await withLab(t, planInternet(spec).topology, async (lab) => {
    const mesh = await NatMesh.open(lab, ["pub-1", "pub-2", ...KINDS]);
    const pairs = KINDS.flatMap((one, i) => KINDS.slice(i + 1).map((other) => [one, other] as const));
    const lost: string[] = [];
    await Promise.all(
      pairs.map(async ([one, other]) => {
        const answered = await mesh.ping(one, other, { count: PINGS, interval: 0.2 });
        if (answered.length !== PINGS)
          lost.push(`${one} to ${other}: ${PINGS - answered.length} of ${PINGS}, first answered ${answered[0]}`);
      }),
    );
    assert.deepEqual(lost, []);
    const easy = pairs.filter(([one, other]) => !isHard(one, other));
    await until(
      "easy pairs are direct",
      async () => {
        const kindOf = await mesh.pathKinds(KINDS);
        const others = easy.filter(([one, other]) => kindOf(one, other) !== "direct");
        return others.length === 0 || others.map(([one, other]) => `${one} and ${other}: ${kindOf(one, other)}`).join();
      },
      DIRECT_WITHIN,
    );
    const kindOf = await mesh.pathKinds(KINDS);
    const hard = pairs.filter(([one, other]) => isHard(one, other)).map(([one, other]) => `${one} and ${other} ${kindOf(one, other)}`);
    t.diagnostic(hard.join(", "));
    assert.deepEqual(
      hard.filter((text) => !/ (?:direct|relayed)(?:\/(?:direct|relayed))?$/.test(text)),
      [],
    );
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
