import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { residentOf } from "../bench/resident.ts";
import type { MeshAgent } from "../e2e/lab/agent.ts";
import { statusOf } from "../e2e/lab/status-of.ts";
import type { Sample } from "./linear-fit.ts";

/** Milliseconds between two looks. */
const INTERVAL = 2_000;

/** What was seen of one process. */
export interface AgentLife {
  readonly pid: number;
  /** Megabytes. */
  readonly resident: Sample[];
  readonly descriptors: Sample[];
  /** Milliseconds until the agent answered a status request: what its event loop was behind, and the answer itself. */
  readonly answers: Sample[];
}

/** Looks at an agent until it is stopped; a new process of the agent begins a new life. */
export class AgentWatch {
  readonly lives: AgentLife[] = [];
  /** When each session of each peer was made, by peer: as many as there were handshakes. */
  readonly sessions = new Map<string, Set<number>>();
  readonly #agent: MeshAgent;
  readonly #network: string;
  #done: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(agent: MeshAgent, network: string) {
    this.#agent = agent;
    this.#network = network;
  }

  get name(): string {
    return this.#agent.name;
  }

  start(): void {
    this.#done = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #watch(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#look();
      await sleep(INTERVAL, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    const pid = this.#agent.pid();
    if (pid === undefined) return;
    let life = this.lives.at(-1);
    if (life?.pid !== pid) {
      life = { pid, resident: [], descriptors: [], answers: [] };
      this.lives.push(life);
    }
    try {
      const at = performance.now();
      const status = await statusOf(this.#agent, this.#network);
      life.answers.push({ at, value: performance.now() - at });
      life.resident.push({ at, value: residentOf(pid) });
      life.descriptors.push({ at, value: readdirSync(`/proc/${pid}/fd`).length });
      for (const { name, sessionAt } of status.peers) {
        const sessions = this.sessions.get(name) ?? new Set();
        if (sessionAt !== undefined) sessions.add(sessionAt);
        this.sessions.set(name, sessions);
      }
    } catch {
      // It has been killed, or does not serve yet.
    }
  }
}
