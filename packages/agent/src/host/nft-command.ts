import { MeshError } from "@mesh/core/errors";
import type { Clock } from "@mesh/core/ports";
import type { CommandOutcome } from "./ip-command.ts";
import { Program } from "./program.ts";

/** What `nft -json list` prints of one table, in its order: the table, its chains, sets and rules. */
export type NftObjects = readonly Readonly<Record<string, unknown>>[];

/** `objects` is undefined when there is no such table. */
export type NftTable =
  | { readonly ok: true; readonly objects: NftObjects | undefined }
  | { readonly ok: false; readonly failed: string; readonly output: string };

/** nftables' `nft`. All tables are of the family inet. */
export class NftCommand {
  readonly #program: Program;

  constructor(file: string, clock: Clock) {
    this.#program = new Program({ name: "nft", file, debianPackage: "nftables", trial: "nft list tables", clock });
  }

  async table(name: string): Promise<NftTable> {
    const args = ["-json", "list", "table", "inet", name];
    const outcome = await this.#run(args);
    if (outcome.ok) {
      const objects = parseListing(outcome.output);
      return objects === undefined
        ? { ok: false, failed: `nft ${args.join(" ")}`, output: "it does not print JSON" }
        : { ok: true, objects };
    }
    return /No such file or directory/.test(outcome.output) ? { ok: true, objects: undefined } : outcome;
  }

  /** One transaction: all of it or nothing. */
  load(script: string): Promise<CommandOutcome> {
    return this.#run(["-f", "-"], script);
  }

  deleteTable(name: string): Promise<CommandOutcome> {
    return this.#run(["delete", "table", "inet", name]);
  }

  /** News of tables that go; see {@link Program.monitor}. What else changes inside a table is found by a look. */
  monitor(onNews: () => void, onEnd: (reason: string) => void): () => void {
    return this.#program.monitor(["monitor", "destroy", "tables"], onNews, onEnd);
  }

  async #run(args: readonly string[], input = ""): Promise<CommandOutcome> {
    const failed = ["nft", ...args].join(" ");
    try {
      const run = await this.#program.run(args, input);
      if (run.code === 0) return { ok: true, output: run.stdout };
      return { ok: false, failed, output: run.stderr.trim() || `exit code ${run.code}` };
    } catch (error) {
      // The mesh works without a guard, so that a host without nftables is a result.
      if (!(error instanceof MeshError)) throw error;
      return { ok: false, failed, output: error.message };
    }
  }
}

/** undefined when it is none. */
function parseListing(output: string): NftObjects | undefined {
  try {
    const { nftables } = JSON.parse(output) as { readonly nftables?: NftObjects };
    return nftables?.filter((object) => !("metainfo" in object));
  } catch {
    return undefined;
  }
}
