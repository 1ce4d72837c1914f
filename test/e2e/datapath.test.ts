import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test } from "node:test";
import type { Datapath, DatapathException, Endpoint, Ip } from "@mesh/core/ports";
import { parsePrefix } from "@mesh/core/ports";
import { openDatapath } from "@mesh/datapath";
import { datapathSuite } from "@mesh/datapath/suite";

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
  datapathSuite("native", openDatapath);
  describe("native: two hosts", twoHosts);
  describe("native: how a process ends", endings);
}

/** Two engines, the second one's TUN in a namespace of its own; TCP between programs on both sides. */
function twoHosts(): void {
  for (const [family, near, far] of [["IPv4", "10.78.0.1", "10.78.0.2"] as const, ["IPv6", "fd78::1", "fd78::2"] as const]) {
    test(`TCP over ${family}, there and back, whole`, async (t) => {
      const exceptions: DatapathException[] = [];
      const [a, b] = ["meshhost0", "meshhost1"].map((tunName) => {
        const path = openDatapath({ tunName, mtu: 1420, udpPort: 0, onExceptions: (batch) => exceptions.push(...batch) });
        t.after(() => path.close());
        return path;
      });
      assert.ok(a !== undefined && b !== undefined);
      const host = spawn("unshare", ["--net", process.execPath, "--input-type=module", "-e", ECHO_HOST, far], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      t.after(() => host.kill("SIGKILL"));
      await said(host, "born");
      execFileSync("ip", ["link", "set", "dev", "meshhost1", "netns", String(host.pid)]);
      execFileSync("ip", ["link", "set", "dev", "meshhost0", "mtu", "1420", "up"]);
      execFileSync("ip", [
        "addr",
        "add",
        `${near}/${family === "IPv4" ? 24 : 64}`,
        "dev",
        "meshhost0",
        ...(family === "IPv4" ? [] : ["nodad"]),
      ]);
      host.stdin.write("moved\n");
      await said(host, "ready");

      join(a, b, near as Ip, far as Ip);
      const payload = Buffer.alloc(4 * 1024 * 1024, "mesh packets ");
      const socket = connect({ host: far, port: 7 });
      socket.end(payload);
      const echoed = createHash("sha256");
      for await (const chunk of socket) echoed.update(chunk as Buffer);
      assert.equal(echoed.digest("hex"), createHash("sha256").update(payload).digest("hex"));

      assert.deepEqual(exceptions, [{ type: "session-confirmed", slot: 0, localIndex: 2 }]);
      const [there, back] = [a.readTraffic(0), b.readTraffic(0)];
      assert.ok(there.sentBytes > payload.length && there.receivedBytes > payload.length);
      assert.equal(there.sentPackets, back.receivedPackets);
      assert.equal(back.sentPackets, there.receivedPackets);
    });
  }
}

/** A session between two engines on this host, and each other's address as the only route. */
function join(a: Datapath, b: Datapath, addressOfA: Ip, addressOfB: Ip): void {
  const length = addressOfA.includes(":") ? 128 : 32;
  const loopback = (path: Datapath): Endpoint => ({ ip: "127.0.0.1" as Ip, port: path.info.udpPort });
  for (const [path, other, address] of [[a, b, addressOfB] as const, [b, a, addressOfA] as const]) {
    const prefix = parsePrefix(`${address}/${length}`);
    assert.ok(prefix !== undefined);
    path.publishTable({ peers: [0], routes: [{ prefix, slot: 0 }] });
    path.setEndpoint(0, loopback(other));
  }
  const key = (label: string): Uint8Array => new Uint8Array(createHash("sha256").update(label).digest());
  const expiresAt = a.now() + 180_000;
  b.installSession({
    slot: 0,
    localIndex: 2,
    remoteIndex: 1,
    sendKey: key("back"),
    receiveKey: key("there"),
    role: "responder",
    expiresAt,
  });
  a.installSession({
    slot: 0,
    localIndex: 1,
    remoteIndex: 2,
    sendKey: key("there"),
    receiveKey: key("back"),
    role: "initiator",
    expiresAt,
  });
  a.sendKeepalive(0);
}

/** Sets up the device it is given, then echoes whatever connects. */
const ECHO_HOST = `
  import { execFileSync } from "node:child_process";
  import { once } from "node:events";
  import { createServer } from "node:net";
  const address = process.argv[1];
  const ip = (...args) => execFileSync("ip", args);
  console.log("born");
  await once(process.stdin, "data");
  ip("link", "set", "dev", "lo", "up");
  ip("link", "set", "dev", "meshhost1", "mtu", "1420", "up");
  ip("addr", "add", address + (address.includes(":") ? "/64" : "/24"), "dev", "meshhost1", ...(address.includes(":") ? ["nodad"] : []));
  createServer((socket) => socket.pipe(socket)).listen(7, address, () => console.log("ready"));
`;

/** However a process with a running engine ends: quickly, without a crash, and its device is gone. */
function endings(): void {
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
      const program = isWorker ? WORKER : `${TRAFFIC}\nsetTimeout(() => { ${end} }, 100);`;
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
      assert.doesNotMatch(execFileSync("ip", ["-o", "link"], { encoding: "utf8" }), /meshend0/);
    });
  }
}

/** An engine that is busy in both directions and reports exceptions all the time. */
const TRAFFIC = `
  import { parentPort } from "node:worker_threads";
  import { execFileSync } from "node:child_process";
  import { createSocket } from "node:dgram";
  import { openDatapath } from "@mesh/datapath";
  let onException = () => {};
  const path = openDatapath({ tunName: "meshend0", mtu: 1420, udpPort: 0, onExceptions: () => onException() });
  execFileSync("ip", ["link", "set", "dev", "meshend0", "up"]);
  execFileSync("ip", ["addr", "add", "10.79.0.1/16", "dev", "meshend0"]);
  path.publishTable({ peers: [0], routes: [{ prefix: { ip: "10.79.1.0", length: 24 }, slot: 0 }] });
  path.setEndpoint(0, { ip: "127.0.0.1", port: path.info.udpPort });
  const keys = { sendKey: new Uint8Array(32), receiveKey: new Uint8Array(32) };
  path.installSession({ ...keys, slot: 0, localIndex: 1, remoteIndex: 1, role: "initiator", expiresAt: path.now() + 60_000 });
  const socket = createSocket("udp4");
  const handshake = Buffer.concat([Buffer.from([1, 0, 0, 0]), Buffer.alloc(144)]);
  const timer = setInterval(() => {
    for (let i = 0; i < 20; i++) {
      socket.send(Buffer.alloc(1000), 9, "10.79.1.1");
      socket.send(handshake, path.info.udpPort, "127.0.0.1");
    }
  }, 1);
`;

const WORKER = `
  import { Worker } from "node:worker_threads";
  import { setTimeout as delay } from "node:timers/promises";
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(${JSON.stringify(TRAFFIC)} + "setTimeout(() => parentPort.postMessage(0), 50);", { eval: true });
    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    await worker.terminate();
  }
`;

/** Waits for a line of a child's standard output. */
async function said(child: ChildProcess, word: string): Promise<void> {
  assert.ok(child.stdout !== null);
  let output = "";
  while (!output.includes(`${word}\n`)) {
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    output += chunk.toString();
  }
}
