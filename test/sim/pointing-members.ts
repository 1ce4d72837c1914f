import type { SimMesh, SimNode } from "@mesh/core/testing";
import type { Endpoint } from "../../packages/core/src/address/endpoint.ts";
import type { NetworkId } from "../../packages/core/src/ids/network-id.ts";
import { direct } from "../../packages/core/src/path/candidate.ts";
import { ProbeExchange } from "../../packages/core/src/path/probe-exchange.ts";
import { NOWHERE, signEndpointRecord } from "../../packages/core/src/records/endpoint-record.ts";

/** A member that does nothing but say that it is where others are, by offers and by records. It answers no PING, for it gets none. */
export class PointingMember {
  readonly #mesh: SimMesh;
  readonly #node: SimNode;
  readonly #probes: ProbeExchange;
  readonly #targets: readonly SimNode[];
  readonly #network: NetworkId;
  #sequence: number;

  /** `node` is gone from then on, and its keys are used here. */
  constructor(mesh: SimMesh, node: SimNode, targets: readonly SimNode[]) {
    const { crypto } = mesh;
    this.#mesh = mesh;
    this.#node = node;
    this.#targets = targets;
    this.#sequence = Math.floor(mesh.clock.wallNow());
    this.#probes = new ProbeExchange({ crypto, random: mesh.stream(`points ${node.name}`), key: crypto.agreementKeyOf(node.key) });
    for (const [slot, target] of targets.entries()) this.#probes.addPeer(slot, crypto.agreementKeyOf(target.key).publicKey);
    this.#network = node.node.trust.network;
    node.crash();
    // It hears who its targets are now, as an offer needs, and answers nothing.
    mesh.network.bind(node.name, node.udp, (from, bytes) => {
      this.#probes.receive({ candidate: direct(from), endpoint: from }, bytes, { receivedAt: 0, now: 0 });
    });
    this.#ping(node.udp);
  }

  /** Tells every target in an offer that it is there, 12 endpoints at most. */
  offer(endpoints: readonly Endpoint[]): void {
    for (const [slot, target] of this.#targets.entries()) {
      const frame = this.#probes.frame(slot, { type: "offer", own: [], reflexive: endpoints, isAnswer: false, mapping: "unknown" });
      if (frame !== undefined) this.#mesh.network.send(this.#node.udp, target.udp, frame);
    }
  }

  /** The same by a PING with the source of someone else. */
  pingFrom(source: Endpoint): void {
    this.#ping(source);
  }

  /** The same in its record. */
  publish(udp: readonly Endpoint[]): void {
    const record = signEndpointRecord(this.#mesh.crypto, this.#node.key, {
      network: this.#network,
      sequence: ++this.#sequence,
      ...NOWHERE,
      udp,
      isStopped: false,
    });
    for (const target of this.#targets) target.dispatch({ type: "records", from: target.id, via: "gossip", records: [record] });
  }

  /** Whoever wants to reach it looks for it. */
  attract(): void {
    for (const target of this.#targets) target.send(this.#node);
  }

  #ping(source: Endpoint): void {
    for (const [slot, target] of this.#targets.entries()) {
      const frame = this.#probes.ping(slot, direct(target.udp), { purpose: "discover", now: 0 });
      if (frame !== undefined) this.#mesh.network.send(source, target.udp, frame);
    }
  }
}
