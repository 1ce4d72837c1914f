import { MeshError } from "@mesh/core/errors";
import type { Input } from "./surroundings.ts";

/** An invite is a few hundred bytes; the agent takes an order of 64 KiB. */
const MAX_INVITE_BYTES = 16_384;

/** The first line with something in it. Reads no further, so that a person need not end the input. */
export async function readInvite(input: Input): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of input) {
    text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const line = firstLine(text, false);
    if (line !== undefined) return line;
    if (text.length > MAX_INVITE_BYTES) break;
  }
  const line = firstLine(text, true);
  if (line === undefined || line.length > MAX_INVITE_BYTES) {
    const reason = line === undefined ? "there was no invite on standard input" : "it is too long";
    throw new MeshError(
      "invite/unreadable",
      `The invite could not be read: ${reason}.`,
      { reason },
      { hint: "Make one with `mesh invite` on a node that is in the network." },
    );
  }
  return line;
}

function firstLine(text: string, complete: boolean): string | undefined {
  const lines = text.split("\n");
  if (!complete) lines.pop();
  return lines.map((line) => line.trim()).find((line) => line !== "");
}
