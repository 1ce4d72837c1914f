// Builds the packet engine: native/**/*.cc -> build/<hash>/mesh_datapath.node, with the machine's g++ or clang++.
// Plain JavaScript, because it also runs as an install script, under whatever Node >= 20 the machine has.
//
//   node packages/datapath/build.mjs      does nothing when the engine is built; without a compiler it says so and goes on

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = dirname(fileURLToPath(import.meta.url));
const ADDON = "mesh_datapath.node";
const COMPILE_FLAGS = [
  "-std=c++20",
  "-O2",
  "-fPIC",
  "-fvisibility=hidden",
  "-fno-exceptions",
  "-fno-rtti",
  "-pthread",
  "-Wall",
  "-Wextra",
  "-Wshadow",
  "-Werror",
];
// The C++ runtime goes in and stays hidden: the binary then needs libc alone and cannot clash with Node's own copy.
const LINK_FLAGS = ["-shared", "-pthread", "-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL", "-Wl,-z,now"];
const LOCK_POLL_MS = 200;
// A build takes some 15 s on a slow machine; a lock this old belongs to a process that another machine or container ran.
const LOCK_STALE_MS = 5 * 60_000;

/**
 * Where the addon of these very sources belongs. It need not be there.
 * @returns {string}
 */
export function builtAddonPath() {
  const hash = createHash("sha256");
  hash.update([process.platform, process.arch, ...COMPILE_FLAGS, ...LINK_FLAGS].join("\0"));
  for (const file of sourceFiles()) hash.update(`\0${relative(ROOT, file)}\0`).update(readFileSync(file));
  return join(ROOT, "build", hash.digest("hex").slice(0, 16), ADDON);
}

/**
 * Builds the addon if it is not there. Safe to call in several processes at once.
 * @returns {Promise<import("./build.d.mts").BuildResult>}
 */
export async function buildEngine() {
  const addon = builtAddonPath();
  if (existsSync(addon)) return { state: "present", addon };
  const compiler = findCompiler();
  if (compiler === undefined) return { state: "no-compiler" };
  return withLock(async () => (existsSync(addon) ? { state: "present", addon } : compile(compiler, addon)));
}

/** @returns {string[]} every source and header of the addon, in a fixed order, tests left out */
function sourceFiles() {
  const folders = [join(ROOT, "native"), join(ROOT, "native", "engine")];
  const files = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return files.filter((file) => /\.(cc|h)$/.test(file)).sort();
}

/** @returns {string | undefined} */
function findCompiler() {
  const candidates = [process.env["CXX"], "g++", "clang++", "c++"];
  return candidates.find((name) => name !== undefined && spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0);
}

/**
 * @param {string} compiler
 * @param {string} addon
 * @returns {Promise<import("./build.d.mts").BuildResult>}
 */
async function compile(compiler, addon) {
  const scratch = mkdtempSync(join(ROOT, "build", "tmp-"));
  try {
    const headers = join(dirname(createRequire(import.meta.url).resolve("node-api-headers/package.json")), "include");
    const jobs = sourceFiles()
      .filter((file) => file.endsWith(".cc"))
      .map((file, i) => ({ file, object: join(scratch, `${i}.o`) }));
    const waiting = [...jobs];
    const worker = async () => {
      for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
        await run(compiler, [...COMPILE_FLAGS, "-isystem", headers, "-c", job.file, "-o", job.object]);
      }
    };
    const results = await Promise.allSettled(Array.from({ length: availableParallelism() }, worker));
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const linked = join(scratch, ADDON);
    await run(compiler, [...jobs.map((job) => job.object), ...LINK_FLAGS, "-o", linked]);
    mkdirSync(dirname(addon), { recursive: true });
    renameSync(linked, addon);
    removeOthers(addon);
    return { state: "built", addon };
  } catch (error) {
    return { state: "failed", reason: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * Older builds, and what killed ones left.
 * @param {string} addon
 */
function removeOthers(addon) {
  const keep = [basename(dirname(addon)), "lock"];
  for (const name of readdirSync(join(ROOT, "build"))) {
    if (!keep.includes(name)) rmSync(join(ROOT, "build", name), { recursive: true, force: true });
  }
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<void>}
 */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
    let output = "";
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`${command} ${args.join(" ")}\n${output}`))));
  });
}

/**
 * Runs `task` while no other process of this machine does. It only saves work: builds end in an atomic rename, so two
 * that take a stale lock at the same moment do no harm.
 * @template T
 * @param {() => Promise<T>} task
 * @returns {Promise<T>}
 */
async function withLock(task) {
  const lock = join(ROOT, "build", "lock");
  mkdirSync(dirname(lock), { recursive: true });
  for (const since = Date.now(); !tryLock(lock); ) {
    if (Date.now() - since > LOCK_STALE_MS || !isAlive(lock)) rmSync(lock, { force: true });
    else await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  try {
    return await task();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @param {string} lock @returns {boolean} */
function tryLock(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** @param {string} lock @returns {boolean} whether the process that holds the lock runs */
function isAlive(lock) {
  try {
    const pid = Number(readFileSync(lock, "utf8"));
    return pid === 0 || process.kill(pid, 0); // 0: made just now, not written yet
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const result = await buildEngine();
  if (result.state === "built") process.stdout.write(`Built the packet engine: ${relative(process.cwd(), result.addon)}\n`);
  if (result.state === "no-compiler") {
    process.stdout.write(
      "The packet engine is not built: there is no C++ compiler. The mesh then runs on the engine's slow twin in TypeScript,\n" +
        "which needs perl. For the fast one:\n" +
        "  apt-get install g++ && node packages/datapath/build.mjs\n",
    );
  }
  if (result.state === "failed") {
    process.stderr.write(`The packet engine cannot be built:\n${result.reason}\n`);
    process.exitCode = 1;
  }
}
