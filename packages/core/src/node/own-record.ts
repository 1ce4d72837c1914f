import { type Endpoint, sameEndpoint } from "../address/endpoint.ts";
import { isPrivate } from "../address/ip.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import type { RecordBook } from "../membership/record-book.ts";
import type { Trust } from "../membership/trust.ts";
import { isUsableCandidate } from "../path/candidate.ts";
import type { HostView } from "../ports/host-network.ts";
import { NOWHERE, signEndpointRecord } from "../records/endpoint-record.ts";
import type { Millis } from "../time/millis.ts";
import type { NodeEffect } from "./node-effect.ts";
import { EndpointPublisher, type OwnEndpoints, type OwnPlace, ownEndpoints, placeOf, samePlace } from "./own-endpoints.ts";
import type { Peers } from "./peers.ts";
import type { NodeSnapshot } from "./snapshot.ts";

/** What a node's own record needs of the node around it. */
export interface OwnRecordSurroundings {
  readonly self: NodeId;
  readonly crypto: Crypto;
  readonly key: SigningKey;
  readonly trust: Trust;
  readonly book: RecordBook;
  readonly peers: Pick<Peers, "place" | "assumeReachable">;
  /** As this node starts. */
  readonly host: HostView;
  snapshot(): NodeSnapshot;
  nextSequence(): number;
  /** Writes this down; `then` runs when it is durable. */
  commit(change: Pick<NodeSnapshot, "sequence">, then: () => readonly NodeEffect[]): readonly NodeEffect[];
  /** Merges records of our own making and tells everyone. */
  announce(records: readonly Uint8Array[]): readonly NodeEffect[];
}

/** Where this node is, and the endpoint record that tells the others: what stands in it, and when it is told anew. */
export class OwnRecord {
  readonly #node: OwnRecordSurroundings;
  readonly #publisher = new EndpointPublisher();
  #host: HostView;
  #mapped: readonly Endpoint[] = [];

  constructor(node: OwnRecordSurroundings) {
    this.#node = node;
    this.#host = node.host;
  }

  get host(): HostView {
    return this.#host;
  }

  /** What routers lead to the tunnel's UDP port, by their word. */
  get mapped(): readonly Endpoint[] {
    return this.#mapped;
  }

  /** Where this host can be reached by its own addresses. */
  endpoints(): OwnEndpoints {
    const { udpPort, tcpPort } = this.#node.snapshot();
    return ownEndpoints(this.#node.trust.plan, this.#host, { udp: udpPort, tcp: tcpPort });
  }

  /** Of what routers map, that which others would try. A hole in a firewall for IPv6 leads to an address of this host's own. */
  mappedEndpoints(): readonly Endpoint[] {
    const own = this.endpoints().udp;
    return this.#mapped.filter(
      (endpoint) => isUsableCandidate(this.#node.trust.plan, endpoint) && !own.some((one) => sameEndpoint(one, endpoint)),
    );
  }

  /**
   * Where others believe us, if we are still there: as reachable as before. If it was our last word there is nothing new to say yet; the
   * goodbye of the run before may have been said and not be in the set.
   */
  resume(now: Millis): void {
    const { book, peers, self, snapshot } = this.#node;
    const last = [...book.set.values()].find(({ author, content }) => author === self && content.type === "endpoint");
    const here = { ...NOWHERE, ...this.endpoints() };
    if (last?.content.type !== "endpoint") return;
    const { endpoint } = last.content;
    if (endpoint.isStopped || !samePlace({ ...NOWHERE, udp: endpoint.udp, tcp: endpoint.tcp }, here)) return;
    if (endpoint.isReachable) peers.assumeReachable();
    if (last.sequence >= snapshot().sequence) this.#publisher.resume(endpoint, now);
  }

  /** It has a public address, and nobody has come in unasked yet. */
  mayBeReachable(now: Millis): boolean {
    return !this.#node.peers.place(now).isReachable && this.endpoints().udp.some(({ ip }) => !isPrivate(ip));
  }

  /** The host looks like this now. True when packets leave it, or come to it, otherwise than before. */
  hostChanged(host: HostView, now: Millis): boolean {
    const isElsewhere = placeOf(host) !== placeOf(this.#host);
    this.#host = host;
    this.placeChanged(now);
    return isElsewhere;
  }

  /** Routers map all of this now, and nothing else. True when something is mapped no more: who came in by it cannot any longer. */
  portMapped(mapped: readonly Endpoint[], now: Millis): boolean {
    const hasLost = this.#mapped.some((old) => !mapped.some((endpoint) => sameEndpoint(old, endpoint)));
    this.#mapped = mapped;
    this.placeChanged(now);
    return hasLost;
  }

  /** There may be something to tell. */
  placeChanged(now: Millis): void {
    this.#publisher.want(this.place(now));
  }

  /** Somebody holds a newer record in our name: ours is told again though nothing changed. */
  wasReplaced(now: Millis): void {
    this.#publisher.wantAgain(this.place(now));
  }

  wakeAt(): Millis | undefined {
    return this.#publisher.wakeAt();
  }

  /** Tells what is due to be told. */
  due(now: Millis): readonly NodeEffect[] {
    const place = this.#publisher.takeDue(now);
    return place === undefined ? [] : this.#publish(place);
  }

  #publish(place: OwnPlace): readonly NodeEffect[] {
    const { self, crypto, key, trust, book } = this.#node;
    if (!book.membership.members.has(self)) return [];
    const sequence = this.#node.nextSequence();
    const record = signEndpointRecord(crypto, key, { network: trust.network, sequence, ...place, isStopped: false });
    // Told when the sequence is durable: a sequence used twice would leave two records nobody could order.
    return this.#node.commit({ sequence }, () => this.#node.announce([record]));
  }

  /** Where it is when it starts again, most likely. */
  lastPlace(now: Millis): Pick<OwnPlace, "udp" | "reflexive" | "tcp" | "tcpRelay"> {
    const { udp, reflexive, tcp, tcpRelay } = this.place(now);
    return { udp, reflexive, tcp, tcpRelay };
  }

  /** What the record says, or will say. */
  place(now: Millis): OwnPlace {
    const place = this.#node.peers.place(now);
    const { relayLimit, tcpRelay } = this.#node.snapshot();
    return { ...this.endpoints(), ...place, tcpRelay, isRelay: relayLimit > 0 && (place.isReachable || tcpRelay > 0) };
  }
}
