import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { test } from "node:test";
import type { CheckOptions, Source } from "./check-sources.ts";
import { checkSources, LONGEST_FILE } from "./check-sources.ts";

const ROOT: string = join(import.meta.dirname, "../..");

/** Files over the limit, each with the reason why it is one file. */
const LONG_FILES: Readonly<Record<string, string>> = {};

test("every source of the project stays inside the import table", () => {
  const paths = globSync(["packages/**/*.{ts,mjs,cc,h}", "test/**/*.ts"], {
    cwd: ROOT,
    exclude: ["**/node_modules", "**/dist", "**/build"],
  });
  const sources = paths.sort().map((path): Source => ({ path: path.split(sep).join("/"), text: readFileSync(join(ROOT, path), "utf8") }));
  assert.ok(sources.some(({ path }) => path === "packages/core/src/errors.ts"));
  assert.deepEqual(checkSources(sources, { exported: exportedDoors(), longFiles: LONG_FILES }), []);
});

function exportedDoors(): ReadonlySet<string> {
  const doors = new Set<string>();
  for (const file of globSync("packages/*/package.json", { cwd: ROOT })) {
    const manifest = JSON.parse(readFileSync(join(ROOT, file), "utf8")) as {
      readonly name: string;
      readonly exports: Readonly<Record<string, string>>;
    };
    for (const door of Object.keys(manifest.exports)) doors.add(`${manifest.name}${door.slice(1)}`);
  }
  return doors;
}

const SAMPLE_OPTIONS: CheckOptions = {
  exported: new Set(["@mesh/core/errors", "@mesh/core/ports", "@mesh/core/api", "@mesh/datapath"]),
  longFiles: {},
};

function faultsOf(files: Readonly<Record<string, string>>): readonly string[] {
  const sources = Object.entries(files).map(([path, text]): Source => ({ path, text }));
  return checkSources(sources, SAMPLE_OPTIONS);
}

interface Sample {
  readonly rule: string;
  readonly path: string;
  readonly breaks: string;
  readonly fault: RegExp;
  /** The nearest thing that is allowed. */
  readonly keeps: string;
}

const samples: readonly Sample[] = [
  {
    rule: "core knows nothing of Node",
    path: "packages/core/src/bytes/hex.ts",
    breaks: 'import { Buffer } from "node:buffer";',
    fault: /core\/bytes must not import node:buffer/,
    keeps: 'import { MeshError } from "../errors.ts";',
  },
  {
    rule: "node-crypto alone uses node:crypto",
    path: "packages/core/node-crypto.ts",
    breaks: 'import { readFileSync } from "node:fs";',
    fault: /core\/node-crypto must not import node:fs/,
    keeps: 'import { createHash } from "node:crypto"; import type { Crypto } from "./src/crypto/crypto.ts";',
  },
  {
    rule: "a room sees only what is below it",
    path: "packages/core/src/records/envelope.ts",
    breaks: 'import { step } from "../session/session.ts";',
    fault: /core\/records must not import core\/session/,
    keeps: 'import type { Ip } from "../address/ip.ts";',
  },
  {
    rule: "membership, path and session do not see each other",
    path: "packages/core/src/path/step-path.ts",
    breaks: 'import { step } from "../session/session.ts";',
    fault: /core\/path must not import core\/session/,
    keeps: 'import { encodeProbe } from "../wire/probe.ts";',
  },
  {
    rule: "a port speaks the lower rooms' words only",
    path: "packages/core/src/ports/datapath.ts",
    breaks: 'import type { Peer } from "../membership/peer.ts";',
    fault: /core\/ports must not import core\/membership/,
    keeps: 'import type { Endpoint } from "../address/endpoint.ts";',
  },
  {
    rule: "a path does not speak of ports",
    path: "packages/core/src/path/punch.ts",
    breaks: 'import type { Datapath } from "../ports/datapath.ts";',
    fault: /core\/path must not import core\/ports/,
    keeps: 'import { earliest } from "../time/wake.ts";',
  },
  {
    rule: "nothing in the product uses testing",
    path: "packages/core/src/node/node.ts",
    breaks: 'export { SimClock } from "../testing/sim-clock.ts";',
    fault: /core\/node must not import core\/testing/,
    keeps: 'import type { ForwardingTable } from "../ports/datapath.ts";',
  },
  {
    rule: "a test is not part of the product",
    path: "packages/core/src/time/clock.ts",
    breaks: 'import { sample } from "./millis.test.ts";',
    fault: /must not import a test/,
    keeps: 'import type { Millis } from "./millis.ts";',
  },
  {
    rule: "msgpackr belongs to bytes",
    path: "packages/core/src/records/envelope.ts",
    breaks: 'import { Packr } from "msgpackr";',
    fault: /core\/records must not import msgpackr/,
    keeps: 'import { pack } from "../bytes/pack.ts";',
  },
  {
    rule: "a room that the table does not know is a fault",
    path: "packages/core/src/stuff/thing.ts",
    breaks: "export const one = 1;",
    fault: /core\/stuff is not in the import table/,
    keeps: "",
  },
  {
    rule: "imports name their ending",
    path: "packages/core/src/time/clock.ts",
    breaks: 'import type { Millis } from "./millis";',
    fault: /must write the ending of \.\/millis/,
    keeps: 'import type { Millis } from "./millis.ts";',
  },
  {
    rule: "packages are entered by their doors",
    path: "packages/agent/src/host/routes.ts",
    breaks: 'import { MeshError } from "../../../core/src/errors.ts";',
    fault: /must not reach into another package/,
    keeps: 'import { MeshError } from "@mesh/core/errors";',
  },
  {
    rule: "a door must exist",
    path: "packages/agent/src/host/routes.ts",
    breaks: 'import { parseConfig } from "@mesh/core/config";',
    fault: /imports @mesh\/core\/config, which is not exported/,
    keeps: 'import type { Ip } from "@mesh/core/ports";',
  },
  {
    rule: "the product does not use core's testing door",
    path: "packages/agent/src/agent.ts",
    breaks: 'import { SimClock } from "@mesh/core/testing";',
    fault: /must not import @mesh\/core\/testing/,
    keeps: 'import { openRoutes } from "./host/routes.ts";',
  },
  {
    rule: "only control uses libp2p",
    path: "packages/agent/src/data/publish-table.ts",
    breaks: 'import { tcp } from "@libp2p/tcp";',
    fault: /agent\/data must not import @libp2p\/tcp/,
    keeps: 'import { openDatapath } from "@mesh/datapath";',
  },
  {
    rule: "only data uses the datapath",
    path: "packages/agent/src/control/libp2p-node.ts",
    breaks: 'import { openDatapath } from "@mesh/datapath";',
    fault: /agent\/control must not import @mesh\/datapath/,
    keeps: 'import { createLibp2p } from "libp2p"; import { noise } from "@chainsafe/libp2p-noise";',
  },
  {
    rule: "only host starts processes",
    path: "packages/agent/src/runtime/driver.ts",
    breaks: 'import { execFile } from "node:child_process";',
    fault: /agent\/runtime must not import node:child_process/,
    keeps: 'import { readFile } from "node:fs/promises"; import { pino } from "pino";',
  },
  {
    rule: "only store and runtime use files",
    path: "packages/agent/src/host/undo.ts",
    breaks: 'import { writeFileSync } from "node:fs";',
    fault: /agent\/host must not import node:fs/,
    keeps: 'import { execFile } from "node:child_process";',
  },
  {
    rule: "only api opens sockets",
    path: "packages/agent/src/store/state.ts",
    breaks: 'import { createServer } from "node:net";',
    fault: /agent\/store must not import node:net/,
    keeps: 'import { open } from "node:fs/promises";',
  },
  {
    rule: "only agent and main see siblings",
    path: "packages/agent/src/api/server.ts",
    breaks: 'import { openStore } from "../store/state.ts";',
    fault: /agent\/api must not import agent\/store/,
    keeps: 'import { createServer } from "node:http"; import { routes } from "@mesh/core/api";',
  },
  {
    rule: "timers live in runtime",
    path: "packages/agent/src/control/admission.ts",
    breaks: "setTimeout(() => {}, 1);",
    fault: /admission\.ts: starts a timer/,
    keeps: "export const timers = { setTimeout: 1 }; socket.setTimeout(100);",
  },
  {
    rule: "the command line never imports the agent",
    path: "packages/cli/src/commands/up.ts",
    breaks: 'const agent = await import("@mesh/agent/main");',
    fault: /cli\/commands must not import @mesh\/agent\/main/,
    keeps: 'import { spawn } from "node:child_process"; import { MeshError } from "@mesh/core/errors";',
  },
  {
    rule: "core does not read the date",
    path: "packages/core/src/session/rekey.ts",
    breaks: "export const at = Date.now();",
    fault: /rekey\.ts: reads a clock/,
    keeps: "// Date.now() is forbidden\nexport const text = 'new Date()';",
  },
  {
    rule: "core makes no date",
    path: "packages/core/src/session/rekey.ts",
    breaks: "export const at = +new Date;",
    fault: /rekey\.ts: reads a clock/,
    keeps: "export const at = /new Date()/;",
  },
  {
    rule: "core does not read the performance clock",
    path: "packages/core/src/testing/sim.ts",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a template
    breaks: "export const at = `${performance.now()}`;",
    fault: /sim\.ts: reads a clock/,
    keeps: "export const at = `performance.now()`;",
  },
  {
    rule: "chance comes from the caller",
    path: "packages/core/src/path/punch.ts",
    breaks: "export const port = Math.random();",
    fault: /punch\.ts: draws from Math\.random/,
    keeps: "export const port = Math.floor(1.5);",
  },
  {
    rule: "only the addon's loader goes past the table",
    path: "packages/datapath/src/index.ts",
    breaks: 'import { createRequire } from "node:module";',
    fault: /index\.ts: loads modules past the import table/,
    keeps: 'import { join } from "node:path"; import { load } from "./native.ts";',
  },
  {
    rule: "a module taken without an import is imported",
    path: "packages/agent/src/data/counters.ts",
    breaks: 'const { createServer } = process.getBuiltinModule("node:http");',
    fault: /agent\/data must not import node:http/,
    keeps: 'const { join } = process.getBuiltinModule("node:path");',
  },
  {
    rule: "only runtime makes loggers",
    path: "packages/agent/src/control/gossip.ts",
    breaks: 'import { type Logger, pino } from "pino";',
    fault: /agent\/control must not import pino/,
    keeps: 'import type { Logger } from "pino";',
  },
  {
    rule: "only the addon's loader knows its build",
    path: "packages/datapath/src/index.ts",
    breaks: 'import { builtAddonPath } from "../build.mjs";',
    fault: /must write the ending/,
    keeps: 'import { loadAddon } from "./native.ts";',
  },
  {
    rule: "a fixture is not part of the product",
    path: "packages/agent/src/control/links.ts",
    breaks: 'import { member } from "./member-fixture.ts";',
    fault: /must not import a test/,
    keeps: 'import { member } from "./member.ts";',
  },
  {
    rule: "no computed imports",
    path: "packages/cli/src/main.ts",
    breaks: "await import(name);",
    fault: /cli\/main imports something computed/,
    keeps: 'await import("./commands/up.ts");',
  },
  {
    rule: "no triple-slash references",
    path: "packages/core/src/time/clock.ts",
    breaks: '/// <reference types="node" />',
    fault: /triple-slash/,
    keeps: "/// A comment.",
  },
  {
    rule: "no default exports",
    path: "test/e2e/lab/lab.ts",
    breaks: "export default 1;",
    fault: /default export/,
    keeps: "export const standard = 1;",
  },
  {
    rule: "no default exports by another name",
    path: "packages/cli/src/main.ts",
    breaks: "const one = 1; export { one as default };",
    fault: /default export/,
    keeps: "const one = 1; export { one };",
  },
  {
    rule: "files stay short",
    path: "packages/datapath/native/engine/engine.cc",
    breaks: "\n".repeat(LONGEST_FILE + 1),
    fault: /501 lines/,
    keeps: "\n".repeat(LONGEST_FILE),
  },
];

for (const { rule, path, breaks, fault, keeps } of samples) {
  test(`the checker sees it: ${rule}`, () => {
    const faults = faultsOf({ [path]: breaks });
    assert.equal(faults.length, 1, faults.join("\n"));
    assert.match(faults[0] ?? "", fault);
    if (keeps !== "") assert.deepEqual(faultsOf({ [path]: keeps }), []);
  });
}

test("the checker sees files that import each other", () => {
  const faults = faultsOf({
    "packages/core/src/time/a.ts": 'import type { B } from "./b.ts";',
    "packages/core/src/time/b.ts": 'import type { C } from "./c.ts";',
    "packages/core/src/time/c.ts": 'export type { A } from "./a.ts";',
    "packages/core/src/time/d.ts": 'import type { A } from "./a.ts";',
  });
  assert.deepEqual(faults, [
    "packages/core/src/time/a.ts → packages/core/src/time/b.ts → packages/core/src/time/c.ts → packages/core/src/time/a.ts: files import each other in a circle",
  ]);
});

test("the checker sees rooms that import each other", () => {
  const faults = faultsOf({
    "packages/core/src/ids/a.ts": 'import type { B } from "../address/b.ts";',
    "packages/core/src/ids/c.ts": "",
    "packages/core/src/address/b.ts": 'import type { C } from "../ids/c.ts";',
  });
  assert.deepEqual(faults, ["core/ids → core/address → core/ids: rooms import each other in a circle"]);
});

test("a long file needs a reason, and a reason needs a long file", () => {
  const path = "packages/core/src/wire/noise.ts";
  const longFiles = { [path]: "one table" };
  assert.deepEqual(checkSources([{ path, text: "\n".repeat(501) }], { exported: new Set(), longFiles }), []);
  assert.deepEqual(checkSources([{ path, text: "\n" }], { exported: new Set(), longFiles }), [
    `${path}: is on the list of long files and is not long`,
  ]);
});

test("tests import what they like", () => {
  assert.deepEqual(
    faultsOf({ "packages/core/src/wire/noise.test.ts": 'import { readFileSync } from "node:fs"; import { x } from "../testing/sim.ts";' }),
    [],
  );
});
