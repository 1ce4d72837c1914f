/** A network's or node's name: one DNS label (RFC 1123), so that it can be one. */
export function isName(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}

/** The nearest valid name to what a host calls itself; `fallback` when nothing is left of it. */
export function nameFrom(text: string, fallback: string): string {
  const label = (text.split(".")[0] ?? "")
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 63)
    .replace(/-+$/, "");
  return isName(label) ? label : fallback;
}

/** Longest DNS label (RFC 1035 section 2.3.4). */
export const MAX_NAME_BYTES = 63;
