import type { MeshError } from "@mesh/core/errors";
import type { Paint } from "./paint.ts";

/** One sentence of what, one of what to do. What was tried in vain stands between them, a line each. */
export function renderError(
  error: Pick<MeshError, "message" | "hint"> & Partial<Pick<MeshError, "code" | "details">>,
  paint: Paint,
): string {
  const tried = triedBy(error);
  const what = tried.length === 0 ? error.message : "The network was not reached, so this node has not joined it.";
  const lines = [...tried, ...(error.hint === undefined ? [] : [error.hint])];
  return `${paint.red("mesh:")} ${what}\n${lines.map((line) => `      ${line}\n`).join("")}`;
}

/** Of an invite whose members did not answer: each of them, with what came of it. */
function triedBy({ code, details }: Partial<Pick<MeshError, "code" | "details">>): readonly string[] {
  if (code !== "invite/unreachable" || details === undefined || !("tried" in details)) return [];
  return Array.isArray(details.tried) ? details.tried.map(String) : [];
}
