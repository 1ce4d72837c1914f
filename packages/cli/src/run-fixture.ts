import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StatusView } from "@mesh/core/api";
import { type ExitCode, run } from "./run.ts";
import type { CommandOutcome, EndSignal, Surroundings } from "./surroundings.ts";

export const NOW: number = Date.UTC(2026, 10, 23, 9, 30);

export const status: StatusView = {
  version: 1,
  network: { name: "lab", id: "n", prefix4: "10.77.0.0/16", prefix6: "fd4e::/48" },
  self: {
    name: "a",
    id: "11".repeat(32),
    number: 1,
    role: "admin",
    holdsRoot: false,
    address4: "10.77.1.1",
    address6: "fd4e::1",
    subnet4: "10.77.1.0/24",
    subnet6: "fd4e:0:0:1::/64",
    seenAs: [],
    startedAt: NOW,
  },
  tunnel: { device: "mesh0", mtu: 1420, udpPort: 51_820, backend: "native" },
  control: { listen: [], links: 0 },
  peers: [],
  health: [],
  counters: {},
};

/** What the pretended agent answers, by path. A function that ends the response itself returns undefined. */
type Answers = Readonly<Record<string, (body: string, response: ServerResponse) => unknown>>;

interface Ran {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds that were waited for. */
  readonly waits: readonly number[];
  readonly argumentsHidden: boolean;
}

/** A directory for networks, a pretended agent, and commands run as they are typed. */
export class CommandBench {
  readonly stateRoot: string = mkdtempSync(join(tmpdir(), "run-"));
  /** Commands of the host that were run, and what the next ones come to. */
  readonly hostCommands: string[] = [];
  hostOutcome: CommandOutcome = { code: 0, output: "" };
  /** What the running command does when it is asked to end. */
  endRequest: ((signal: EndSignal) => void) | undefined;
  #server: Server | undefined;

  makeNetwork(name = "lab"): string {
    mkdirSync(join(this.stateRoot, name), { recursive: true });
    writeFileSync(join(this.stateRoot, name, "node.state"), "");
    return join(this.stateRoot, name, "api.sock");
  }

  /** Pretends to be the agent of a new network; an answer that is an ErrorView has status 500. */
  async serve(answers: Answers): Promise<void> {
    const listening = createServer((request, response) => {
      let body = "";
      request.on("data", (text: Buffer) => {
        body += text.toString();
      });
      request.on("end", () => {
        const view = answers[request.url ?? ""]?.(body, response);
        if (view === undefined) return;
        response.statusCode = typeof view === "object" && view !== null && "error" in view ? 500 : 200;
        response.end(typeof view === "string" ? view : JSON.stringify(view));
      });
    });
    this.#server = listening;
    const socket = this.makeNetwork();
    await new Promise<void>((resolve) => listening.listen(socket, resolve));
  }

  async stopServing(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.closeAllConnections();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  }

  /** An agent that serves one status, says ready, and notes orders and signals; for `clean`, one step and its end. */
  writeAgent(): void {
    const script = `
import { appendFileSync, mkdirSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
const here = process.env.HERE;
appendFileSync(here + "/pids", process.pid + "\\n");
const order = readFileSync(0, "utf8");
appendFileSync(here + "/orders", order);
const network = JSON.parse(order).network ?? "joined";
mkdirSync(here + "/" + network, { recursive: true });
appendFileSync(here + "/" + network + "/node.state", "");
const socket = here + "/" + network + "/api.sock";
const status = ${JSON.stringify(status)};
status.network.name = network;
const say = (progress) => writeSync(3, JSON.stringify(progress) + "\\n");
process.on("SIGTERM", () => { appendFileSync(here + "/signals", "SIGTERM\\n"); process.exit(0); });
process.on("SIGINT", () => { appendFileSync(here + "/signals", "SIGINT\\n"); process.exit(5); });
if (JSON.parse(order).command === "clean") {
  say({ type: "step", text: "removed mesh0", ms: 30 });
  process.exit(0);
}
say({ type: "step", text: "made a key", ms: 30 });
createServer((request, response) => response.end(JSON.stringify(status))).listen(socket, () => say({ type: "ready", network, socket, ms: 60 }));
`;
    writeFileSync(join(this.stateRoot, "agent.mjs"), script);
  }

  orders(): readonly unknown[] {
    return readFileSync(join(this.stateRoot, "orders"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  async mesh(line: string, changed: Partial<Surroundings> = {}, onOutput: (stdout: string) => void = () => {}): Promise<Ran> {
    const waits: number[] = [];
    let [stdout, stderr, argumentsHidden] = ["", "", false];
    const surroundings: Surroundings = {
      env: { MESH_STATE: this.stateRoot, HERE: this.stateRoot },
      directory: this.stateRoot,
      stdout: {
        isTerminal: false,
        write: (text) => {
          stdout += text;
          onOutput(stdout);
        },
      },
      stderr: {
        isTerminal: false,
        write: (text) => {
          stderr += text;
        },
      },
      clock: {
        wallNow: () => NOW,
        after: (milliseconds, fn) => {
          waits.push(milliseconds);
          const waiting = milliseconds < 2_000 ? setImmediate(fn) : undefined;
          return () => clearImmediate(waiting);
        },
      },
      agent: { runtime: process.execPath, entry: join(this.stateRoot, "agent.mjs") },
      host: {
        command: join(this.stateRoot, "agent.mjs"),
        unitDirectory: join(this.stateRoot, "units"),
        systemdMark: this.stateRoot,
        proc: "/proc",
        osRelease: "/etc/os-release",
        run: async (command, args) => {
          this.hostCommands.push([command, ...args].join(" "));
          return this.hostOutcome;
        },
      },
      openInput: () => assert.fail("reads no input"),
      onEndRequest: (fn) => {
        this.endRequest = fn;
        return () => {
          this.endRequest = undefined;
        };
      },
      hideArguments: () => {
        argumentsHidden = true;
      },
      ...changed,
    };
    const code = await run(line.split(" "), surroundings);
    return { code, stdout, stderr, waits, argumentsHidden };
  }

  async close(): Promise<void> {
    await this.stopServing();
    const pids = join(this.stateRoot, "pids");
    if (existsSync(pids)) for (const pid of readFileSync(pids, "utf8").trim().split("\n")) endProcess(Number(pid));
    rmSync(this.stateRoot, { recursive: true });
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}
