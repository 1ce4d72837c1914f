import assert from "node:assert/strict";
import { test } from "node:test";
import { scanSource } from "./scan-source.ts";

test("every form of import is found, in order", () => {
  const text = `
import "a";
import type { B } from 'b';
import {
  c,
  d,
} from "c";
import * as e from "e";
export * from "f";
export { g } from "g";
type H = import("h").H;
const i = await import( "i" , { with: {} });
const j = require("j");
import k = require("k");
import l, { type m } from "l";
`;
  const { imports } = scanSource(`${text}export type { M } from "m"; const n = process.getBuiltinModule("n");`);
  assert.equal(imports.map(({ specifier }) => specifier).join(""), "abcefghijklmn");
  assert.deepEqual(
    imports.filter(({ typeOnly }) => typeOnly).map(({ specifier }) => specifier),
    ["b", "m"],
  );
});

test("what only looks like an import is none", () => {
  const text = `
// import "a";
/* import { b } from "b"; */
export const c = Array.from("c");
const d = 'import "d"';
const e = \`import { e } from "e"; \${f ? \`}\` : "import 'f'"} import "g"\`;
const h = /import "h"/.test(x) ? 1 / 2 : "/";
const i = [1, 2].map((n) => n / 2) / 4; // "
const j = "\\" import 'j'";
`;
  assert.deepEqual(scanSource(text).imports, []);
});

test("code inside a template is code", () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a template
  const facts = scanSource('const x = `a ${{ b: import("c") }.b} Date.now()`; import "d";');
  assert.deepEqual(
    facts.imports.map(({ specifier }) => specifier),
    ["c", "d"],
  );
  assert.doesNotMatch(facts.code, /Date/);
});

test("an import of something computed is said", () => {
  assert.equal(scanSource("await import(name);").hasComputedImport, true);
  assert.equal(scanSource('await import("a" + name);').hasComputedImport, true);
  assert.equal(scanSource("process.getBuiltinModule(name);").hasComputedImport, true);
  assert.equal(scanSource('await import("a");').hasComputedImport, false);
});

test("a text cut anywhere is still scanned", () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a template
  const text = "import { a } from \"a\"; /* b */ const c = `d ${e} f`; const g = /[/]h/; // i\nexport const j = 'k';";
  for (let length = 0; length <= text.length; length++) scanSource(text.slice(0, length));
});
