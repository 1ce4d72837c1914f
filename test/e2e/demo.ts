/**
 * Three machines on three networks become one mesh: what a first-time user sees. Real agents, each in a network namespace
 * of its own, used by the command line only. Exit code 0 only when every step worked; nothing is left on the host.
 */
import { randomFillSync } from "node:crypto";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { prepareHost } from "../prepare-host.ts";
import { formatSeconds, paint } from "../run-files.ts";
import type { MeshAgent } from "./lab/agent.ts";
import { meshAgent, until, untilAllAlive } from "./lab/agent.ts";
import type { Lab } from "./lab/lab.ts";
import { labRefusal, openLab } from "./lab/lab.ts";
import { exitOf } from "./lab/run-command.ts";
import type { Transfer } from "./lab/send-file.ts";
import { routedCore } from "./lab/topology.ts";

const HOSTS = ["laptop-a", "laptop-b", "laptop-c"] as const;
const FILE_BYTES = 64 * 1_048_576;
const FILE_PORT = 5_001;
/** Milliseconds for the others to notice that a node has left. */
const NOTICE_TIMEOUT = 30_000;

await main();

async function main(): Promise<void> {
  const startedAt = performance.now();
  const refusal = demoRefusal();
  if (refusal !== undefined) {
    console.error(refusal);
    process.exitCode = 1;
    return;
  }
  const missing = await prepareHost(["engine", "network", "ping"]);
  if (missing.length > 0) {
    console.error(`The demo cannot run without ${missing.map(({ command }) => command).join(", ")}.`);
    process.exitCode = 1;
    return;
  }
  const lab = await openLab(routedCore(HOSTS), { name: "demo" });
  sayWhenInterrupted();
  try {
    await show(lab);
    await lab.close();
    console.log(
      `\n${paint("green", "Every step worked.")} No namespace, link or process is left on this host. Total time: ${formatSeconds(performance.now() - startedAt)}`,
    );
  } catch (error) {
    process.exitCode = 1;
    console.log(`\n${paint("red", "This step failed:")} ${error instanceof Error ? error.message : String(error)}`);
    console.log(`Logs and the state of each machine are kept in ${await lab.collect()}`);
    await lab.close();
  }
}

/** What the demo needs and does not have, as sentences; undefined when it can start. */
function demoRefusal(): string | undefined {
  if (process.platform === "linux" && process.getuid?.() !== 0) {
    return "The demo makes three machines out of network namespaces, and only root can do that: sudo npx -y pnpm@10.34.9 demo";
  }
  if (!existsSync("/dev/net/tun")) return "The demo needs /dev/net/tun: modprobe tun, or start the container with --device /dev/net/tun.";
  // A missing `ip` is installed.
  return process.platform === "linux" ? undefined : `The demo cannot run here: ${labRefusal()}.`;
}

/** The lab's own handlers came first and have removed everything. */
function sayWhenInterrupted(): void {
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    process.once(signal, () => {
      console.log("\nInterrupted. Everything that was started has been removed.");
      process.exit(code);
    });
  }
}

async function show(lab: Lab): Promise<void> {
  const agents = HOSTS.map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
  const [first, ...others] = agents;
  const last = agents.at(-1);
  if (first === undefined || last === undefined) throw new Error("the demo has no machines");

  heading("Three machines, each on a network of its own, with a router in between");
  for (const { host, name } of agents) console.log(`${name}  ${host.address4}  ${host.address6}`);

  heading("laptop-a makes a network, the others join it");
  await type(first, ["init", "demo", "--name", first.name]);
  for (const agent of others) await invite(first, agent);
  const joinedAt = performance.now();
  await untilAllAlive(agents);
  console.log(paint("gray", `All of them hear each other ${formatSeconds(performance.now() - joinedAt)} after the last one joined.`));

  heading("What each of them sees");
  for (const agent of agents) {
    await type(agent, ["status"]);
    await type(agent, ["routes"]);
  }

  heading("Everyone pings everyone through the tunnel");
  await pingAll(agents);

  heading("A file crosses the mesh over TCP");
  await moveFile(lab, first, last);

  heading(`${last.name} goes`);
  await type(last, ["down"]);
  const rest = agents.filter((agent) => agent !== last);
  const downAt = performance.now();
  for (const agent of rest) await untilGone(agent, last.name);
  console.log(paint("gray", `The others noticed within ${formatSeconds(performance.now() - downAt)}.`));
  for (const agent of rest) await type(agent, ["status"]);
  for (const agent of rest) await type(agent, ["down"]);
}

function heading(text: string): void {
  console.log(`\n${paint("bold", `── ${text}`)}\n`);
}

/** Shows the command as typed and what it says. `shown` stands for arguments that are too long to read. */
async function type(agent: MeshAgent, args: readonly string[], shown: readonly string[] = args): Promise<string> {
  prompt(agent, ["mesh", ...shown]);
  const { code, stdout, stderr } = await agent.mesh(args);
  const output = `${stderr}${stdout}`.trimEnd();
  if (output !== "") console.log(`${output}\n`);
  // 3 says that something is degraded, as it is while a node is away.
  if (code !== 0 && code !== 3) throw new Error(`mesh ${shown.join(" ")} on ${agent.name} ended with exit code ${code ?? "none"}.`);
  return stdout;
}

function prompt(agent: MeshAgent, words: readonly string[]): void {
  console.log(`${paint("green", `${agent.name}$`)} ${paint("bold", words.join(" "))}`);
}

async function invite(from: MeshAgent, to: MeshAgent): Promise<void> {
  const line = (await type(from, ["invite"])).trim();
  await type(to, ["join", line, "--name", to.name], ["join", `${line.slice(0, 24)}…`, "--name", to.name]);
}

async function pingAll(agents: readonly MeshAgent[]): Promise<void> {
  for (const from of agents) {
    for (const to of (await from.peers()).filter(({ name }) => name !== from.name)) {
      const times = await Promise.all([to.address4, to.address6].map((address) => ping(from, address)));
      const [time4, time6] = times.map((time) => `${time.toFixed(2)} ms`);
      console.log(`${from.name} → ${to.name}  ${to.address4} ${time4}  ${to.address6} ${time6}`);
    }
  }
}

/** Average round trip in milliseconds. Throws when not all were answered. */
async function ping(from: MeshAgent, address: string): Promise<number> {
  const { code, stdout } = await from.host.run("ping", ["-n", "-q", "-c", "3", "-i", "0.2", "-W", "2", address]);
  const [, average] = /= [\d.]+\/([\d.]+)\//.exec(stdout) ?? [];
  if (code !== 0 || average === undefined || !stdout.includes(" 3 received")) {
    throw new Error(`${from.name} cannot ping ${address}: ${stdout.trim().split("\n").slice(-2).join(" ")}`);
  }
  return Number(average);
}

async function moveFile(lab: Lab, from: MeshAgent, to: MeshAgent): Promise<void> {
  const file = join(lab.directory, "file");
  await writeFile(file, randomFillSync(Buffer.alloc(FILE_BYTES)));
  const { address4 } = (await to.status()).self;
  if (address4 === undefined) throw new Error(`${to.name} has no IPv4 address in the mesh.`);
  const script = join(import.meta.dirname, "lab/send-file.ts");
  const receiver = to.host.spawn(process.execPath, [script, "receive", address4, String(FILE_PORT)]);
  let said = "";
  let complaint = "";
  receiver.stdout?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  receiver.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  const ended = exitOf(receiver);
  await until(`${to.name} listens`, async () => said.startsWith("listening\n") || `not yet ${complaint}`);
  const sender = await from.host.run(process.execPath, [script, "send", address4, String(FILE_PORT), file], { timeout: 120_000 });
  if (sender.code !== 0) throw new Error(`The file could not be sent: ${sender.stderr.trim()}`);
  if ((await Promise.race([ended, sleep(10_000, undefined, { ref: false })])) !== 0)
    throw new Error(`${to.name} did not get the whole file. ${complaint}`);
  const sent = JSON.parse(sender.stdout) as Transfer;
  const received = JSON.parse(said.slice("listening\n".length)) as Transfer;
  if (sent.sha256 !== received.sha256) throw new Error(`The file changed on its way: ${sent.sha256} became ${received.sha256}.`);
  const rate = (received.bytes * 8) / received.ms / 1_000;
  console.log(`${from.name} → ${to.name}  ${FILE_BYTES / 1_048_576} MiB in ${formatSeconds(received.ms)}, ${rate.toFixed(0)} Mbit/s`);
  console.log(`SHA-256 on both sides: ${received.sha256}`);
}

async function untilGone(agent: MeshAgent, name: string): Promise<void> {
  const ask = async (): Promise<true | string> => {
    const state = (await agent.peers()).find((peer) => peer.name === name)?.state ?? "gone";
    return state !== "alive" || `${agent.name} still shows it as ${state}`;
  };
  await until(`${agent.name} notices that ${name} is down`, ask, NOTICE_TIMEOUT);
}
