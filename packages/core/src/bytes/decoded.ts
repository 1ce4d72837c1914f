/** Why bytes from outside were refused. Counted under this name, never thrown. */
export type DecodeFault =
  | "truncated"
  | "trailing-bytes"
  | "unknown-version"
  | "unknown-kind"
  | "out-of-range"
  | "not-canonical"
  | "too-long";

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: DecodeFault };
