import assert from "node:assert/strict";
import { test } from "node:test";
import type { Certificate } from "../records/certificate.ts";
import { idOf, NOTHING, SampleNetwork } from "./sample-network-fixture.ts";

const network = new SampleNetwork();
const admin = network.admin("admin", 16, 16);
const member = network.certificate("member", { number: 20, issuerCertificate: admin }, "admin");

test("a certificate is a renewal when its issuer signed it later, or when it is root's in place of an admin's", () => {
  const { trust } = network;
  const certificate = (bytes: Uint8Array): Certificate => trust.believedCertificate(bytes)?.certificate ?? assert.fail();
  const later = network.certificate("member", { number: 20, issuerCertificate: admin }, "admin");
  const byRoot = network.certificate("member", { number: 20, serial: 1 });
  const byOther = network.certificate("member", { number: 20, issuerCertificate: network.admin("other", 16, 16) }, "other");
  assert.equal(trust.isRenewal(certificate(later), member), true);
  assert.equal(trust.isRenewal(certificate(member), later), false);
  assert.equal(trust.isRenewal(certificate(later), later), false);
  assert.equal(trust.isRenewal(certificate(byRoot), later), true);
  assert.equal(trust.isRenewal(certificate(later), byRoot), false);
  assert.equal(trust.isRenewal(certificate(byOther), member), false);
  assert.equal(trust.isRenewal(certificate(member), NOTHING), true, "what is held does not hold");
});

test("whom a removal is about is read from its bytes, and from no others", () => {
  const { opener } = network;
  assert.equal(opener.removalTarget(network.removal("root", "member")), idOf("member"));
  for (const bytes of [member, NOTHING]) assert.equal(opener.removalTarget(bytes), undefined);
});
