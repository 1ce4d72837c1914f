import assert from "node:assert/strict";
import { test } from "node:test";
import { agentFiles, DEFAULT_STATE_ROOT } from "./agent-files.ts";

test("by default the socket is under /run; elsewhere it is beside the state", () => {
  assert.deepEqual(agentFiles(DEFAULT_STATE_ROOT, "home"), {
    directory: "/var/lib/mesh/home",
    socket: "/run/mesh/home.sock",
    log: "/var/lib/mesh/home/agent.log",
  });
  assert.deepEqual(agentFiles("/tmp/s", "home"), {
    directory: "/tmp/s/home",
    socket: "/tmp/s/home/api.sock",
    log: "/tmp/s/home/agent.log",
  });
});
