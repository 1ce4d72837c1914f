import type { Endpoint } from "../address/endpoint.ts";
import type { SocketId } from "../address/way.ts";
import { type Candidate, direct } from "../path/candidate.ts";
import { OPENING_TTL } from "../path/path-state.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { PortPlan, PunchStep } from "../wire/probe.ts";
import { endpointOf, onePort } from "./port-plan.ts";
import { type Punch, type PunchEffect, type PunchOutcome, Repeats, SAMPLINGS, SAYINGS } from "./punch.ts";

// A NAT may remember a PING of the peer that came before ours, and give our flow to that peer another port for as long as it does.
// So each end takes a socket that no NAT has heard of, in an order in which no PING can come too early:
//
//   A  opens a socket, asks a relay for its port a, says a
//   B  opens a socket, asks a relay for its port b, sends a PING from b to a that dies on the way, says b
//   A  sends a PING from a to b that dies on the way, then whole ones
//   B  hears one, and asks back

const FRESH_FOR: Millis = seconds(4);
const SAMPLE = "sample";
const SAY = "say";

export class FreshPunch implements Punch {
  readonly #isAsker: boolean;
  readonly #endsAt: Millis;
  readonly #repeats = new Repeats();
  #theirs: Endpoint | undefined;
  #socket: SocketId | undefined;
  #place: Endpoint | undefined;
  /** The peer's packets may come by it, whatever becomes of ours. */
  #isHeard = false;
  #hasKnocked = false;
  #outcome: PunchOutcome | undefined;

  /** `theirs`: what the peer said; undefined: we say first. */
  constructor(options: { readonly theirs: Endpoint | undefined; readonly now: Millis }) {
    this.#isAsker = options.theirs === undefined;
    this.#theirs = options.theirs;
    this.#endsAt = options.now + FRESH_FOR;
  }

  get sockets(): ReadonlySet<SocketId> {
    return new Set(this.#socket === undefined ? [] : [this.#socket]);
  }

  get kept(): SocketId | undefined {
    return this.#outcome === "met" || this.#isHeard ? this.#socket : undefined;
  }

  get outcome(): PunchOutcome | undefined {
    return this.#outcome;
  }

  /** Whether an offer of the peer that crosses ours is to be taken in its place is for others to say. */
  get isAsker(): boolean {
    return this.#isAsker;
  }

  /** PINGs went to where the peer says that it is. */
  get hasKnocked(): boolean {
    return this.#hasKnocked;
  }

  /** Something of the peer's came from there: its word is proven. */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  owns(candidate: Candidate): boolean {
    return candidate.type === "direct" && candidate.socket !== undefined && candidate.socket === this.#socket;
  }

  start(): readonly PunchEffect[] {
    return [{ type: "open", count: 1 }];
  }

  opened([socket]: readonly SocketId[], now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined) return [];
    if (socket === undefined) return this.#end("vain");
    this.#socket = socket;
    this.#repeats.start(SAMPLE, { type: "sample", socket }, SAMPLINGS, now);
    return this.#repeats.due(now);
  }

  sampled(socket: SocketId, seen: Endpoint, now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined || this.#place !== undefined || socket !== this.#socket) return [];
    this.#place = seen;
    this.#repeats.stop(SAMPLE);
    this.#repeats.start(SAY, { type: "say", step: this.#isAsker ? "fresh" : "fresh-answer", ports: onePort(seen) }, SAYINGS, now);
    return [...(this.#isAsker ? [] : this.#open()), ...this.#repeats.due(now)];
  }

  said(step: PunchStep, ports: PortPlan | undefined, now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined) return [];
    if (step === "busy" || step === "no") return this.#end(step === "busy" ? "busy" : "vain");
    const theirs = ports === undefined ? undefined : endpointOf(ports);
    if (step !== "fresh-answer" || !this.#isAsker || this.#theirs !== undefined || theirs === undefined) return [];
    this.#theirs = theirs;
    this.#repeats.stop(SAY);
    const opening = this.#open();
    if (this.#socket !== undefined) this.#repeats.check(direct(theirs, this.#socket), now);
    return [...opening, ...this.#repeats.due(now)];
  }

  pinged(from: Candidate, _purpose: string, now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined || !this.owns(from)) return [];
    this.#isHeard = true;
    this.#repeats.stop(SAY);
    this.#repeats.check(from, now);
    return this.#repeats.due(now);
  }

  ponged(from: Candidate, rtt: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined || !this.owns(from)) return [];
    return [...this.#end("met"), { type: "found", candidate: from, rtt }];
  }

  timer(now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined) return [];
    return now >= this.#endsAt ? this.#end("vain") : this.#repeats.due(now);
  }

  wakeAt(): Millis | undefined {
    return this.#outcome === undefined ? earliest(this.#endsAt, this.#repeats.wakeAt()) : undefined;
  }

  /** Our own NAT shall expect the peer; the peer's shall hear nothing of it. */
  #open(): readonly PunchEffect[] {
    if (this.#theirs === undefined || this.#socket === undefined) return [];
    this.#hasKnocked = true;
    return [{ type: "ping", to: direct(this.#theirs, this.#socket), purpose: "discover", ttl: OPENING_TTL }];
  }

  #end(outcome: PunchOutcome): readonly PunchEffect[] {
    this.#outcome = outcome;
    this.#repeats.clear();
    return [];
  }
}
