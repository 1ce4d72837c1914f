import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ip } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import { randomInput } from "../../../core/src/bytes/check-codec-fixture.ts";
import { decodePcpResponse, encodePcpRequest, encodePcpResponse, type PcpResponse } from "./pcp-message.ts";

const nonce = Uint8Array.from({ length: 12 }, (_, i) => i + 1);
const response: PcpResponse = {
  result: 0,
  lifetime: 7_200,
  epoch: 0xdead_beef,
  nonce,
  internalPort: 51_820,
  external: { ip: "11.22.33.2" as Ip, port: 40_000 },
};
const samples: readonly PcpResponse[] = [
  response,
  { ...response, result: 255, lifetime: 0xffff_ffff, internalPort: 65_535, external: { ip: "2001:db8::1" as Ip, port: 65_535 } },
  { ...response, lifetime: 0, epoch: 0, internalPort: 0, external: { ip: "::" as Ip, port: 0 } },
];
const NONCE = "0102030405060708090a0b0c";

test("a request for IPv4 has the bytes of RFC 6887 sections 7.1 and 11.1", () => {
  const bytes = encodePcpRequest({
    lifetime: 7_200,
    client: "192.168.1.10" as Ip,
    nonce,
    internalPort: 51_820,
    suggested: response.external,
  });
  const header = `0201000000001c20${"00".repeat(10)}ffffc0a8010a`;
  assert.equal(Buffer.from(bytes).toString("hex"), `${header}${NONCE}11000000ca6c9c40${"00".repeat(10)}ffff0b162102`);
});

test("a request that deletes wishes for nothing, in the family of its mapping", () => {
  const delete4 = encodePcpRequest({ lifetime: 0, client: "192.168.1.10" as Ip, nonce, internalPort: 51_820 });
  assert.equal(Buffer.from(delete4.subarray(42)).toString("hex"), `0000${"00".repeat(10)}ffff00000000`);
  const delete6 = encodePcpRequest({ lifetime: 0, client: "2001:db8::2" as Ip, nonce, internalPort: 51_820 });
  assert.equal(Buffer.from(delete6.subarray(42)).toString("hex"), "00".repeat(18));
});

test("responses come back from their bytes, with options behind them or without", () => {
  for (const sample of samples) {
    const bytes = encodePcpResponse(sample);
    assert.deepEqual(decodePcpResponse(bytes), sample);
    assert.deepEqual(decodePcpResponse(Buffer.concat([bytes, new Uint8Array(1_040)])), sample);
  }
});

test("every truncation is refused, every length that is no multiple of 4, and more than 1,100 bytes", () => {
  const bytes = encodePcpResponse(response);
  for (let length = 0; length < bytes.length; length++)
    assert.equal(decodePcpResponse(bytes.subarray(0, length)), undefined, `${length} B`);
  for (const more of [1, 2, 3, 1_044]) assert.equal(decodePcpResponse(Buffer.concat([bytes, new Uint8Array(more)])), undefined);
});

test("other versions are unsupported, as NAT-PMP's; other operations, protocols and requests are no answers", () => {
  const changed = (at: number, to: number): Uint8Array => encodePcpResponse(response).map((byte, i) => (i === at ? to : byte));
  for (const version of [0, 1, 3, 255]) assert.equal(decodePcpResponse(changed(0, version)), "unsupported");
  assert.equal(decodePcpResponse(Uint8Array.of(0, 129, 0, 1, 0, 0, 0, 9)), "unsupported");
  for (const operation of [0, 1, 128, 130]) assert.equal(decodePcpResponse(changed(1, operation)), undefined);
  assert.equal(decodePcpResponse(changed(36, 6)), undefined, "TCP");
  const request = encodePcpRequest({ lifetime: 1, client: "192.168.1.10" as Ip, nonce, internalPort: 1 });
  assert.equal(decodePcpResponse(request), undefined, "our own request, sent back");
});

test("seed 1: 20,000 random inputs are no answer, or one that comes back from its own bytes", () => {
  const random = new SeededRandom(1);
  const bases = samples.map((sample) => Uint8Array.from(encodePcpResponse(sample)));
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const decoded = decodePcpResponse(randomInput(random, bases));
    if (decoded === undefined || decoded === "unsupported") continue;
    taken++;
    assert.deepEqual(decodePcpResponse(encodePcpResponse(decoded)), decoded, `run ${run}`);
  }
  assert.ok(taken > 2_000, `${taken} taken`);
});
