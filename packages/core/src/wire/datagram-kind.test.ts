import assert from "node:assert/strict";
import { test } from "node:test";
import { datagramKind, PROBE_MAGIC } from "./datagram-kind.ts";

test("WireGuard's types are known by a word, probes by their magic", () => {
  const kinds = [0, 1, 2, 3, 4, 5].map((type) => datagramKind(Uint8Array.of(type, 0, 0, 0)));
  assert.deepEqual(kinds, ["unknown", "handshake", "handshake", "handshake", "transport", "unknown"]);
  const own = [0x20, 0x21, 0x22, 0x23, 0x24].map((first) => datagramKind(Uint8Array.of(first, ...PROBE_MAGIC.subarray(1), 1)));
  assert.deepEqual(own, ["unknown", "probe", "to-relay", "from-relay", "unknown"]);
});

test("every change of one of the four bytes makes it unknown or another type, and fewer are unknown", () => {
  for (const magic of [PROBE_MAGIC, Uint8Array.of(4, 0, 0, 0)]) {
    for (let length = 0; length < 4; length++) assert.equal(datagramKind(magic.subarray(0, length)), "unknown");
    for (let at = 0; at < 4; at++) {
      for (let value = 1; value < 256; value++) {
        const bytes = magic.slice();
        bytes[at] = (bytes[at] ?? 0) ^ value;
        const first = bytes[0] ?? 0;
        const relay = at === 0 && magic === PROBE_MAGIC ? { 34: "to-relay", 35: "from-relay" }[first] : undefined;
        const isHandshake = at === 0 && magic !== PROBE_MAGIC && first >= 1 && first <= 3;
        assert.equal(datagramKind(bytes), relay ?? (isHandshake ? "handshake" : "unknown"), bytes.join());
      }
    }
  }
});
