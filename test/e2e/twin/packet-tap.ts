import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { eventually } from "../../../packages/datapath/src/suite/eventually.ts";

/** The host's side of a device: every packet that comes in through it, and a way to send any bytes out of it. */
export class PacketTap {
  readonly #child: ChildProcess;
  /** Packets that came in, oldest first. */
  readonly received: Buffer[] = [];
  readonly #onPacket: () => void;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(device: string, onPacket: () => void) {
    this.#onPacket = onPacket;
    const [link] = JSON.parse(execFileSync("ip", ["-j", "link", "show", "dev", device], { encoding: "utf8" })) as [{ ifindex: number }];
    this.#child = spawn("perl", [join(import.meta.dirname, "packet-tap.pl"), String(link.ifindex)], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout?.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  static async open(device: string, onPacket: () => void): Promise<PacketTap> {
    const tap = new PacketTap(device, onPacket);
    await eventually("the tap is ready", () => tap.received.shift()?.toString() === "ready");
    return tap;
  }

  send(packet: Uint8Array): void {
    const frame = Buffer.alloc(2 + packet.length);
    frame.writeUInt16BE(packet.length);
    frame.set(packet, 2);
    assert.ok(this.#child.stdin !== null);
    this.#child.stdin.write(frame);
  }

  close(): void {
    this.#child.stdin?.destroy();
    this.#child.kill("SIGKILL");
  }

  #read(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE()) {
      const end = 2 + bytes.readUInt16BE();
      this.received.push(bytes.subarray(2, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
    this.#onPacket();
  }
}
