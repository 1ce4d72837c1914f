export type BuildResult =
  | { readonly state: "present" | "built"; readonly addon: string }
  | { readonly state: "no-compiler" }
  | { readonly state: "failed"; readonly reason: string };

/** Where the addon of these very sources belongs. It need not be there. */
export function builtAddonPath(): string;

/** Builds the addon if it is not there. Safe to call in several processes at once. */
export function buildEngine(): Promise<BuildResult>;
