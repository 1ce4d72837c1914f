/** One cell: text, or text with the mark it is shown in. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

/** Columns start below each other, two spaces apart; the last one is not padded, so nothing wraps for spaces alone. */
export function formatTable(rows: readonly (readonly Cell[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, textOf(cell).length);
  return rows.map((row) => formatRow(row, widths)).join("\n");
}

function formatRow(row: readonly Cell[], widths: readonly number[]): string {
  let line = "";
  for (const [i, cell] of row.entries()) {
    const text = textOf(cell);
    const padding = i === row.length - 1 ? "" : " ".repeat((widths[i] ?? 0) - text.length + 2);
    line += (typeof cell === "string" ? text : cell.paint(text)) + padding;
  }
  return line.trimEnd();
}

function textOf(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}
