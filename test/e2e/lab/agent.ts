import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { InviteView, PeerView, RoutesView, StatusView } from "@mesh/core/api";
import { residentOf } from "../../bench/resident.ts";
import type { Lab, LabHost } from "./lab.ts";
import type { CommandResult } from "./run-command.ts";

const ROOT: string = join(import.meta.dirname, "../../..");
/** What the agent's process shows as its program. */
const AGENT_ENTRY = "packages/agent/src/main.ts";
/** Milliseconds for one command of the command line. A start has 30 s by itself, and a slow machine doubles it. */
const COMMAND_TIMEOUT = 60_000;

export interface AgentOptions {
  /** What the node is called in the mesh. */
  readonly name: string;
  /** What MESH_STATE says: all of its networks, sockets and logs are below. */
  readonly stateDir: string;
}

export interface MeshCallOptions {
  readonly input?: string;
  /** Adds `--json`. */
  readonly json?: boolean;
}

/** A node of the mesh on a host of the lab, used as a person does: by the command line. Its leavings are kept when the test fails. */
export function meshAgent(lab: Lab, hostName: string, options: AgentOptions): MeshAgent {
  const agent = new MeshAgent(lab.host(hostName), options);
  lab.onCollect((directory) => agent.collect(directory));
  return agent;
}

export class MeshAgent {
  readonly host: LabHost;
  readonly name: string;
  readonly stateDir: string;

  constructor(host: LabHost, { name, stateDir }: AgentOptions) {
    this.host = host;
    this.name = name;
    this.stateDir = stateDir;
  }

  /** Runs `mesh` as typed. A code other than 0 is a result like any other. */
  async mesh(args: readonly string[], { input, json }: MeshCallOptions = {}): Promise<CommandResult> {
    await mkdir(this.stateDir, { recursive: true });
    const words = json === true ? [...args, "--json"] : args;
    return await this.host.run(join(ROOT, "mesh"), words, {
      timeout: COMMAND_TIMEOUT,
      env: this.#environment(),
      cwd: this.stateDir,
      ...(input === undefined ? {} : { input }),
    });
  }

  async init(network: string, flags: readonly string[] = []): Promise<void> {
    await this.#must(["init", network, "--name", this.name, ...flags]);
  }

  /** The line to hand over. */
  async invite(flags: readonly string[] = []): Promise<string> {
    const view = await this.#view<InviteView>(["invite", ...flags]);
    return view.invite;
  }

  /** Joins as a person does, with the invite as an argument. */
  async join(invite: string, flags: readonly string[] = []): Promise<void> {
    await this.#must(["join", invite, "--name", this.name, ...flags]);
  }

  async up(flags: readonly string[] = []): Promise<void> {
    await this.#must(["up", ...flags]);
  }

  async down(): Promise<void> {
    await this.#must(["down"]);
  }

  async status(): Promise<StatusView> {
    return await this.#view<StatusView>(["status"]);
  }

  async routes(): Promise<RoutesView> {
    return await this.#view<RoutesView>(["routes"]);
  }

  async peers(): Promise<readonly PeerView[]> {
    return (await this.status()).peers;
  }

  /** Of the agent that serves; undefined when none runs. */
  pid(): number | undefined {
    return this.host.pids().find((pid) => commandLine(pid).some((word) => word.endsWith(AGENT_ENTRY)));
  }

  /** Megabytes resident of its agent. */
  resident(): number {
    const pid = this.pid();
    return pid === undefined ? 0 : residentOf(pid);
  }

  /** As a crash or a power cut: no goodbye, nothing undone. Returns when the process is gone. */
  async kill9(): Promise<void> {
    const pid = this.pid();
    if (pid === undefined) throw new Error(`no agent of ${this.name} is running`);
    process.kill(pid, "SIGKILL");
    while (this.pid() !== undefined) await sleep(10);
  }

  /** Writes what this node says of itself. Its logs are in the lab's directory and kept with that. */
  async collect(directory: string): Promise<void> {
    for (const command of ["status", "routes"]) {
      const { code, stdout, stderr } = await this.mesh([command]);
      await writeFile(join(directory, `${this.name}.${command}.txt`), `${stdout}${stderr}\nexit code ${code}\n`);
    }
  }

  /** Exit code 3 (degraded) is an answer too. */
  async #view<View>(args: readonly string[]): Promise<View> {
    const result = await this.mesh(args, { json: true });
    if (result.code !== 0 && result.code !== 3) throw failed(this.name, args, result);
    return JSON.parse(result.stdout) as View;
  }

  async #must(args: readonly string[]): Promise<void> {
    const result = await this.mesh(args);
    if (result.code !== 0) throw failed(this.name, args, result);
  }

  /** A shell's, not the test runner's: NODE_OPTIONS and NODE_TEST_CONTEXT would change what the agent does. */
  #environment(): NodeJS.ProcessEnv {
    const { PATH, HOME, XDG_CACHE_HOME } = process.env;
    return { PATH, HOME, XDG_CACHE_HOME, LANG: "C.UTF-8", MESH_STATE: this.stateDir };
  }
}

/** Asks again until the answer is `true`; throws with what was wanted and the last answer when the time is over. */
export async function until(what: string, ask: () => Promise<true | string>, timeout = 15_000): Promise<void> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const answer = await ask();
    if (answer === true) return;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeout / 1_000} s; last: ${answer}`);
    await sleep(100);
  }
}

/** Everybody hears everybody: each of them shows all others alive. */
export async function untilAllAlive(agents: readonly MeshAgent[], timeout?: number): Promise<void> {
  const ask = async (): Promise<true | string> => {
    for (const agent of agents) {
      const alive = (await agent.peers()).filter(({ state }) => state === "alive").map(({ name }) => name);
      const missing = agents.filter(({ name }) => name !== agent.name && !alive.includes(name)).map(({ name }) => name);
      if (missing.length > 0) return `${agent.name} does not hear ${missing.join(", ")}`;
    }
    return true;
  };
  await until("all nodes hear each other", ask, timeout);
}

function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

function failed(name: string, args: readonly string[], { code, stdout, stderr }: CommandResult): Error {
  return new Error(`${name}$ mesh ${args.join(" ")} ended with ${code ?? "a signal"}: ${(stderr || stdout).trim()}`);
}
