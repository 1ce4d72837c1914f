/** What the rules need to know about one TypeScript file. */
export interface SourceFacts {
  /** Static and dynamic imports, re-exports and import types, in order of appearance. */
  readonly imports: readonly ImportFact[];
  /** An `import(…)` whose argument is not a plain string: nobody can say what it loads. */
  readonly hasComputedImport: boolean;
  readonly hasTripleSlash: boolean;
  /** The text without comments and without the content of strings: `"7"` stands for the seventh string. */
  readonly code: string;
}

export interface ImportFact {
  readonly specifier: string;
  /** Written `import type … from` or `export type … from`: nothing of it is left at run time. */
  readonly typeOnly: boolean;
}

/** The `from` is asked for by its neighbours, so that `Array.from("x")` is not taken for one. */
const FROM_CLAUSE = /\b(?:import|export)\b[^;"']*?[\s}*]from\s*"(\d+)"/g;
const BARE_IMPORT = /\bimport\s*"(\d+)"/g;
const CALLED_IMPORT = /\bimport\s*\(\s*(?:"(\d+)"\s*[,)])?/g;
const REQUIRED = /\brequire\s*\(\s*"(\d+)"/g;
/** Node's own modules, loaded without an import. */
const BUILT_IN = /\bgetBuiltinModule\s*\(\s*(?:"(\d+)")?/g;
const TYPE_ONLY = /^(?:import|export)\s+type\b/;
const TRIPLE_SLASH = /^\s*\/\/\/\s*<(?:reference|amd)/m;

export function scanSource(text: string): SourceFacts {
  const { code, strings } = maskStrings(text);
  const imports: (ImportFact & { readonly at: number })[] = [];
  let hasComputedImport = false;
  for (const pattern of [FROM_CLAUSE, BARE_IMPORT, CALLED_IMPORT, REQUIRED, BUILT_IN]) {
    for (const match of code.matchAll(pattern)) {
      const [, index] = match;
      const specifier = index === undefined ? undefined : strings[Number(index)];
      if (specifier === undefined) hasComputedImport = true;
      else imports.push({ at: match.index, specifier, typeOnly: TYPE_ONLY.test(match[0]) });
    }
  }
  imports.sort((a, b) => a.at - b.at);
  return {
    imports: imports.map(({ specifier, typeOnly }) => ({ specifier, typeOnly })),
    hasComputedImport,
    hasTripleSlash: TRIPLE_SLASH.test(text),
    code,
  };
}

interface Masked {
  readonly code: string;
  readonly strings: readonly string[];
}

/** A slash after one of these begins a regular expression; after a name, a number or a closing bracket it divides. */
const BEFORE_REGEXP = /(?:^|[-+*%&|^~!<>=?:;,({[}]|\b(?:return|typeof|case|in|of|delete|void|throw|new|else|do|yield|await|instanceof))$/;

function maskStrings(text: string): Masked {
  const strings: string[] = [];
  /** Depth of braces inside each `${…}` that is open. */
  const templates: number[] = [];
  let code = "";
  let at = 0;
  while (at < text.length) {
    const char = text[at] ?? "";
    const pair = text.slice(at, at + 2);
    if (pair === "//") at = endOf(text, "\n", at);
    else if (pair === "/*") at = endOf(text, "*/", at + 2) + 2;
    else if (char === '"' || char === "'") {
      const end = endOfQuoted(text, char, at + 1);
      code += `"${strings.length}"`;
      strings.push(text.slice(at + 1, end));
      at = end + 1;
    } else if (char === "`" || (char === "}" && templates.at(-1) === 0)) {
      if (char === "}") templates.pop();
      const end = endOfTemplateText(text, at + 1);
      code += char === "`" ? "`" : "}";
      if (text[end] === "`") code += "`";
      else {
        templates.push(0);
        code += "${";
      }
      at = text[end] === "`" ? end + 1 : end + 2;
    } else if (char === "/" && BEFORE_REGEXP.test(code.trimEnd())) {
      at = endOfRegExp(text, at + 1) + 1;
      code += "/ /";
    } else {
      const depth = templates.at(-1);
      if (depth !== undefined && char === "{") templates[templates.length - 1] = depth + 1;
      if (depth !== undefined && char === "}") templates[templates.length - 1] = depth - 1;
      code += char;
      at += 1;
    }
  }
  return { code, strings };
}

function endOf(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found;
}

function endOfQuoted(text: string, quote: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === quote || text[at] === "\n") return at;
  }
  return text.length;
}

/** Where the backtick or the `${` stands that ends this piece of a template. */
function endOfTemplateText(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "`" || text.startsWith("${", at)) return at;
  }
  return text.length;
}

function endOfRegExp(text: string, from: number): number {
  let inClass = false;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "[") inClass = true;
    else if (text[at] === "]") inClass = false;
    else if ((text[at] === "/" && !inClass) || text[at] === "\n") return at;
  }
  return text.length;
}
