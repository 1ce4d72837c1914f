import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { findNetwork } from "./find-network.ts";

let stateRoot = "";

beforeEach(() => {
  stateRoot = mkdtempSync(join(tmpdir(), "networks-"));
});

afterEach(() => rmSync(stateRoot, { recursive: true }));

function make(network: string, file = "node.state"): void {
  mkdirSync(join(stateRoot, network), { mode: 0o700 });
  writeFileSync(join(stateRoot, network, file), "");
}

test("the only network is found among other things", async () => {
  make("lab");
  make("half", "identity.key");
  make("Not-A-Name");
  writeFileSync(join(stateRoot, "file"), "");
  assert.equal(await findNetwork({ stateRoot }), "lab");
});

test("no network: what to do", async () => {
  const missing = { code: "state/missing", details: { directory: stateRoot }, hint: /mesh init.*mesh join/ };
  await assert.rejects(findNetwork({ stateRoot }), missing);
  const nowhere = join(stateRoot, "nowhere");
  await assert.rejects(findNetwork({ stateRoot: nowhere }), { ...missing, details: { directory: nowhere } });
});

test("a state root that is a file is called one", async () => {
  const file = join(stateRoot, "file");
  writeFileSync(file, "");
  await assert.rejects(findNetwork({ stateRoot: file }), { code: "state/missing", message: /is not a directory/, hint: /--state/ });
});

test("several networks: all are named", async () => {
  make("office");
  make("home");
  const ambiguous = { code: "state/ambiguous", details: { networks: ["home", "office"] }, message: /home, office/, hint: /--network home/ };
  await assert.rejects(findNetwork({ stateRoot }), ambiguous);
  assert.equal(await findNetwork({ stateRoot, network: "office" }), "office");
});

test("a network that is named must exist, by its state or its socket", async () => {
  make("lab");
  make("other", "api.sock");
  await assert.rejects(findNetwork({ stateRoot, network: "lap" }), { code: "state/missing", message: /"lap"/ });
  assert.equal(await findNetwork({ stateRoot, network: "other" }), "other");
});

test("who may not look into the state finds the network still", {
  skip: process.getuid?.() !== 0 && "needs root, to become someone else",
}, async () => {
  chmodSync(stateRoot, 0o755);
  make("lab");
  process.seteuid?.(65_534);
  try {
    assert.equal(await findNetwork({ stateRoot }), "lab");
  } finally {
    process.seteuid?.(0);
  }
});
