import type { Logger } from "pino";
import { type GuardPlan, guardScript, guardTable, isOurTable, tableContent } from "./guard-rules.ts";
import type { TableChange } from "./host-change.ts";
import { firstLine } from "./host-failure.ts";
import type { NftCommand } from "./nft-command.ts";

/** Is spoofed traffic kept out? `reason` says why not; the mesh works all the same. */
export type GuardState = { readonly guarded: true } | { readonly guarded: false; readonly reason: string };

interface Loaded {
  readonly script: string;
  /** What nft printed of it right after it was loaded. */
  readonly content: string;
  /** What it printed instead when the same script was loaded again. */
  readonly other?: string;
}

/** What a look at the table found: nothing to do, or a table to load (the journal must name it before) or to remove. */
export type GuardLook = { readonly todo: "nothing" } | { readonly todo: "load" | "remove"; readonly change: TableChange };

const NOTHING: GuardLook = { todo: "nothing" };

/** The guard's table of nftables, for one device at a time. */
export class Guard {
  readonly #nft: NftCommand;
  readonly #log: Logger;
  #loaded: Loaded | undefined;
  #state: GuardState = { guarded: false, reason: "no tunnel yet" };

  constructor(nft: NftCommand, log: Logger) {
    this.#nft = nft;
    this.#log = log;
  }

  get state(): GuardState {
    return this.#state;
  }

  /** Is the plan's table there, as it was loaded? */
  async look(plan: GuardPlan): Promise<GuardLook> {
    const table = guardTable(plan.device);
    const change: TableChange = { kind: "nft-table", table, index: plan.index };
    if (plan.addresses.length === 0) return this.#loaded === undefined ? NOTHING : { todo: "remove", change };
    const listed = await this.#nft.table(table);
    if (!listed.ok) return this.#unusable(firstLine(listed.output));
    const { objects } = listed;
    // One that another agent left behind under this name is replaced.
    if (objects !== undefined && !isOurTable(objects)) return this.#unusable(`another program has a table named ${table}`);
    if (objects !== undefined && this.#loaded?.script === guardScript(plan) && tableContent(objects) === this.#loaded.content)
      return NOTHING;
    return { todo: "load", change };
  }

  /** Replaces the table whole; what is there is known to be ours. */
  async load(plan: GuardPlan): Promise<void> {
    const script = guardScript(plan);
    const outcome = await this.#nft.load(script);
    const listed = outcome.ok ? await this.#nft.table(guardTable(plan.device)) : outcome;
    if (!listed.ok) {
      this.#unusable(firstLine(listed.output));
      return;
    }
    // undefined: somebody was quick to remove it. The next look finds out.
    this.#loaded = "objects" in listed && listed.objects !== undefined ? this.#loadedAs(script, tableContent(listed.objects)) : undefined;
    this.#state = { guarded: true };
  }

  /**
   * The same script gives the same table: another one has been changed since, between our loading and our looking. Twice the same other
   * one is what the kernel makes of the script now.
   */
  #loadedAs(script: string, content: string): Loaded {
    const before = this.#loaded?.script === script ? this.#loaded : undefined;
    const isExpected = before === undefined || before.content === content || before.other === content;
    return isExpected ? { script, content } : { script, content: before.content, other: content };
  }

  /** It was removed. */
  forget(): void {
    this.#loaded = undefined;
    this.#state = { guarded: false, reason: "no tunnel" };
  }

  /** Said once for each reason. */
  #unusable(reason: string): GuardLook {
    if (this.#state.guarded || this.#state.reason !== reason)
      this.#log.warn({ reason }, "no guard against spoofed packets from outside the tunnel: nftables cannot be used");
    this.#loaded = undefined;
    this.#state = { guarded: false, reason };
    return NOTHING;
  }
}
