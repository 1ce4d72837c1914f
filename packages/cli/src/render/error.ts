import type { MeshError } from "@mesh/core/errors";
import type { Paint } from "./paint.ts";

/** One sentence of what, one of what to do. */
export function renderError({ message, hint }: Pick<MeshError, "message" | "hint">, paint: Paint): string {
  return `${paint.red("mesh:")} ${message}\n${hint === undefined ? "" : `      ${hint}\n`}`;
}
