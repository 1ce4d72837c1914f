import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LabHost } from "../lab/lab.ts";
import { mustRun } from "../lab/run-command.ts";
import type { Transfer } from "../lab/send-file.ts";
import type { NatMesh } from "../nat/nat-mesh.ts";
import type { StrangerCounts } from "./throw-tls.ts";

const PORT = "5201";
const TRANSFER_TIMEOUT = 120_000;
const NODE = process.execPath;

type Content = Pick<Transfer, "bytes" | "sha256">;

/** A file of random bytes over one TCP connection through the tunnel; what each end saw of it, and how long it took. */
export async function sendThroughMesh(
  mesh: NatMesh,
  transfer: { readonly from: string; readonly to: string; readonly bytes: number; readonly directory: string },
): Promise<{ readonly ms: number; readonly sent: Content; readonly received: Content }> {
  const { from, to, directory } = transfer;
  const script = join(import.meta.dirname, "../lab/send-file.ts");
  const file = join(directory, "transfer.bin");
  await writeFile(file, randomBytes(transfer.bytes));
  const { address4 } = await mesh.view(from, to);
  const receiver = mesh.agent(to).host.spawn(NODE, [script, "receive", address4, PORT]);
  let printed = "";
  const listening = Promise.withResolvers<void>();
  const ended = new Promise<void>((resolve) => receiver.once("close", () => resolve()));
  receiver.stdout?.on("data", (text: Buffer) => {
    printed += text.toString();
    if (printed.includes("listening")) listening.resolve();
  });
  await listening.promise;
  const sent = await mesh.agent(from).host.run(NODE, [script, "send", address4, PORT, file], { timeout: TRANSFER_TIMEOUT });
  await ended;
  const received = JSON.parse(printed.split("\n")[1] ?? "{}") as Transfer;
  return { ms: received.ms, sent: contentOf(JSON.parse(sent.stdout) as Transfer), received: contentOf(received) };
}

/** TCP listeners and UDP sockets of a host, one a line. */
export async function listeners({ namespace }: LabHost): Promise<readonly string[]> {
  const printed = await mustRun("ip", ["netns", "exec", namespace, "ss", "-H", "-n", "-t", "-u", "-l"]);
  return printed.split("\n").filter((line) => line !== "");
}

/** Throws connections as throw-tls.ts describes. */
export async function throwConnections(
  host: LabHost,
  target: { readonly address: string; readonly port: number; readonly seconds: number },
): Promise<StrangerCounts> {
  const script = join(import.meta.dirname, "throw-tls.ts");
  const words = [script, target.address, String(target.port), String(target.seconds)];
  const { code, stdout, stderr } = await host.run(NODE, words, { timeout: (target.seconds + 30) * 1_000 });
  if (code !== 0) throw new Error(`throw-tls ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as StrangerCounts;
}

function contentOf({ bytes, sha256 }: Transfer): Content {
  return { bytes, sha256 };
}
