import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { openDatapath } from "@mesh/datapath";
import { datapathSuite } from "@mesh/datapath/suite";
import { behindRouter } from "./twin/behind-router.ts";
import { type Backend, twoHosts } from "./twin/two-hosts.ts";

const IN_OWN_NAMESPACE = "MESH_TEST_OWN_NAMESPACE";

// All this adds devices and addresses: it runs in a network namespace that ends with its process. The second run of
// this file writes its results to the same place, so whoever started the first one sees them as if it were alone.
if (process.getuid?.() !== 0) {
  test("the packet engine", { skip: "needs root, to make a network namespace and a TUN device" }, () => {});
} else if (process.env[IN_OWN_NAMESPACE] === undefined) {
  const command = 'ip link set lo up && exec "$0" "$@"';
  const self = [process.execPath, ...process.execArgv, import.meta.filename];
  const env = { ...process.env, [IN_OWN_NAMESPACE]: "1" };
  const { status } = spawnSync("unshare", ["--net", "sh", "-c", command, ...self], { stdio: "inherit", env });
  process.exit(status ?? 1);
} else {
  for (const backend of ["native", "twin"] as const) {
    datapathSuite(backend, (options) => openDatapath({ ...options, backend }));
    describe(`${backend}: two hosts`, () => twoHosts(backend, backend));
    describe(`${backend}: behind a router`, () => behindRouter(backend));
    describe(`${backend}: how a process ends`, () => endings(backend));
  }
}

/** However a process with a running engine ends: quickly, without a crash, and its device is gone. */
function endings(backend: Backend): void {
  const ways: readonly { readonly name: string; readonly end: string; readonly status: number | NodeJS.Signals }[] = [
    { name: "close, then nothing left to do", end: "timer.close(); socket.close(); path.close();", status: 0 },
    { name: "process.exit", end: "process.exit(3);", status: 3 },
    { name: "an uncaught exception", end: "throw new Error('on purpose');", status: 1 },
    { name: "an exception in onExceptions", end: "onException = () => { throw new Error('on purpose'); };", status: 1 },
    { name: "process.exit in onExceptions", end: "onException = () => process.exit(4);", status: 4 },
    { name: "close in onExceptions, then process.exit", end: "onException = () => { path.close(); process.exit(5); };", status: 5 },
    { name: "SIGTERM", end: "process.kill(process.pid, 'SIGTERM');", status: "SIGTERM" },
    { name: "SIGKILL", end: "process.kill(process.pid, 'SIGKILL');", status: "SIGKILL" },
    { name: "a terminated worker", end: "worker = true;", status: 0 },
  ];
  for (const { name, end, status } of ways) {
    test(name, { timeout: 60_000 }, async (t) => {
      const isWorker = end.startsWith("worker");
      const traffic = trafficProgram(backend);
      const program = isWorker ? workerProgram(traffic) : `${traffic}\nsetTimeout(() => { ${end} }, 100);`;
      const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
        stdio: ["ignore", "inherit", "pipe"],
        cwd: import.meta.dirname,
      });
      t.after(() => child.kill("SIGKILL"));
      let errors = "";
      child.stderr.on("data", (chunk) => {
        errors += chunk;
      });
      const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
      assert.equal(code ?? signal, status, errors);
      // Whatever else held the device has ended too: it had the same standard error.
      assert.doesNotMatch(execFileSync("ip", ["-o", "link"], { encoding: "utf8" }), /meshend0/);
    });
  }
}

/** An engine that is busy in both directions and reports exceptions all the time. */
function trafficProgram(backend: Backend): string {
  return `
    import { parentPort } from "node:worker_threads";
    import { execFileSync } from "node:child_process";
    import { createSocket } from "node:dgram";
    import { openDatapath } from "@mesh/datapath";
    let onException = () => {};
    const path = openDatapath({ tunName: "meshend0", mtu: 1420, udpPort: 0, onExceptions: () => onException(), backend: "${backend}" });
    execFileSync("ip", ["link", "set", "dev", "meshend0", "up"]);
    execFileSync("ip", ["addr", "add", "10.79.0.1/16", "dev", "meshend0"]);
    path.publishTable({ peers: [0], roaming: [], routes: [{ prefix: { ip: "10.79.1.0", length: 24 }, slot: 0 }] });
    path.setWays(0, [{ endpoint: { ip: "127.0.0.1", port: path.info.udpPort } }]);
    const keys = { sendKey: new Uint8Array(32), receiveKey: new Uint8Array(32) };
    path.installSession({ ...keys, slot: 0, localIndex: 1, remoteIndex: 1, role: "initiator", expiresAt: path.now() + 60_000 });
    const socket = createSocket("udp4");
    const probe = Buffer.from("216d7368", "hex");
    const timer = setInterval(() => {
      for (let i = 0; i < 20; i++) {
        socket.send(Buffer.alloc(1000), 9, "10.79.1.1");
        socket.send(probe, path.info.udpPort, "127.0.0.1");
      }
    }, 1);
  `;
}

function workerProgram(traffic: string): string {
  return `
    import { Worker } from "node:worker_threads";
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(${JSON.stringify(traffic)} + "setTimeout(() => parentPort.postMessage(0), 50);", { eval: true });
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      await worker.terminate();
    }
  `;
}
