import { MeshError } from "@mesh/core/errors";
import { type Clock, type Millis, type Store, type StoreDocument, seconds } from "@mesh/core/ports";

/** Between attempts: a disk has room again when a person made it. */
const RETRY_AFTER: Millis = seconds(10);

interface LastingWritesOptions {
  readonly store: Pick<Store, "write">;
  readonly clock: Clock;
  /** The write of this id, and every earlier one of its document, survives a loss of power. */
  onDurable(id: number): void;
  /** It did not work, and is tried again; whoever waits for it should know. */
  onFailed(document: StoreDocument, error: unknown): void;
}

interface Latest {
  readonly bytes: Uint8Array;
  readonly id: number;
  cancelRetry: () => void;
}

/**
 * Documents that are written until they are durable: a full disk must not end a node that carries packets. Of each document only
 * the latest content is tried again. What waits for a write goes on waiting meanwhile, so nothing is promised that could be lost.
 */
export class LastingWrites {
  readonly #options: LastingWritesOptions;
  readonly #latest = new Map<StoreDocument, Latest>();
  readonly #troubles = new Map<StoreDocument, MeshError>();
  #lastAttempt: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: LastingWritesOptions) {
    this.#options = options;
  }

  /** Why something is not durable, if it is not. */
  get trouble(): MeshError | undefined {
    return this.#troubles.values().next().value;
  }

  write(document: StoreDocument, bytes: Uint8Array, id: number): void {
    this.#latest.get(document)?.cancelRetry();
    const latest = { bytes, id, cancelRetry: () => {} };
    this.#latest.set(document, latest);
    this.#attempt(document, latest);
  }

  /** After a last attempt for what is not durable; there are no more. Throws the trouble that is left. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [document, latest] of this.#latest) {
      latest.cancelRetry();
      if (this.#troubles.has(document)) this.#attempt(document, latest);
    }
    let last: Promise<void> | undefined;
    while (last !== this.#lastAttempt) {
      last = this.#lastAttempt;
      await last;
    }
    if (this.trouble !== undefined) throw this.trouble;
  }

  #attempt(document: StoreDocument, latest: Latest): void {
    const { store, onDurable } = this.#options;
    const attempt = store.write(document, latest.bytes).then(
      () => {
        this.#troubles.delete(document);
        onDurable(latest.id);
      },
      (error: unknown) => this.#failed(document, latest, error),
    );
    this.#lastAttempt = Promise.all([this.#lastAttempt, attempt]).then(() => {});
  }

  #failed(document: StoreDocument, latest: Latest, error: unknown): void {
    const { clock, onFailed } = this.#options;
    this.#troubles.set(document, asMeshError(error));
    onFailed(document, error);
    if (this.#isClosed || this.#latest.get(document) !== latest) return;
    latest.cancelRetry = clock.at(clock.now() + RETRY_AFTER, () => this.#attempt(document, latest));
  }
}

function asMeshError(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const reason = String(error);
  return new MeshError("state/unwritable", `This node's state cannot be written: ${reason}.`, { file: "", reason }, { cause: error });
}
