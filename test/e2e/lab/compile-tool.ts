import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { findCommand } from "../../prepare-host.ts";
import { mustRun } from "./run-command.ts";

/** What the lab needs of the kernel that Node does not offer: a program each, `native/<name>.cc`. */
export type LabTool = "wire" | "flush-conntrack";

const FLAGS = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fno-exceptions", "-fno-rtti"];
const SOURCES: string = join(import.meta.dirname, "native");
const CACHE: string = join(import.meta.dirname, "../../../node_modules/.cache/lab");
const COMPILERS = ["g++", "clang++"];

/** Why the lab's tools cannot be compiled here, as a sentence; undefined when they can. */
export function compilerRefusal(): string | undefined {
  return compilers().length > 0 ? undefined : "there is no C++ compiler: apt-get install g++";
}

/** Where the program is; compiled when it is not there yet. Throws when there is no compiler. */
export async function compileTool(name: LabTool): Promise<string> {
  const source = join(SOURCES, `${name}.cc`);
  const hash = createHash("sha256")
    .update(FLAGS.join(" "))
    .update(await readFile(source));
  const program = join(CACHE, `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(program)) return program;
  const [compiler] = compilers();
  if (compiler === undefined) throw new Error(`The lab's ${name} cannot be compiled: ${compilerRefusal()}.`);
  await mkdir(CACHE, { recursive: true });
  const scratch = await mkdtemp(join(CACHE, "tmp-"));
  try {
    await mustRun(compiler, [...FLAGS, source, "-o", join(scratch, name)], { timeout: 120_000 });
    // Two that compile at once do no harm.
    await rename(join(scratch, name), program);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return program;
}

function compilers(): readonly string[] {
  return COMPILERS.filter((name) => findCommand(name) !== undefined);
}
