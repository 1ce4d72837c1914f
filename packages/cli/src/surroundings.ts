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
  /** The host beyond the agent: what `service` and `report` touch. */
  readonly host: Host;
  /** Takes the arguments of this process out of what other users see of it. */
  readonly hideArguments: () => void;
}

export interface Output {
  readonly isTerminal: boolean;
  /** Lines of the terminal; undefined where there is none. */
  readonly rows?: number | undefined;
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

/** Places of the host, and its commands. */
export interface Host {
  /** Path of this command's own entry, for a service to call. */
  readonly command: string;
  /** Where the administrator's units are: /etc/systemd/system. */
  readonly unitDirectory: string;
  /** There when systemd runs the host (sd_booted(3)): /run/systemd/system. */
  readonly systemdMark: string;
  /** /proc */
  readonly proc: string;
  /** os-release(5) */
  readonly osRelease: string;
  /** Runs a command to its end; `code` is undefined when it could not be run, or took longer than 90 s. */
  run(command: string, args: readonly string[]): Promise<CommandOutcome>;
}

export interface CommandOutcome {
  readonly code: number | undefined;
  /** Standard output, and what it said on standard error. */
  readonly output: string;
}

export type EndSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

export async function sleep(clock: CommandClock, milliseconds: number): Promise<void> {
  await new Promise<void>((resolve) => clock.after(milliseconds, resolve));
}
