import { open } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { api, METRICS_PATH, type RoutesView, type StatusView } from "@mesh/core/api";
import type { AgentFiles } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import { type Agent, callAgent, fetchText } from "../client.ts";
import { lastLogLines, networkViews, secretFiles, stateFacts, systemFacts, unitFacts } from "../report/host-facts.ts";
import { maskSecrets } from "../report/mask-secrets.ts";
import { Redactor } from "../report/redactor.ts";
import type { Host } from "../surroundings.ts";
import { VERSION } from "../version.ts";
import { unitOf } from "./service.ts";

/** What `mesh report --json` prints. */
export interface ReportView {
  readonly version: 1;
  readonly network: string;
  readonly file: string;
  readonly bytes: number;
  readonly redacted: boolean;
}

export interface ReportOptions {
  readonly network: string;
  readonly agent: Agent;
  readonly files: AgentFiles;
  readonly host: Host;
  /** Wall milliseconds since 1970. */
  readonly now: number;
  readonly redact: boolean;
  /** Absolute. Must not exist. */
  readonly file: string;
}

/** Writes everything into one file that only its owner can read. An agent that does not answer is part of the report. */
export async function writeReport(options: ReportOptions): Promise<ReportView> {
  const { network, file, redact } = options;
  const text = await renderReport(options);
  await writeNew(file, text);
  return { version: 1, network, file, bytes: Buffer.byteLength(text), redacted: redact };
}

async function renderReport({ network, agent, files, host, now, redact }: ReportOptions): Promise<string> {
  const [status, routes, metrics] = await Promise.all([
    answerOf<StatusView>(() => callAgent(api.status, {}, agent)),
    answerOf<RoutesView>(() => callAgent(api.routes, {}, agent)),
    answerOf<string>(() => fetchText(METRICS_PATH, agent)),
  ]);
  const publicIds = new Set(
    [status.value?.network.id, status.value?.self.id, ...(status.value?.peers ?? []).map(({ id }) => id)].filter((id) => id !== undefined),
  );
  const known = { publicIds, secretFiles: await secretFiles(files) };
  // Before names are replaced: one of them could break a key apart.
  const log = maskSecrets(await lastLogLines(files), known);
  const redactor = redact ? new Redactor([...namesIn(network, status.value), ...namesInLog(log)]) : undefined;
  const text = (value: string): string => redactor?.text(value) ?? value;
  const json = ({ value, error }: Answer<unknown>): string =>
    error === undefined ? JSON.stringify(redactor === undefined ? value : redactor.json(value), null, 2) : text(error);
  const views = await networkViews(host, !redact);
  const sections: readonly (readonly [string, string])[] = [
    ["mesh", `version  ${VERSION}\nnetwork  ${text(network)}\nmade     ${new Date(now).toISOString()}`],
    ["host", text(await systemFacts(host))],
    ["unit", await unitFacts(host, unitOf(network))],
    ["state directory", text(`${files.directory}\n${await stateFacts(files)}`)],
    ["status", json(status)],
    ["routes", json(routes)],
    ["metrics", metrics.error === undefined ? (redactor?.metrics(metrics.value ?? "") ?? metrics.value ?? "") : text(metrics.error)],
    ...views.map(([name, view]) => [`/proc/net/${name}`, text(view)] as const),
    ["log", redactor?.lines(log) ?? log],
  ];
  const whole = sections.map(([title, body]) => `==== ${title}\n${body.trimEnd()}\n`).join("\n");
  // People's names stand in paths.
  const shown = redact ? whole.replaceAll(dirname(files.directory), "(state directory)") : whole;
  return maskSecrets(shown, known);
}

/** Exactly one of the two is there. */
interface Answer<T> {
  readonly value?: T;
  readonly error?: string;
}

async function answerOf<T>(ask: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { value: await ask() };
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    return { error: `${error.code}: ${error.message}` };
  }
}

function namesIn(network: string, status: StatusView | undefined): readonly (readonly [string, string])[] {
  const nodes = status === undefined ? [] : [status.self, ...status.peers];
  const [shortName = ""] = hostname().split(".");
  return [["network", network], ...nodes.map(({ name }) => ["node", name] as const), ["host", hostname()], ["host", shortName]];
}

/** Nodes that are gone by now, and all of them when no agent answers. */
function namesInLog(log: string): readonly (readonly [string, string])[] {
  const names = [...log.matchAll(/"name":"([a-z0-9-]{1,63})"/g)].flatMap(([, name]) => name ?? []);
  return [...new Set(names)].map((name) => ["node", name] as const);
}

async function writeNew(file: string, text: string): Promise<void> {
  try {
    const handle = await open(file, "wx", 0o600);
    await handle.writeFile(text);
    await handle.close();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    const why = code === "EEXIST" ? "it exists already" : code;
    const hint = "Name another one: mesh report <file>";
    throw new MeshError("state/unwritable", `The report could not be written to ${file}: ${why}.`, { file, reason: why }, { hint, cause });
  }
}
