import type { Capture } from "../lab/lab.ts";
import { mustRun } from "../lab/run-command.ts";

export interface CapturedDatagram {
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  /** UDP payload, bytes. */
  readonly length: number;
}

/** Ends the capture and returns its UDP datagrams, in order. */
export async function capturedDatagrams(capture: Capture): Promise<readonly CapturedDatagram[]> {
  await capture.stop();
  const text = await mustRun("tcpdump", ["-n", "-t", "-r", capture.file, "udp"]);
  return [...text.matchAll(/^IP6? ([\da-f.:]+)\.(\d+) > ([\da-f.:]+)\.(\d+): UDP, length (\d+)$/gm)].map(
    ([, from = "", fromPort, to = "", toPort, length]) => ({
      from,
      fromPort: Number(fromPort),
      to,
      toPort: Number(toPort),
      length: Number(length),
    }),
  );
}
