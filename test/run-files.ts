import { availableParallelism } from "node:os";
import { relative } from "node:path";
import type { EventData } from "node:test";
import { run } from "node:test";
import { inspect, styleText } from "node:util";

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface FilesOptions {
  /** Absolute paths. */
  readonly files: readonly string[];
  /** Files that run at the same time, each in its own process. */
  readonly concurrency?: number;
  /** Milliseconds one test may take. */
  readonly timeout: number;
}

export interface FilesOutcome {
  readonly counts: TestCounts;
  /** One line for each test that did not run, with its reason. */
  readonly skips: readonly string[];
}

/** A whole file is given up when nothing has been heard from any for this much longer than one test may take: it holds its process open. */
const HUNG_AFTER = 30_000;

/** Runs test files by node:test and prints one line a file, failing tests in full. */
export async function runFiles(options: FilesOptions): Promise<FilesOutcome> {
  const report = new FilesReport();
  const hung = new AbortController();
  const stream = run({
    files: options.files,
    concurrency: options.concurrency ?? availableParallelism(),
    timeout: options.timeout,
    signal: hung.signal,
  });
  const giveUp = (): void =>
    hung.abort(new Error(`nothing heard for ${(options.timeout + HUNG_AFTER) / 1_000} s: the file keeps its process alive`));
  let watchdog = setTimeout(giveUp, options.timeout + HUNG_AFTER);
  stream.on("test:pass", (event) => report.passed(event));
  stream.on("test:fail", (event) => report.failed(event));
  stream.on("test:stdout", (event) => report.wrote(event));
  stream.on("test:stderr", (event) => report.wrote(event));
  stream.on("test:summary", (event) => report.finished(event));
  for await (const _event of stream) {
    clearTimeout(watchdog);
    watchdog = setTimeout(giveUp, options.timeout + HUNG_AFTER);
  }
  clearTimeout(watchdog);
  return report.outcome();
}

const ENDED_EARLY = "The file ended before it had run its tests, or has none.";

interface FileState {
  /** Its process has reported its last test. */
  finished: boolean;
  passed: number;
  failed: number;
  skipped: number;
  output: string;
}

class FilesReport {
  readonly #files = new Map<string, FileState>();
  readonly #skips: string[] = [];
  #passed = 0;
  #failed = 0;

  passed(event: EventData.TestPass): void {
    if (isWholeFile(event)) {
      // node:test reports a file without tests, or one that called process.exit(0) before the first was done, as a passing test.
      this.#fail(fileOf(event), event.name, ENDED_EARLY);
    } else if (event.skip !== undefined || event.todo !== undefined) {
      this.#skip(event);
    } else if (event.details.type !== "suite") {
      this.#passed += 1;
      this.#file(fileOf(event)).passed += 1;
    }
  }

  failed(event: EventData.TestFail): void {
    if (event.skip !== undefined || event.todo !== undefined) this.#skip(event);
    else if (!isParentOfFailed(event)) this.#fail(fileOf(event), event.name, describeError(event.details.error), event.line);
  }

  wrote(event: EventData.TestStdout | EventData.TestStderr): void {
    this.#file(fileOf(event)).output += event.message;
  }

  finished(event: EventData.TestSummary): void {
    if (event.file === undefined) return;
    const file = this.#file(event.file);
    file.finished = true;
    const { passed, failed, skipped } = file;
    const mark = failed > 0 ? paint("red", "✗") : paint("green", "✓");
    const parts = [`${passed} passed`];
    if (failed > 0) parts.push(`${failed} failed`);
    if (skipped > 0) parts.push(`${skipped} skipped`);
    console.log(`${mark} ${shown(event.file)}  ${paint("gray", `${parts.join(", ")}, ${formatSeconds(event.duration_ms)}`)}`);
  }

  /** Call once, after the last event. */
  outcome(): FilesOutcome {
    for (const [file, { finished, failed }] of this.#files) {
      // A process.exit(0) in the middle of a file loses its later tests, and node:test does not say so.
      if (!finished && failed === 0) this.#fail(file, file, ENDED_EARLY);
    }
    for (const [file, { failed, output }] of this.#files) {
      if (failed > 0 && output.trim() !== "") console.log(`\n${paint("bold", `${shown(file)} wrote`)}\n${output.trimEnd()}`);
    }
    return { counts: { passed: this.#passed, failed: this.#failed, skipped: this.#skips.length }, skips: this.#skips };
  }

  #fail(file: string | undefined, name: string, why: string, line?: number): void {
    this.#failed += 1;
    this.#file(file).failed += 1;
    const where = file === undefined ? "" : ` (${shown(file)}${line === undefined ? "" : `:${line}`})`;
    console.log(`${paint("red", "✗")} ${paint("bold", name === file ? shown(name) : name)}${where}\n${indent(why)}\n`);
  }

  #skip(event: EventData.TestPass | EventData.TestFail): void {
    const reason = [event.skip, event.todo].find((value) => typeof value === "string" && value !== "") ?? "no reason given";
    this.#skips.push(`${event.name} (${event.file === undefined ? "?" : shown(event.file)}): ${reason}`);
    this.#file(fileOf(event)).skipped += 1;
  }

  #file(file: string | undefined): FileState {
    const key = file ?? "";
    const known = this.#files.get(key) ?? { finished: false, passed: 0, failed: 0, skipped: 0, output: "" };
    this.#files.set(key, known);
    return known;
  }
}

/** The file that was run; `file` itself is where the test stands, which may be a module that several test files share. */
function fileOf(event: EventData.LocationInfo): string | undefined {
  return (event as { readonly entryFile?: string }).entryFile ?? event.file;
}

function isWholeFile(event: EventData.TestPass): boolean {
  return event.nesting === 0 && event.name === event.file;
}

/** A suite or test that failed only because one inside it did; that one has been reported. */
function isParentOfFailed(event: EventData.TestFail): boolean {
  return (event.details.error as { failureType?: unknown }).failureType === "subtestsFailed";
}

function describeError(error: EventData.Error): string {
  const { cause } = error;
  const { exitCode, signal } = error as { exitCode?: unknown; signal?: unknown };
  if (typeof exitCode === "number") return `The process of this file ended with exit code ${exitCode}. What it wrote stands below.`;
  if (typeof signal === "string") return `The process of this file was ended by ${signal}. What it wrote stands below.`;
  return typeof cause === "string" ? cause : inspect(cause ?? error, { colors: process.stdout.isTTY });
}

export function formatSeconds(milliseconds: number): string {
  return milliseconds < 1_000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1_000).toFixed(1)} s`;
}

export function paint(style: "red" | "green" | "yellow" | "gray" | "bold", text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

function shown(file: string): string {
  return relative(process.cwd(), file);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
