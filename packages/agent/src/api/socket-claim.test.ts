import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { MeshError } from "@mesh/core/errors";
import type { Clock } from "@mesh/core/ports";
import { claimSocket, type SocketClaim } from "./socket-claim.ts";

/** Time passes only when someone waits for it. */
const clock: Clock = {
  now: () => 0,
  wallNow: () => 0,
  at: (_dueAt, fn) => {
    const waiting = setImmediate(fn);
    return () => clearImmediate(waiting);
  },
};

let directory = "";
let socket = "";
let servers: Server[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "claim-"));
  socket = join(directory, "api.sock");
  servers = [];
});

afterEach(async () => {
  for (const server of servers) await end(server);
  rmSync(directory, { recursive: true });
});

async function claim(): Promise<SocketClaim> {
  const server = createServer((connection) => connection.destroy());
  servers.push(server);
  return await claimSocket(server, { socket, clock });
}

async function end(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

/** A socket file whose process is gone. */
async function leaveDead(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}-bound`, resolve));
  renameSync(`${path}-bound`, path);
  await end(server);
}

function isRefusal(error: unknown): boolean {
  return error instanceof MeshError && error.code === "agent/already-running";
}

test("the socket belongs to one agent until it releases it", async () => {
  const first = await claim();
  await assert.rejects(claim(), { code: "agent/already-running", details: { socket } });
  await first.release();
  await claim();
  assert.deepEqual(readdirSync(directory), ["api.sock"]);
});

test("a dead process's socket is replaced", async () => {
  await leaveDead(socket);
  const inode = statSync(socket).ino;
  await claim();
  assert.notEqual(statSync(socket).ino, inode);
  assert.deepEqual(readdirSync(directory), ["api.sock"]);
});

for (const leftover of [true, false]) {
  test(`of 12 agents starting at once exactly one gets the socket, 25 times, ${leftover ? "with" : "without"} a dead leftover`, async () => {
    for (let round = 0; round < 25; round++) {
      if (leftover) await leaveDead(socket);
      const outcomes = await Promise.allSettled(Array.from({ length: 12 }, claim));
      assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1, `round ${round}`);
      for (const outcome of outcomes) assert.ok(outcome.status === "fulfilled" || isRefusal(outcome.reason), `round ${round}`);
      assert.deepEqual(readdirSync(directory), ["api.sock"], `round ${round}`);
      for (const server of servers) await end(server);
      servers = [];
      rmSync(socket, { force: true });
    }
  });
}

test("what a killed starter left is removed, and no other file that only looks like it", async () => {
  mkdirSync(`${socket}.abcdef`);
  await leaveDead(`${socket}.abcdef/claim`);
  mkdirSync(`${socket}.before`);
  mkdirSync(`${socket}.bound1`);
  await leaveDead(`${socket}.bound1/new`);
  mkdirSync(`${socket}.backup-of-mine`);
  writeFileSync(`${socket}.123456`, "a file");
  await claim();
  assert.deepEqual(readdirSync(directory).sort(), ["api.sock", "api.sock.123456", "api.sock.backup-of-mine"]);
});

test("an answering starter with a lower name goes first", async () => {
  mkdirSync(`${socket}.000000`);
  const other = createServer();
  servers.push(other);
  await new Promise<void>((resolve) => other.listen(`${socket}.000000/claim`, resolve));
  await assert.rejects(claim(), isRefusal);
  assert.ok(!existsSync(socket));
});

test("one with a higher name is waited for, and taken for the agent when it does not withdraw", async () => {
  mkdirSync(`${socket}.zzzzzz`);
  const other = createServer();
  servers.push(other);
  await new Promise<void>((resolve) => other.listen(`${socket}.zzzzzz/claim`, resolve));
  await assert.rejects(claim(), isRefusal);
  const waiting = claim();
  other.once("connection", () => other.close());
  await waiting;
  assert.ok(existsSync(socket));
});

test("only root and the group mesh may use the socket, and not even they before it is theirs", async () => {
  await claim();
  const mode = statSync(socket).mode & 0o777;
  assert.ok(mode === 0o600 || mode === 0o660, mode.toString(8));
  assert.equal(statSync(socket).gid === 0, mode === 0o600);
});

test("a missing directory is made for everyone to enter; its parent is not", async () => {
  socket = join(directory, "run", "lab.sock");
  const umask = process.umask(0o077);
  try {
    await claim();
  } finally {
    process.umask(umask);
  }
  assert.equal(statSync(join(directory, "run")).mode & 0o777, 0o755);
  socket = join(directory, "no", "such", "lab.sock");
  await assert.rejects(claim(), { code: "ENOENT" });
});

test("a release leaves a socket alone that is not its own", async () => {
  const first = await claim();
  rmSync(socket);
  await leaveDead(socket);
  await first.release();
  assert.ok(existsSync(socket));
});

test("a path that the kernel would cut is refused with what to do", async () => {
  socket = join(directory, "x".repeat(108 - directory.length - 14));
  await assert.rejects(claim(), { code: "config/invalid" });
  assert.deepEqual(readdirSync(directory), []);
  socket = socket.slice(0, -1);
  await claim();
});

test("a user who may not write there is told so", { skip: process.getuid?.() !== 0 && "needs root, to become someone else" }, async () => {
  process.seteuid?.(65_534);
  try {
    await assert.rejects(claim(), { code: "host/not-root" });
  } finally {
    process.seteuid?.(0);
  }
});
