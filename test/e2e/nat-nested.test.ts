/** Hosts behind one NAT, behind two in a row, and homes behind one carrier's: real agents. */
import { test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { labRefusal } from "./lab/lab.ts";
import { type InternetSpec, planInternet } from "./lab/sites.ts";
import { withLab } from "./lab/with-lab.ts";
import { assertCells, type NatCell } from "./nat/nat-cells.ts";
import { NatMesh } from "./nat/nat-mesh.ts";

const skip: string | false =
  labRefusal() ?? (findCommand("nft") === undefined ? "nft is missing: apt-get install nftables" : (compilerRefusal() ?? false));

const SPEC: InternetSpec = {
  public: ["pub"],
  carriers: [
    { name: "cgn-hair", nat: "eimr-apdf", hairpin: true },
    { name: "cgn-plain", nat: "eimr-apdf" },
  ],
  sites: [
    { name: "lan", nat: "eimr-apdf", hosts: ["lan-a", "lan-b"], ipv6: "none" },
    { name: "hair-1", nat: "masq", hosts: ["hair-a"], behind: "cgn-hair", ipv6: "none" },
    { name: "hair-2", nat: "eimr-apdf", hosts: ["hair-b"], behind: "cgn-hair", ipv6: "none" },
    // Two homes whose routers hand out the same addresses, as most do.
    { name: "plain-1", nat: "masq", hosts: ["plain-a"], behind: "cgn-plain", ipv6: "none", lan: "192.168.0" },
    { name: "plain-2", nat: "eimr-apdf", hosts: ["plain-b"], behind: "cgn-plain", ipv6: "none", lan: "192.168.0" },
  ],
};

const CELLS: readonly NatCell[] = [
  { pair: ["lan-a", "lan-b"], kind: "direct", endpoint: /^192\.168\.1\./ },
  { pair: ["hair-a", "lan-a"], kind: "direct", endpoint: /^198\.18\./ },
  { pair: ["hair-a", "plain-b"], kind: "direct", endpoint: /^198\.18\./ },
  { pair: ["hair-a", "hair-b"], kind: "direct", endpoint: /^198\.18\./ },
  { pair: ["plain-a", "plain-b"], kind: "relayed", relay: "pub" },
];

test("one LAN: direct by its addresses; a NAT behind a carrier's: direct; two homes of one carrier: direct where it hairpins", {
  skip,
}, async (t) => {
  await withLab(t, planInternet(SPEC).topology, async (lab) => {
    const hosts = ["pub", ...SPEC.sites.flatMap((site) => site.hosts)];
    await assertCells(t, await NatMesh.open(lab, hosts), CELLS);
  });
});
