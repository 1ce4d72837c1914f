import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "../../../..");

/** Fields of the table under "## Log" of docs/observe.md. */
function dictionary(): ReadonlySet<string> {
  const page = readFileSync(join(ROOT, "docs/observe.md"), "utf8");
  const section = page.slice(page.indexOf("\n## Log\n"), page.indexOf("\n## A report"));
  return new Set([...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, field = ""]) => field));
}

/** Where an object with fields begins: a log call, a child logger, an effect of the node that is logged. */
const FIELDS =
  /\blog(?:\??\.(?:trace|debug|info|warn|error|fatal|child)|\[\w+\])\(\s*(?=\{)|\blog\("\w+",\s*"[^"]*",\s*(?=\{)|\bfields:\s*(?=\{)/g;

interface LoggedField {
  readonly place: string;
  readonly field: string;
}

/** The keys of each object of fields in a source; templates, whose text may hold anything, are blanked first. */
function loggedFields(place: string, source: string): readonly LoggedField[] {
  const code = source.replace(/`[^`]*`/g, (text) => "_".repeat(text.length));
  return [...source.matchAll(FIELDS)].flatMap(({ 0: found, index }) => {
    const line = source.slice(0, index).split("\n").length;
    return keysOf(code.slice(index + found.length)).map((field) => ({ place: `${place}:${line}`, field }));
  });
}

/** Keys of the object literal that the text begins with: what stands first in each of its parts between commas. */
function keysOf(text: string): readonly string[] {
  let depth = 0;
  let part = "";
  const parts: string[] = [];
  for (const letter of text) {
    if ("{[(".includes(letter)) depth++;
    if ("}])".includes(letter)) depth--;
    if (depth === 0) break;
    if (letter === "," && depth === 1) {
      parts.push(part);
      part = "";
    } else part += letter;
  }
  return [...parts, part].flatMap((text) => /^[{\s]*(\w+)/.exec(text)?.[1] ?? []);
}

test("every field of every log call is in the dictionary of docs/observe.md", () => {
  const known = dictionary();
  assert.ok(known.has("reason") && known.size > 10);
  const files = globSync(["packages/agent/src/**/*.ts", "packages/core/src/node/*.ts"], { cwd: ROOT }).filter(
    (file) => !/\.test\.ts$/.test(file),
  );
  const fields = files.flatMap((file) => loggedFields(file, readFileSync(join(ROOT, file), "utf8")));
  assert.ok(fields.length > 20, "the calls are found");
  const unknown = fields.filter(({ field }) => !known.has(field)).map(({ place, field }) => `${place}: ${field}`);
  assert.deepEqual(unknown, [], "say in docs/observe.md what it means, or use the field that already does");
});

test("the keys of an object are found, whatever their values", () => {
  const source =
    'log.warn({ node, reason: f({ a: 1, b: [2, 3] }), ms: 5 }, "x, { y: 1 }"); log.warn({ endpoint: `udp 5, tcp 6` }); log.info("plain", { z: 1 }); this.#log.child({ part: "host" });';
  assert.deepEqual(
    loggedFields("f", source).map(({ field }) => field),
    ["node", "reason", "ms", "endpoint", "part"],
  );
  assert.deepEqual(
    loggedFields("f", 'log("info", "up", { name: this.name });\n{ level, fields: { err, count } }').map(
      ({ place, field }) => place + field,
    ),
    ["f:1name", "f:2err", "f:2count"],
  );
});
