import type { ErrorView } from "@mesh/core/api";
import { agentFiles } from "@mesh/core/config";
import { errorFacts, MeshError } from "@mesh/core/errors";
import { type Command, parseArguments, type StartCommand, type Target, wantsJson } from "./arguments.ts";
import type { Agent } from "./client.ts";
import { paintFor, wantsColour } from "./render/paint.ts";
import type { Style } from "./render/style.ts";
import type { EndSignal, Output, Surroundings } from "./surroundings.ts";

/** 0 fine, 1 error, 2 usage, 3 degraded, 4 agent not running. Scripts rely on them. */
export type ExitCode = 0 | 1 | 2 | 3 | 4;

/** Runs one command line; never throws. Modules are loaded by the command that needs them: `mesh status` is to feel instant. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  try {
    return await runCommand(parseArguments(args, surroundings), surroundings);
  } catch (error) {
    return await report(error, wantsJson(args), surroundings);
  }
}

async function runCommand(command: Command, surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, stderr, clock } = surroundings;
  switch (command.name) {
    case "help": {
      const { renderHelp } = await import("./render/help.ts");
      stdout.write(renderHelp(command.topic, paintOf(stdout, surroundings)));
      return 0;
    }
    case "version": {
      const { VERSION } = await import("./version.ts");
      stdout.write(`mesh ${VERSION}\n`);
      return 0;
    }
    case "init":
    case "join":
    case "up":
      return await runStart(command, surroundings);
    case "leave":
      return await runLeave(command, surroundings);
    case "clean":
      return await runClean(command, surroundings);
    case "service":
      return await runService(command, surroundings);
    case "report":
      return await runReport(command, surroundings);
    case "completion": {
      const { renderCompletion } = await import("./render/completion.ts");
      const script = renderCompletion(command.shell);
      print({ version: 1, shell: command.shell, script }, command.json ? undefined : script, stdout);
      return 0;
    }
    case "status": {
      if (command.watch) return await runWatch(command, surroundings);
      const [{ fetchStatus }, { renderStatus }] = await Promise.all([import("./commands/status.ts"), import("./render/status.ts")]);
      const view = await fetchStatus(await agentOf(command));
      print(view, command.json ? undefined : renderStatus(view, styleOf(stdout, surroundings)), stdout);
      return view.health.some(({ level }) => level === "error") ? 3 : 0;
    }
    case "peers": {
      const [{ fetchPeers }, { renderPeers }] = await Promise.all([import("./commands/peers.ts"), import("./render/peers.ts")]);
      const view = await fetchPeers(await agentOf(command));
      print(view, command.json ? undefined : renderPeers(view, styleOf(stdout, surroundings)), stdout);
      return 0;
    }
    case "routes": {
      const [{ fetchRoutes }, { renderRoutes }] = await Promise.all([import("./commands/routes.ts"), import("./render/routes.ts")]);
      const view = await fetchRoutes(await agentOf(command));
      print(view, command.json ? undefined : renderRoutes(view, styleOf(stdout, surroundings)), stdout);
      return 0;
    }
    case "invite": {
      const [{ makeInvite }, { renderInviteNotes }] = await Promise.all([import("./commands/invite.ts"), import("./render/invite.ts")]);
      const { uses, ttlSeconds } = command;
      const request = { ...(uses === undefined ? {} : { uses }), ...(ttlSeconds === undefined ? {} : { ttlSeconds }) };
      const view = await makeInvite(request, await agentOf(command));
      print(view, command.json ? undefined : `${view.invite}\n`, stdout);
      if (!command.json) stderr.write(renderInviteNotes(view, styleOf(stderr, surroundings)));
      return 0;
    }
    case "ping": {
      const [{ ping }, { renderPing, renderPingSummary }] = await Promise.all([import("./commands/ping.ts"), import("./render/ping.ts")]);
      const style = styleOf(stdout, surroundings);
      const { count, interval, untilDirect } = command;
      const options = { agent: await agentOf(command), clock, count, interval, untilDirect };
      const summary = await ping(command.node, options, (view) => {
        if (!command.json) stdout.write(renderPing(view, style));
      });
      print(summary, command.json ? undefined : renderPingSummary(summary, untilDirect), stdout);
      if (untilDirect && summary.direct === undefined) return 3;
      return summary.answered === 0 || summary.pings.some(({ throughTunnel }) => throughTunnel === false) ? 3 : 0;
    }
    case "why": {
      const [{ fetchWhy }, { renderWhy }] = await Promise.all([import("./commands/why.ts"), import("./render/why.ts")]);
      const view = await fetchWhy(command.node, await agentOf(command));
      print(view, command.json ? undefined : renderWhy(view, styleOf(stdout, surroundings)), stdout);
      return view.path.kind === "none" ? 3 : 0;
    }
    case "netcheck": {
      const [{ fetchNetcheck }, { renderNetcheck }] = await Promise.all([import("./commands/netcheck.ts"), import("./render/netcheck.ts")]);
      const view = await fetchNetcheck(await agentOf(command));
      print(view, command.json ? undefined : renderNetcheck(view, styleOf(stdout, surroundings)), stdout);
      return view.udp.state === "silent" || view.health.some(({ level }) => level === "error") ? 3 : 0;
    }
    case "down": {
      const { stopAgent } = await import("./commands/down.ts");
      const agent = await agentOf(command);
      await stopAgent(agent, clock);
      print(
        { version: 1, network: agent.network, stopped: true },
        command.json ? undefined : `The agent of ${agent.network} is stopped.\n`,
        stdout,
      );
      return 0;
    }
  }
}

type CommandOf<Name extends Command["name"]> = Extract<Command, { readonly name: Name }>;

async function runLeave(command: CommandOf<"leave">, surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, stderr, clock } = surroundings;
  const [{ isConfirmed, leave }, { renderLeft, renderQuestion }] = await Promise.all([
    import("./commands/leave.ts"),
    import("./render/leave.ts"),
  ]);
  const agent = await agentOf(command);
  if (!command.yes) {
    const input = surroundings.openInput();
    if (!input.isTerminal) {
      const reason = "leave deletes this node's keys for good, and there is no terminal to ask on.";
      throw new MeshError("usage/invalid", reason, { reason }, { hint: "Add --yes." });
    }
    stderr.write(renderQuestion(agent.network));
    if (!(await isConfirmed(input))) {
      stderr.write("Nothing was done.\n");
      return 1;
    }
  }
  const view = await leave({ agent, clock, force: command.force });
  print({ version: 1, ...view }, command.json ? undefined : renderLeft(view), stdout);
  return 0;
}

async function runClean(command: CommandOf<"clean">, surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, stderr, clock, env, agent: program } = surroundings;
  const [{ cleanHost }, { renderCleaned, renderStep }] = await Promise.all([import("./commands/clean.ts"), import("./render/start.ts")]);
  const { network, socket } = await agentOf(command);
  const { stateRoot, logLevel } = command;
  const order = { command: "clean", stateRoot, network, ...(logLevel === undefined ? {} : { logLevel }) } as const;
  const style = styleOf(stderr, surroundings);
  const onStep = (step: Parameters<typeof renderStep>[0]): void => {
    if (!command.json) stderr.write(renderStep(step, style));
  };
  const interruption = new AbortController();
  const stopListening = surroundings.onEndRequest(() => interruption.abort());
  try {
    const view = await cleanHost(order, socket, { program, env, clock, foreground: false, interrupted: interruption.signal, onStep });
    print(view, command.json ? undefined : renderCleaned(view), stdout);
    return 0;
  } finally {
    stopListening();
  }
}

async function runService(command: CommandOf<"service">, { stdout, host, agent: program }: Surroundings): Promise<ExitCode> {
  const [{ installService, removeService }, { renderService }] = await Promise.all([
    import("./commands/service.ts"),
    import("./render/service.ts"),
  ]);
  const { network, socket } = await agentOf(command);
  const act = command.action === "install" ? installService : removeService;
  const view = await act({ network, stateRoot: command.stateRoot, socket, host, program });
  print(view, command.json ? undefined : renderService(view), stdout);
  return 0;
}

async function runReport(command: CommandOf<"report">, surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, host, clock, directory } = surroundings;
  const { writeReport } = await import("./commands/report.ts");
  const agent = await agentOf(command);
  const { network } = agent;
  const now = clock.wallNow();
  const file = command.file ?? `${directory}/mesh-report-${network}-${new Date(now).toISOString().replace(/[-:]|\..*/g, "")}.txt`;
  const files = agentFiles(command.stateRoot, network);
  const view = await writeReport({ network, agent, files, host, now, redact: command.redact, file });
  const kept = view.redacted
    ? "Public addresses and names are replaced."
    : "It holds addresses and names; mesh report --redact replaces them.";
  print(view, command.json ? undefined : `${view.file} is written. No keys are in it. ${kept}\nRead it before you send it.\n`, stdout);
  return 0;
}

async function runWatch(command: CommandOf<"status">, surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, clock } = surroundings;
  const [{ watchEvents, watchStatus }, { renderEvents, renderScreen }] = await Promise.all([
    import("./commands/watch.ts"),
    import("./render/watch.ts"),
  ]);
  const interruption = new AbortController();
  const stopListening = surroundings.onEndRequest(() => interruption.abort());
  const options = { clock, interrupted: interruption.signal };
  try {
    const agent = await agentOf(command);
    if (command.json) {
      await watchEvents(agent, options, (events) => stdout.write(events.map((event) => `${JSON.stringify(event)}\n`).join("")));
    } else if (stdout.isTerminal) {
      await watchStatus(agent, options, (status) => stdout.write(renderScreen(status, stdout.rows, styleOf(stdout, surroundings))));
    } else {
      await watchEvents(agent, options, (events) => stdout.write(renderEvents(events, styleOf(stdout, surroundings))));
    }
    return 0;
  } finally {
    stopListening();
  }
}

async function runStart(command: StartCommand, surroundings: Surroundings): Promise<ExitCode> {
  const { order } = command;
  if (order.command !== "join") return await runOrder(command, surroundings);
  surroundings.hideArguments();
  if (order.invite !== "-") return await runOrder(command, surroundings);
  const { readInvite } = await import("./read-invite.ts");
  const input = surroundings.openInput();
  if (input.isTerminal) surroundings.stderr.write("Paste the invite and press Enter: ");
  return await runOrder({ ...command, order: { ...order, invite: await readInvite(input) } }, surroundings);
}

async function runOrder(command: StartCommand, surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, stderr, clock, env, agent: program } = surroundings;
  const [{ start }, { renderStarted, renderStep }] = await Promise.all([import("./commands/start.ts"), import("./render/start.ts")]);
  const order = command.name === "up" ? { ...command.order, network: await networkOf(command.order) } : command.order;
  const interruption = new AbortController();
  let onEnd: (signal: EndSignal) => void = () => interruption.abort();
  const stopListening = surroundings.onEndRequest((signal) => onEnd(signal));
  try {
    const style = styleOf(stderr, surroundings);
    const { agent, status } = await start(order, {
      program,
      env,
      clock,
      foreground: command.foreground,
      interrupted: interruption.signal,
      onStep: (step) => {
        if (!command.json) stderr.write(renderStep(step, style));
      },
    });
    onEnd = (signal) => agent.signal(signal);
    print(status, command.json ? undefined : renderStarted(command.name, status, styleOf(stdout, surroundings)), stdout);
    if (command.foreground) return (await agent.ended).code === 0 ? 0 : 1;
    agent.release();
    return 0;
  } finally {
    stopListening();
  }
}

interface NetworkAgent extends Agent {
  readonly network: string;
}

async function agentOf(target: Target): Promise<NetworkAgent> {
  const network = await networkOf(target);
  const { socket, log } = agentFiles(target.stateRoot, network);
  return { network, socket, log };
}

async function networkOf(target: { readonly stateRoot: string; readonly network?: string }): Promise<string> {
  const { findNetwork } = await import("./find-network.ts");
  return await findNetwork(target);
}

/** The text for people, or the data for scripts where there is no text. */
function print(view: unknown, text: string | undefined, stdout: Output): void {
  stdout.write(text ?? `${JSON.stringify(view, null, 2)}\n`);
}

async function report(error: unknown, json: boolean, surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, stderr } = surroundings;
  const known = error instanceof MeshError ? error : unexpected(error);
  if (json) print({ error: errorFacts(known) } satisfies ErrorView, undefined, stdout);
  else {
    const { renderError } = await import("./render/error.ts");
    stderr.write(renderError(known, paintOf(stderr, surroundings)));
  }
  if (known.code === "usage/invalid") return 2;
  return known.code === "agent/not-running" ? 4 : 1;
}

function unexpected(error: unknown): MeshError {
  const reason = error instanceof Error ? error.message : String(error);
  return new MeshError("agent/failed", `This should not have happened: ${reason}`, { reason }, { cause: error });
}

function styleOf(output: Output, surroundings: Surroundings): Style {
  return { now: surroundings.clock.wallNow(), paint: paintOf(output, surroundings) };
}

function paintOf(output: Output, { env }: Surroundings): Style["paint"] {
  return paintFor(wantsColour(output.isTerminal, env));
}
