/** All that a command is given of the process and host it runs in; tests give their own. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute; what `--state` is relative to. */
  readonly directory: string;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly clock: CommandClock;
  readonly agent: AgentProgram;
  /** Standard input; opened at the first call. */
  readonly openInput: () => Input;
  /** Calls `fn` at each request to end this process, which then no longer ends by itself. Returns a function that undoes it. */
  readonly onEndRequest: (fn: (signal: EndSignal) => void) => () => void;
  /** Takes the arguments of this process out of what other users see of it. */
  readonly hideArguments: () => void;
}

export interface Output {
  readonly isTerminal: boolean;
  write(text: string): void;
}

export interface Input extends AsyncIterable<Uint8Array | string> {
  readonly isTerminal: boolean;
}

export interface CommandClock {
  /** Milliseconds since 1970. */
  wallNow(): number;
  /** Calls `fn` once after so many milliseconds. Returns a function that cancels. */
  after(milliseconds: number, fn: () => void): () => void;
}

/** How the agent's process is started. */
export interface AgentProgram {
  /** Path of the runtime. */
  readonly runtime: string;
  /** Path of the agent's entry. */
  readonly entry: string;
}

export type EndSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

export async function sleep(clock: CommandClock, milliseconds: number): Promise<void> {
  await new Promise<void>((resolve) => clock.after(milliseconds, resolve));
}
