import type { RoutesView } from "@mesh/core/api";
import { headerRow, type Style } from "./style.ts";
import { formatTable } from "./table.ts";

const HEADER = ["PREFIX", "NODE", "BACKEND", "NEXT HOP", "WHY"];

export function renderRoutes({ routes }: RoutesView, style: Style): string {
  const rows = routes.map(({ prefix, node, backend, nextHop, reason }) => [
    prefix,
    node,
    backend === "none" ? { text: backend, paint: style.paint.red } : backend,
    nextHop,
    reason,
  ]);
  return `${formatTable([headerRow(HEADER, style), ...rows])}\n`;
}
