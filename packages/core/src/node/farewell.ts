import type { LeaveView } from "../api/views.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { MeshError } from "../errors.ts";
import { nodeId } from "../ids/node-id.ts";
import type { Trust } from "../membership/trust.ts";
import { signEndpointRecord } from "../records/endpoint-record.ts";
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
  wallNow(): Millis;
  /** For a record of its own that is to replace whatever it said before. */
  nextSequence(): number;
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
  readonly #waiting = new Map<number, (members: number) => readonly NodeEffect[]>();
  #lastId = 0;
  #hasLeft = false;
  #isSaid = false;

  constructor(node: FarewellSurroundings) {
    this.#node = node;
  }

  /** The membership is over, though its links are still up so that others can be told. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** Peers were told: whoever hears from this node again takes it for alive. */
  get isSaid(): boolean {
    return this.#isSaid;
  }

  stopping(): readonly NodeEffect[] {
    if (this.#hasLeft || !this.#node.isMember()) return [{ type: "stopped" }];
    const { crypto, key, trust } = this.#node;
    const sequence = this.#node.nextSequence();
    const goodbye = signEndpointRecord(crypto, key, { network: trust.network, sequence, udp: [], tcp: [], isStopped: true });
    return this.#node.commit({ sequence }, () => this.#say(goodbye, GOODBYE_WITHIN, () => [{ type: "stopped" }]));
  }

  /** Throws a MeshError when the network's root key would be lost with this node. */
  leave(id: CommandId, isForced: boolean): readonly NodeEffect[] {
    if (this.#node.holdsRoot && !isForced) {
      const hint = "Without it nobody can make admins any more. To leave all the same: mesh leave --force.";
      throw new MeshError("leave/holds-root", "This node holds the network's root key, which would be lost.", {}, { hint });
    }
    const result = (told: number): readonly NodeEffect[] => {
      const leave: LeaveView = { network: this.#node.trust.statement.name, told };
      return [{ type: "command-result", id, result: { type: "leave", leave } }];
    };
    if (this.#hasLeft || !this.#node.isMember()) return result(0);
    this.#hasLeft = true;
    const sequence = this.#node.nextSequence();
    const removal = this.#removal(sequence);
    return this.#node.commit({ sequence, hasLeft: true }, () => this.#say(removal, LEAVE_WITHIN, result));
  }

  settled(id: number, members: number): readonly NodeEffect[] {
    const then = this.#waiting.get(id);
    this.#waiting.delete(id);
    return then?.(members) ?? [];
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

  #say(word: Uint8Array, within: Millis, then: (members: number) => readonly NodeEffect[]): readonly NodeEffect[] {
    this.#isSaid = true;
    const id = ++this.#lastId;
    this.#waiting.set(id, then);
    return [...this.#node.announce([word]), { type: "settle", id, within }];
  }
}
