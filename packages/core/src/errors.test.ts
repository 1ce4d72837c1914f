import assert from "node:assert/strict";
import { test } from "node:test";
import { errorFacts, MeshError, meshErrorOf } from "./errors.ts";

test("an error comes back from its JSON, with code, sentence, hint and facts", () => {
  for (const error of [
    new MeshError("datapath/port-taken", "UDP port 5 is taken.", { port: 5 }, { hint: "Take another.", cause: new Error("secret") }),
    new MeshError("invite/not-admin", "No.", {}),
  ]) {
    const text = JSON.stringify(errorFacts(error));
    assert.doesNotMatch(text, /secret/);
    const { code, message, details, hint } = meshErrorOf(JSON.parse(text));
    assert.deepEqual(
      { code, message, details, hint },
      { code: error.code, message: error.message, details: error.details, hint: error.hint },
    );
  }
});

test("what another version sends is taken as it is: a code not known here, no facts", () => {
  const error = meshErrorOf({ code: "moon/full", message: "No." });
  assert.ok(error instanceof MeshError);
  assert.deepEqual([String(error.code), error.details, error.hint], ["moon/full", {}, undefined]);
});
