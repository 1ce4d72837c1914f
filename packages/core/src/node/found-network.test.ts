import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePrefix } from "../address/prefix.ts";
import { networkId } from "../ids/network-id.ts";
import { crypto, idOf, keyOf } from "../membership/sample-network-fixture.ts";
import { Trust } from "../membership/trust.ts";
import { RecordOpener } from "../records/record.ts";
import { foundNetwork } from "./found-network.ts";

for (const [cidr, nodeLength, granted] of [
  ["10.77.0.0/16", 24, 16],
  ["10.9.8.240/28", 30, 3],
] as const) {
  test(`the first node of ${cidr} is admin number 1 with ${granted} numbers to give, believed by anyone who knows the network`, () => {
    const prefix4 = parsePrefix(cidr) ?? assert.fail();
    const made = foundNetwork({
      crypto,
      key: keyOf("a"),
      root: keyOf("root"),
      name: "home",
      nodeName: "laptop-a",
      prefix4,
      nodeLength,
      wallNow: 1_234.5,
    });
    const opener = new RecordOpener(crypto);
    const opened = opener.open(made.statement);
    assert.ok(opened.ok && opened.value.content.type === "network");
    const trust = new Trust({ crypto, opener, network: networkId(opened.value.hash), statement: opened.value.content.network });
    assert.deepEqual(trust.statement, { root: idOf("root"), name: "home", prefix4, nodeLength });
    const certificate = trust.believedCertificate(made.certificate)?.certificate ?? assert.fail();
    assert.deepEqual(
      [certificate.subject, certificate.number, certificate.role, certificate.name, certificate.assignedWallAt],
      [idOf("a"), 1, "admin", "laptop-a", 1_234],
    );
    assert.deepEqual(certificate.grant, [{ first: 1, count: granted }]);
  });
}
