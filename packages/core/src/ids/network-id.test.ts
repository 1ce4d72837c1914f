import assert from "node:assert/strict";
import { test } from "node:test";
import { type NetworkId, networkId, networkIdBytes } from "./network-id.ts";

test("an id is the hash in hex and gives it back; what is no id is a programmer error", () => {
  const hash = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
  assert.match(networkId(hash), /^fffe[0-9a-f]{60}$/);
  assert.deepEqual(networkIdBytes(networkId(hash)), hash);
  for (const text of ["", "ff", `${networkId(hash)}00`]) assert.throws(() => networkIdBytes(text as NetworkId), TypeError);
});
