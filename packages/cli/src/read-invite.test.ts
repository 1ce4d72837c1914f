import assert from "node:assert/strict";
import { test } from "node:test";
import { readInvite } from "./read-invite.ts";

function input(...chunks: readonly (string | Uint8Array)[]): {
  readonly isTerminal: boolean;
  [Symbol.asyncIterator](): AsyncGenerator<string | Uint8Array>;
} {
  return {
    isTerminal: false,
    async *[Symbol.asyncIterator]() {
      yield* chunks;
      if (chunks.at(-1) === "…") assert.fail("read on after a whole line");
    },
  };
}

test("the first line with something in it is the invite, however it comes", async () => {
  assert.equal(await readInvite(input("mesh1abc")), "mesh1abc");
  assert.equal(await readInvite(input("\n  mesh1", "abc \r\n", "other\n", "…")), "mesh1abc");
  assert.equal(await readInvite(input(new TextEncoder().encode("mesh1abc\n"))), "mesh1abc");
});

test("nothing, and far too much, are refused without being repeated", async () => {
  await assert.rejects(readInvite(input()), { code: "invite/unreadable" });
  await assert.rejects(readInvite(input("\n\n")), { code: "invite/unreadable" });
  await assert.rejects(readInvite(input("x".repeat(20_000), "…")), { code: "invite/unreadable", message: /too long/ });
});
