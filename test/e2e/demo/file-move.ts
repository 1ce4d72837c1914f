import { randomFillSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type MeshAgent, until } from "../lab/agent.ts";
import type { CommandResult } from "../lab/run-command.ts";
import { exitOf } from "../lab/run-command.ts";
import type { Transfer } from "../lab/send-file.ts";

const PORT = 5_001;
const SCRIPT: string = join(import.meta.dirname, "../lab/send-file.ts");
/** Milliseconds for the whole file, and after its last byte for the receiver's word. */
const SEND_TIMEOUT = 60_000;
const WORD_TIMEOUT = 10_000;

export interface FileMove {
  readonly from: MeshAgent;
  readonly to: MeshAgent;
  /** Megabytes of 2^20 bytes. */
  readonly size: number;
}

/** A random file, sent through the tunnel by one TCP connection. */
export interface MovingFile {
  hasEnded(): boolean;
  /** What arrived. Throws unless that is what was sent. */
  arrived(): Promise<Transfer>;
}

export async function moveFile({ from, to, size }: FileMove): Promise<MovingFile> {
  const file = join(from.stateDir, "file");
  await writeFile(file, randomFillSync(Buffer.alloc(size * 1_048_576)));
  const { address4 } = (await to.status()).self;
  if (address4 === undefined) throw new Error(`${to.name} has no IPv4 address in the mesh.`);
  const receiver = to.host.spawn(process.execPath, [SCRIPT, "receive", address4, String(PORT)]);
  const [said, complaint] = [collect(receiver.stdout), collect(receiver.stderr)];
  const received = exitOf(receiver);
  await until(`${to.name} listens`, async () => said().startsWith("listening\n") || `not yet ${complaint()}`);
  let ended = false;
  const sending = from.host.run(process.execPath, [SCRIPT, "send", address4, String(PORT), file], { timeout: SEND_TIMEOUT });
  const sent: Promise<CommandResult> = sending.finally(() => {
    ended = true;
  });
  return {
    hasEnded: () => ended,
    arrived: async () => {
      const sender = await sent;
      if (sender.code !== 0) throw new Error(`The file could not be sent: ${sender.stderr.trim()}`);
      if ((await Promise.race([received, sleep(WORD_TIMEOUT, undefined, { ref: false })])) !== 0)
        throw new Error(`${to.name} did not get the whole file. ${complaint()}`);
      const [there, here] = [sender.stdout, said().slice("listening\n".length)].map((line) => JSON.parse(line) as Transfer);
      if (there === undefined || here?.sha256 !== there.sha256) {
        throw new Error(`The file changed on its way: ${there?.sha256} became ${here?.sha256}.`);
      }
      return here;
    },
  };
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = "";
  stream?.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  return () => text;
}
