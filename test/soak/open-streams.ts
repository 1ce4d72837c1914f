import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { MeshAgent } from "../e2e/lab/agent.ts";
import { statusOf } from "../e2e/lab/status-of.ts";
import type { StreamEnd } from "./stream.ts";

/** One TCP connection, as both of its ends saw it. */
export interface StreamReport {
  readonly name: string;
  readonly sent: StreamEnd;
  /** undefined: its end never came. */
  readonly received: StreamEnd | undefined;
}

export interface Streams {
  /** Ends them by their senders and waits until all has arrived, as long as TCP may take. */
  end(): Promise<readonly StreamReport[]>;
}

const PORT = 7_000;
const PROGRAM: string = join(import.meta.dirname, "stream.ts");
/** Milliseconds for the last bytes and the FIN: a retransmission may be due only after the longest back-off of TCP, 120 s. */
const END_TIMEOUT = 150_000;

/** Each pattern between pairs of agents, through their tunnels by IPv4. Agent n sends to the next, and the first also to the last. */
export async function openStreams(agents: readonly MeshAgent[], network: string): Promise<Streams> {
  const received = new Map<string, StreamEnd>();
  const receivers: ChildProcess[] = [];
  for (const agent of agents) receivers.push(await openReceiver(agent, (end) => received.set(end.name, end)));
  const senders: { readonly name: string; readonly child: ChildProcess; readonly end: Promise<StreamEnd> }[] = [];
  for (const { from, to, pattern } of plan(agents)) {
    const name = `${from.name} → ${to.name}, ${pattern}`.replace("→", "to");
    const { address4 = "" } = (await statusOf(to, network)).self;
    const child = from.host.spawn(process.execPath, [PROGRAM, "send", address4, String(PORT), name, pattern]);
    senders.push({ name, child, end: lastLine(child, name) });
  }
  return {
    end: async () => {
      for (const { child } of senders) child.kill("SIGTERM");
      const ends = await Promise.all(senders.map(({ name, end }) => Promise.race([end, tooLate(name)])));
      // The receivers print a moment after the senders saw them close.
      await sleep(500);
      for (const receiver of receivers) receiver.kill("SIGTERM");
      return ends.map((sent) => ({ name: sent.name, sent, received: received.get(sent.name) }));
    },
  };
}

interface Planned {
  readonly from: MeshAgent;
  readonly to: MeshAgent;
  readonly pattern: string;
}

function plan(agents: readonly MeshAgent[]): readonly Planned[] {
  const around = agents.flatMap((from, n): readonly Planned[] => {
    const to = agents[(n + 1) % agents.length] ?? from;
    return ["steady", "bursts", "idle"].map((pattern) => ({ from, to, pattern }));
  });
  const [first, last] = [agents[0], agents.at(-1)];
  return first === undefined || last === undefined ? around : [...around, { from: first, to: last, pattern: "steady" }];
}

async function openReceiver(agent: MeshAgent, onEnd: (end: StreamEnd) => void): Promise<ChildProcess> {
  const child = agent.host.spawn(process.execPath, [PROGRAM, "receive", String(PORT)]);
  if (child.stdout === null) throw new Error("no output to read");
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  lines.on("line", (line) => onEnd(JSON.parse(line) as StreamEnd));
  return child;
}

async function lastLine(child: ChildProcess, name: string): Promise<StreamEnd> {
  if (child.stdout === null) throw new Error("no output to read");
  let last: StreamEnd = { name, bytes: 0, ending: "its sender died" };
  for await (const line of createInterface({ input: child.stdout })) last = JSON.parse(line) as StreamEnd;
  return last;
}

async function tooLate(name: string): Promise<StreamEnd> {
  await sleep(END_TIMEOUT, undefined, { ref: false });
  return { name, bytes: 0, ending: `not ended within ${END_TIMEOUT / 1_000} s` };
}
