import type { SimMesh } from "@mesh/core/testing";
import type { Endpoint } from "../../packages/core/src/address/endpoint.ts";
import type { Ip } from "../../packages/core/src/address/ip.ts";

export interface Seen {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

/** Sees every datagram of a mesh from the start, has an address of its own, and can send from any. Has no keys. */
export class Attacker {
  readonly endpoint: Endpoint = { ip: "203.0.113.66" as Ip, port: 6_666 };
  /** What nodes sent to its own address. */
  readonly answers: Seen[] = [];
  /** Datagrams sent so far. */
  sent = 0;
  /** Bytes sent from its own address so far. */
  sentFromOwn = 0;
  readonly #mesh: SimMesh;
  #seen: Seen[] = [];
  #isSending = false;
  #copied: { readonly from: Endpoint; readonly to: Endpoint } | undefined;

  constructor(mesh: SimMesh) {
    this.#mesh = mesh;
    mesh.network.onDatagram = (from, to, bytes) => {
      if (this.#isSending) return;
      const seen = { from, to, bytes: bytes.slice() };
      this.#seen.push(seen);
      if (this.#copied?.from.ip === from.ip && this.#copied.to.ip === to.ip)
        mesh.clock.at(mesh.clock.now(), () => this.replay([{ ...seen, from: this.endpoint }]));
    };
    mesh.network.bind("attacker", this.endpoint, (from, bytes) => {
      this.answers.push({ from, to: this.endpoint, bytes });
      if (this.#copied?.to.ip === from.ip) this.replay([{ from: this.endpoint, to: this.#copied.from, bytes }]);
    });
  }

  /** Everything seen since the last time, in order. */
  take(): readonly Seen[] {
    const seen = this.#seen;
    this.#seen = [];
    return seen;
  }

  replay(datagrams: readonly Seen[]): void {
    this.#isSending = true;
    for (const { from, to, bytes } of datagrams) {
      this.sent++;
      if (from.ip === this.endpoint.ip) this.sentFromOwn += bytes.length;
      this.#mesh.network.send(from, to, bytes);
    }
    this.#isSending = false;
  }

  /**
   * From now on, what one sends to the other is sent on from the attacker's own address too, and so are the answers;
   * undefined: not any more.
   */
  copy(way: { readonly from: Endpoint; readonly to: Endpoint } | undefined): void {
    this.#copied = way;
  }

  /** Drops what it saw and got, so that only the nodes' memory counts. */
  forget(): void {
    this.#seen = [];
    this.answers.length = 0;
  }
}
