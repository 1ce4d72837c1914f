/**
 * One member in a process of its own, for tests that stop, weigh or cut it off: `node member-process-fixture.ts <name> <ip>`.
 * It reads one JSON command a line and writes one JSON line for its address and for each event.
 */
import { createInterface } from "node:readline";
import { type Ip, type NodeId, parseIp } from "@mesh/core/ports";
import { openMember } from "./member-fixture.ts";
import { testRecord } from "./test-records-fixture.ts";

export type MemberCommand =
  | { readonly do: "connect"; readonly node: string; readonly ip: string; readonly port: number }
  | { readonly do: "say"; readonly record: string }
  /** So many records of 8 KiB, one each millisecond. */
  | { readonly do: "flood"; readonly records: number };

export type MemberLine =
  | { readonly type: "open"; readonly node: string; readonly port: number }
  | { readonly type: "link-up" | "link-down" }
  | { readonly type: "record"; readonly record: string; readonly via: "gossip" | "sync" }
  | { readonly type: "flooded" };

const FLOOD_RECORD_BYTES = 8_192;
/** Of a test record: behind its id and sequence. */
const NAME_AT = 40;

const [name = "member", ip = "127.0.0.1"] = process.argv.slice(2);
await main();

async function main(): Promise<void> {
  const member = await openMember(name, {
    ip: parseIp(ip) as Ip,
    onEvent: (event) => {
      if (event.type === "link-up" || event.type === "link-down") tell({ type: event.type });
      if (event.type === "records") for (const record of event.records) tell({ type: "record", record: nameOf(record), via: event.via });
    },
  });
  tell({ type: "open", node: member.node, port: member.endpoint.port });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as MemberCommand;
    if (command.do === "connect") member.control.connect(command.node as NodeId, [{ ip: parseIp(command.ip) as Ip, port: command.port }]);
    if (command.do === "say") member.say(testRecord(command.record));
    if (command.do === "flood") {
      for (let i = 0; i < command.records; i++) {
        member.control.publish(testRecord(`flood ${i}`, 1n, FLOOD_RECORD_BYTES));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      tell({ type: "flooded" });
    }
  }
  await member.control.close();
}

function tell(line: MemberLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** A test record repeats its name: this much of it has it whole. */
function nameOf(record: Uint8Array): string {
  return Buffer.from(record.subarray(NAME_AT, NAME_AT + 80)).toString("latin1");
}
