import { open } from "node:fs/promises";

/** Whole lines from the last `maxBytes` of a file; nothing when it cannot be read: a log is beside the point of what somebody wanted to know. */
export async function endOfFile(path: string, maxBytes: number): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      const start = Math.max(0, size - maxBytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
      const text = buffer.toString("utf8", 0, bytesRead);
      // What the beginning was cut from is no line.
      return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
    } finally {
      await file.close();
    }
  } catch {
    return "";
  }
}
