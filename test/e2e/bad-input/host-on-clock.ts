import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LaunchOrder } from "@mesh/core/config";
import { type MeshAgent, until } from "../lab/agent.ts";
import type { CommandResult } from "../lab/run-command.ts";

/** Milliseconds for one life of an agent. */
const LIFE = 120_000;

/** Starts an agent whose clock can be wrong; asked and stopped as any other. */
export class HostOnClock {
  readonly #agent: MeshAgent;
  readonly #file: string;
  #life: Promise<CommandResult> | undefined;

  constructor(agent: MeshAgent) {
    this.#agent = agent;
    this.#file = join(agent.host.labDirectory, `${agent.name}.clock`);
    this.step(0);
  }

  /** From now on the wall clock is wrong by so many milliseconds. */
  step(offset: number): void {
    writeFileSync(this.#file, String(offset));
  }

  /** Returns when it serves. */
  async start(order: Omit<LaunchOrder, "stateRoot">): Promise<void> {
    mkdirSync(this.#agent.stateDir, { recursive: true });
    const input = `${JSON.stringify({ ...order, stateRoot: this.#agent.stateDir } satisfies LaunchOrder)}\n`;
    let ended: CommandResult | undefined;
    this.#life = this.#agent.host.run(process.execPath, [join(import.meta.dirname, "agent-on-clock.ts"), this.#file], {
      input,
      timeout: LIFE,
    });
    void this.#life.then((result) => {
      ended = result;
    });
    await until(`${this.#agent.name} serves`, async () => {
      if (ended !== undefined) assert.fail(`it ended with ${ended.code}: ${ended.stderr}`);
      const { code, stderr } = await this.#agent.mesh(["status"]);
      return code === 0 || code === 3 || stderr;
    });
  }

  /** By `mesh down`; fails when the agent did not end well. */
  async stop(): Promise<void> {
    await this.#agent.down();
    const ended = await this.#life;
    assert.equal(ended?.code, 0, ended?.stderr);
  }
}
