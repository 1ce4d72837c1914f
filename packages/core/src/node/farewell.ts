import type { LeaveView } from "../api/views.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { MeshError } from "../errors.ts";
import { nodeId } from "../ids/node-id.ts";
import type { Trust } from "../membership/trust.ts";
import { type EndpointRecord, NOWHERE, signEndpointRecord } from "../records/endpoint-record.ts";
import { signRemoval } from "../records/removal.ts";
import { type Millis, seconds } from "../time/millis.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { CommandId } from "./node-event.ts";

/** A goodbye is a courtesy: who does not get it notices the silence by itself. The agent's end must not wait for it any longer. */
const GOODBYE_WITHIN: Millis = seconds(1);

/** A node that leaves is told to be gone by those who heard it: worth waiting for, and still below a person's patience. */
const LEAVE_WITHIN: Millis = seconds(3);

/** What a farewell needs of the node around it. */
export interface FarewellSurroundings {
  readonly crypto: Crypto;
  readonly key: SigningKey;
  readonly trust: Trust;
  readonly holdsRoot: boolean;
  isMember(): boolean;
  /** A member is linked, or there is no other. */
  isHeard(): boolean;
  wallNow(): Millis;
  /** For a record of its own that is to replace whatever it said before. */
  nextSequence(): number;
  /** Where it is when it comes back, most likely: who has lost all others meanwhile looks there. */
  place(): Pick<EndpointRecord, "udp" | "reflexive" | "tcp" | "tcpRelay">;
  /** This node's own certificate record. */
  certificate(): Uint8Array;
  /** Writes this down; `then` runs when it is durable. */
  commit(change: FarewellChange, then: () => readonly NodeEffect[]): readonly NodeEffect[];
  /** Merges records of our own making and tells everyone. */
  announce(records: readonly Uint8Array[]): readonly NodeEffect[];
}

interface FarewellChange {
  readonly sequence: number;
  readonly hasLeft?: true;
}

/**
 * How a node ends, for now or for good. Either way the word is durable before it is told, and told before the links go:
 *
 *   stopping       → "stopped" is written → published → settled, or 1 s over → `stopped`
 *   leave command  → "left" is written → published → settled, or 3 s over → result; the agent ends and deletes what is stored
 */
export class Farewell {
  readonly #node: FarewellSurroundings;
  /** Of the word that is being told: who waits until it is. */
  #waiting: ((members: number) => readonly NodeEffect[])[] = [];
  #lastId = 0;
  #hasLeft = false;
  #isBegun = false;

  constructor(node: FarewellSurroundings) {
    this.#node = node;
  }

  /** The membership is over, though its links are still up so that others can be told. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** Peers are being told: whoever hears from this node again, or of new endpoints, takes it for alive. */
  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** Who ends without wanting to is not said to have left: its peers shall call it failed. */
  stopping(isWanted: boolean): readonly NodeEffect[] {
    const stopped = (): readonly NodeEffect[] => [{ type: "stopped" }];
    if (this.#waiting.length > 0) return this.#join(stopped);
    if (!isWanted || this.#isBegun || !this.#node.isMember()) return stopped();
    const { crypto, key, trust } = this.#node;
    const sequence = this.#node.nextSequence();
    const goodbye = signEndpointRecord(crypto, key, {
      network: trust.network,
      sequence,
      ...NOWHERE,
      ...this.#node.place(),
      isStopped: true,
    });
    return this.#say(goodbye, { sequence }, { within: GOODBYE_WITHIN, done: stopped });
  }

  /** Throws a MeshError when the network's root key would be lost with this node, or nobody would hear of it, unless forced. */
  leave(id: CommandId, isForced: boolean): readonly NodeEffect[] {
    const result = (told: number): readonly NodeEffect[] => {
      const leave: LeaveView = { network: this.#node.trust.statement.name, told };
      return [{ type: "command-result", id, result: { type: "leave", leave } }];
    };
    if (this.#waiting.length > 0) return this.#join(result);
    if (this.#isBegun || !this.#node.isMember()) return result(0);
    if (!isForced) this.#requireHarmless();
    const sequence = this.#node.nextSequence();
    this.#hasLeft = true;
    return this.#say(this.#removal(sequence), { sequence, hasLeft: true }, { within: LEAVE_WITHIN, done: result });
  }

  settled(id: number, members: number): readonly NodeEffect[] {
    if (id !== this.#lastId) return [];
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting.flatMap((then) => then(members));
  }

  #requireHarmless(): void {
    if (this.#node.holdsRoot) {
      const hint = "Without it nobody can make admins any more. To leave all the same: mesh leave --force.";
      throw new MeshError("leave/holds-root", "This node holds the network's root key, which would be lost.", {}, { hint });
    }
    if (!this.#node.isHeard()) {
      const hint = "Try again when `mesh status` shows a link; with --force the others go on showing this node until an admin removes it.";
      throw new MeshError("leave/unheard", "No member can be told that this node leaves.", {}, { hint });
    }
  }

  #removal(sequence: number): Uint8Array {
    const { crypto, key, trust } = this.#node;
    return signRemoval(crypto, key, {
      network: trust.network,
      target: nodeId(key.publicKey),
      isOut: true,
      wallAt: Math.floor(this.#node.wallNow()),
      signerCertificate: this.#node.certificate(),
      sequence,
    });
  }

  /** A second wish while the first is carried out waits with it. */
  #join(then: (members: number) => readonly NodeEffect[]): readonly NodeEffect[] {
    this.#waiting.push(then);
    return [];
  }

  #say(
    word: Uint8Array,
    change: FarewellChange,
    told: { readonly within: Millis; readonly done: (members: number) => readonly NodeEffect[] },
  ): readonly NodeEffect[] {
    this.#isBegun = true;
    this.#waiting.push(told.done);
    const id = ++this.#lastId;
    return this.#node.commit(change, () => [...this.#node.announce([word]), { type: "settle", id, within: told.within }]);
  }
}
