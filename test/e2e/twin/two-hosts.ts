import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import type { Datapath, DatapathException, Endpoint, Ip } from "@mesh/core/ports";
import { parsePrefix } from "@mesh/core/ports";
import { type OpenDatapathOptions, openDatapath } from "@mesh/datapath";
import { eventually } from "../../../packages/datapath/src/suite/eventually.ts";

export type Backend = NonNullable<OpenDatapathOptions["backend"]>;

/** Two engines, the second one's TUN in a namespace of its own; TCP between programs on both sides. */
export function twoHosts(here: Backend, there: Backend): void {
  for (const [family, near, far] of [["IPv4", "10.78.0.1", "10.78.0.2"] as const, ["IPv6", "fd78::1", "fd78::2"] as const]) {
    test(`ping and 4 MiB of TCP over ${family}, there and back, whole`, async (t) => {
      const exceptions: DatapathException[] = [];
      const [a, b] = [["meshhost0", here] as const, ["meshhost1", there] as const].map(([tunName, backend]) => {
        const path = openDatapath({ tunName, mtu: 1420, udpPort: 0, onExceptions: (batch) => exceptions.push(...batch), backend });
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
      await promisify(execFile)("ping", ["-c", "3", "-i", "0.01", "-W", "5", far]); // the twin answers on this thread
      const payload = Buffer.alloc(4 * 1024 * 1024, "mesh packets ");
      const socket = connect({ host: far, port: 7 });
      socket.end(payload);
      const echoed = createHash("sha256");
      for await (const chunk of socket) echoed.update(chunk as Buffer);
      assert.equal(echoed.digest("hex"), createHash("sha256").update(payload).digest("hex"));

      assert.deepEqual(exceptions, [{ type: "session-confirmed", slot: 0, localIndex: 2 }]);
      // The last acknowledgements are still on their way when the stream has ended.
      const arrived = (from: Datapath, to: Datapath): boolean => from.readTraffic(0).sentPackets === to.readTraffic(0).receivedPackets;
      await eventually("all that was sent is received", () => arrived(a, b) && arrived(b, a));
      const { sentBytes, receivedBytes } = a.readTraffic(0);
      assert.ok(sentBytes > payload.length && receivedBytes > payload.length);
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
    path.publishTable({ peers: [0], roaming: [], routes: [{ prefix, slot: 0 }] });
    path.setWays(0, [{ endpoint: loopback(other) }]);
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

/** Waits for a line of a child's standard output. */
async function said(child: ChildProcess, word: string): Promise<void> {
  assert.ok(child.stdout !== null);
  let output = "";
  while (!output.includes(`${word}\n`)) {
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    output += chunk.toString();
  }
}
