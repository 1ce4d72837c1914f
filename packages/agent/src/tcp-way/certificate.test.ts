import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { selfSignedCertificate } from "./certificate.ts";

test("a certificate as RFC 5280 has it: signed by its own key, valid at any time, saying nothing", () => {
  const { key, cert } = selfSignedCertificate();
  const certificate = new X509Certificate(cert);
  assert.ok(certificate.verify(certificate.publicKey));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
  assert.deepEqual([certificate.subject, certificate.issuer], ["CN=localhost", "CN=localhost"]);
  assert.deepEqual([certificate.validFrom, certificate.validTo], ["Jan  1 00:00:00 2000 GMT", "Dec 31 23:59:59 9999 GMT"]);
  assert.match(certificate.serialNumber, /^[4-7][0-9A-F]{31}$/, "positive, 16 bytes");
});

test("each start has another one", () => {
  const [one, two] = [selfSignedCertificate(), selfSignedCertificate()];
  assert.notEqual(new X509Certificate(one.cert).fingerprint256, new X509Certificate(two.cert).fingerprint256);
});
