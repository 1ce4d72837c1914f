import type { Endpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import type { SocketId } from "../address/way.ts";
import type { Random } from "../crypto/crypto.ts";
import { type Candidate, direct, formatCandidate, sameCandidate } from "../path/candidate.ts";
import { OPENING_TTL } from "../path/path-state.ts";
import { type Millis, seconds } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { PortPlan, ProbePurpose, PunchStep } from "../wire/probe.ts";
import { endpointOf, meetingPoint, onePort, planOf, portsOf, RANGE_FLOWS, SAMPLES, SEQUENCE_FLOWS } from "./port-plan.ts";
import { type Punch, type PunchEffect, type PunchOutcome, Repeats, SAMPLINGS, SAYINGS } from "./punch.ts";

// The asker's NAT gives each flow another port, and the peer's lets in only whom it sent to. Many sockets make many flows, and one
// of them is met.
//
//   asker                                            peer whose ports stay                 peer whose ports vary, too
//   ask, and sample: a relay tells the ports
//     of a few flows                                 ready: where it is                    sample; in a row: plan, else no
//   plan: in a row, or by chance
//   dig: each socket sends a PING that dies          knock: PINGs to the ports of          (both in a row) meet: each socket
//     on the way                                       the plan                              sends to one port of the other
//   answers, and asks back                           takes the first way that answers      takes the first way that answers
//   takes the way that was nominated                   and nominates it                      and nominates it
//
// Each end sends packets by the way only when its own PING was answered there. One end alone chooses, because many ways may be met at
// once, and the sockets of all others are closed.

/** One sample may be missing after the first span; after the second, as many as will. */
const SAMPLING_FOR: { readonly most: Millis; readonly all: Millis } = { most: 400, all: 1_500 };
/** From its beginning, whatever came of it: 7.2 s for all PINGs, and as much again for a busy machine. Home routers remember a flow for longer. */
const SEARCH_FOR: Millis = seconds(18);
/** An end that waits for the other's part, or for witnesses, waits so long. */
const PART_FOR: Millis = seconds(2.5);
/** PINGs are sent in portions, so that a scan sends 250 a second and leaves 50 of what a host may send for everything else. After a stall, what was missed is made up for up to LATE_TICKS. */
const TICK: Millis = 8;
const LATE_TICKS = 10;
const PER_TICK = { dig: { sequence: 20, range: 10 }, knock: { sequence: 3, range: 2 }, meet: 10 };
/** All flows of a meeting, first those that die on the way. */
const MEETING_PASSES: readonly Millis[] = [0, 150, 350, 700, 1_300, 2_200];
const NOMINATIONS: readonly Millis[] = [0, 50, 150, 350, 750];
/** Ways that are asked back at the same time; a row is met often. */
const MAX_CHECKS = 8;
const [SAY, NOMINATE] = ["say", "nominate"];

type Task = Omit<Extract<PunchEffect, { type: "ping" }>, "type" | "purpose">;

export interface HardPunchOptions {
  readonly isAsker: boolean;
  /** Our own NAT gives each flow another port. */
  readonly isVarying: boolean;
  /** Where we are found from outside, if it does not. */
  readonly place: Endpoint | undefined;
  readonly random: Random;
  /** Others see the peer at this address. */
  readonly isWitnessed: (ip: Ip, now: Millis) => boolean;
  readonly now: Millis;
}

export class HardPunch implements Punch {
  readonly #options: HardPunchOptions;
  readonly #endsAt: Millis;
  readonly #sockets = new Set<SocketId>();
  readonly #samples = new Map<SocketId, Endpoint | undefined>();
  readonly #repeats = new Repeats();
  readonly #answered = new Map<string, { readonly candidate: Candidate; readonly rtt: Millis }>();
  #ours: PortPlan | undefined;
  #theirs: PortPlan | undefined;
  /** It ends then unless its next part has begun. */
  #partEndsAt: Millis;
  #work: "dig" | "knock" | "meet" | undefined;
  #target: Endpoint | undefined;
  #tasks: Task[] = [];
  #perTick = 0;
  #passes: readonly Millis[] = [];
  #isOpening = false;
  #isRefused = false;
  #workedAt = 0;
  #chosen: Candidate | undefined;
  #outcome: PunchOutcome | undefined;

  constructor(options: HardPunchOptions) {
    this.#options = options;
    this.#endsAt = options.now + SEARCH_FOR;
    this.#partEndsAt = options.now + PART_FOR;
  }

  get sockets(): ReadonlySet<SocketId> {
    return this.#sockets;
  }

  get kept(): SocketId | undefined {
    return this.#chosen?.type === "direct" ? this.#chosen.socket : undefined;
  }

  get outcome(): PunchOutcome | undefined {
    return this.#outcome;
  }

  /** It was tried, or cannot be: to begin again soon would end the same way. */
  get isConclusive(): boolean {
    return this.#work !== undefined || this.#isRefused;
  }

  get isAsker(): boolean {
    return this.#options.isAsker;
  }

  /** Sends many PINGs to ports of this address. */
  get scans(): Ip | undefined {
    return this.#work === "knock" ? this.#theirs?.ip : undefined;
  }

  owns(candidate: Candidate): boolean {
    if (candidate.type === "relay") return false;
    if (candidate.socket !== undefined) return this.#sockets.has(candidate.socket);
    return candidate.endpoint.ip === this.scans;
  }

  start(now: Millis): readonly PunchEffect[] {
    const { isAsker, isVarying, place } = this.#options;
    if (isAsker) this.#repeats.start(SAY, { type: "say", step: "ask" }, SAYINGS, now);
    else if (!isVarying && place !== undefined)
      this.#repeats.start(SAY, { type: "say", step: "ready", ports: onePort(place) }, SAYINGS, now);
    else if (!isVarying) return this.#refuse();
    return [...(isVarying ? [{ type: "open", count: SAMPLES } as const] : []), ...this.#repeats.due(now)];
  }

  opened(sockets: readonly SocketId[], now: Millis): readonly PunchEffect[] {
    for (const socket of sockets) this.#sockets.add(socket);
    this.#isOpening = false;
    if (this.#outcome !== undefined) return [];
    if (this.#work === undefined && this.#samples.size === 0) {
      for (const socket of sockets) {
        this.#samples.set(socket, undefined);
        this.#repeats.start(`sample ${socket}`, { type: "sample", socket }, SAMPLINGS, now);
      }
      return sockets.length === 0 ? this.#refuse() : this.#repeats.due(now);
    }
    return this.#workOn(now);
  }

  sampled(socket: SocketId, seen: Endpoint, now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined || this.#ours !== undefined || !this.#samples.has(socket)) return [];
    this.#samples.set(socket, seen);
    this.#repeats.stop(`sample ${socket}`);
    return [...this.#samples.values()].every((known) => known !== undefined) ? this.#plan(now) : [];
  }

  said(step: PunchStep, ports: PortPlan | undefined, now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined || this.#work !== undefined) return [];
    this.#isRefused = step === "no";
    if (step === "busy" || step === "no") return this.#end(step === "busy" ? "busy" : "vain");
    if ((step !== "ready" && step !== "plan") || ports === undefined || this.#theirs !== undefined) return [];
    this.#repeats.stop(SAY);
    this.#theirs = ports;
    this.#partEndsAt = now + PART_FOR;
    return this.#goOn(now);
  }

  pinged(from: Candidate, purpose: ProbePurpose, now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined || !this.owns(from)) return [];
    this.#repeats.stop(SAY);
    if (this.#isChooser) {
      if (this.#chosen === undefined && this.#repeats.size < MAX_CHECKS) this.#repeats.check(from, now);
      return this.#repeats.due(now);
    }
    const known = this.#answered.get(formatCandidate(from));
    // A heartbeat goes by the way that is in use: what nominated it was lost.
    if ((purpose === "nominate" || purpose === "heartbeat") && this.#chosen === undefined) {
      this.#chosen = from;
      this.#rest();
      if (known !== undefined) return this.#met(known);
    }
    const isWorthIt = this.#chosen === undefined ? this.#repeats.size < MAX_CHECKS : sameCandidate(this.#chosen, from);
    if (known === undefined && isWorthIt) this.#repeats.check(from, now);
    return this.#repeats.due(now);
  }

  ponged(from: Candidate, rtt: Millis, now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined || !this.owns(from)) return [];
    const answer = { candidate: from, rtt };
    if (!this.#isChooser) {
      this.#answered.set(formatCandidate(from), answer);
      this.#repeats.stop(formatCandidate(from));
      return sameCandidate(this.#chosen, from) ? this.#met(answer) : [];
    }
    if (this.#chosen !== undefined) return [];
    this.#chosen = from;
    this.#rest();
    this.#repeats.start(NOMINATE, { type: "ping", to: from, purpose: "nominate" }, NOMINATIONS, now);
    return [{ type: "found", ...answer }, ...this.#repeats.due(now)];
  }

  timer(now: Millis): readonly PunchEffect[] {
    if (this.#outcome !== undefined) return [];
    const said = this.#repeats.due(now);
    if (this.#chosen !== undefined && this.#isChooser && this.#repeats.size === 0) this.#end("met");
    if (now >= this.#endsAt) this.#end("vain");
    if (this.#outcome !== undefined) return said;
    if (this.#work !== undefined) return [...said, ...this.#workOn(now)];
    if (now >= this.#partEndsAt) return [...said, ...this.#giveUp()];
    const plansAt = this.#plansAt();
    return [...said, ...(plansAt !== undefined && now >= plansAt ? this.#plan(now) : this.#goOn(now))];
  }

  wakeAt(): Millis | undefined {
    if (this.#outcome !== undefined) return undefined;
    const workAt = this.#tasks.length > 0 ? this.#workedAt + TICK : this.#passes[0];
    if (this.#work !== undefined) return earliest(this.#endsAt, this.#repeats.wakeAt(), this.#isOpening ? undefined : workAt);
    const isWaiting = this.#theirs !== undefined && (this.#ours !== undefined || !this.#options.isVarying);
    return earliest(this.#partEndsAt, this.#repeats.wakeAt(), this.#plansAt(), isWaiting ? this.#workedAt + TICK : undefined);
  }

  /** When the samples that are there must do; undefined: none are under way. */
  #plansAt(): Millis | undefined {
    if (this.#ours !== undefined || this.#samples.size === 0) return undefined;
    const known = [...this.#samples.values()].filter((seen) => seen !== undefined).length;
    return this.#options.now + (known >= SAMPLES - 1 ? SAMPLING_FOR.most : SAMPLING_FOR.all);
  }

  get #isChooser(): boolean {
    return !this.#options.isAsker;
  }

  #plan(now: Millis): readonly PunchEffect[] {
    this.#ours = planOf([...this.#samples.values()].filter((seen) => seen !== undefined));
    for (const socket of this.#samples.keys()) this.#repeats.stop(`sample ${socket}`);
    if (this.#ours === undefined) return this.#giveUp();
    if (this.#options.isAsker) return this.#goOn(now);
    // Both vary: then both must be in a row, or two chances in sixty thousand would have to meet.
    if (this.#ours.kind !== "sequence") return this.#refuse();
    this.#repeats.start(SAY, { type: "say", step: "plan", ports: this.#ours }, SAYINGS, now);
    return [...this.#goOn(now), ...this.#repeats.due(now)];
  }

  /** When both parts and the witnesses are there, the work begins. */
  #goOn(now: Millis): readonly PunchEffect[] {
    const { isAsker, isVarying } = this.#options;
    const [ours, theirs] = [this.#ours, this.#theirs];
    if (theirs === undefined || (isVarying && ours === undefined)) return [];
    this.#workedAt = now;
    const place = endpointOf(theirs);
    const point = isVarying && ours?.kind === "sequence" ? meetingPoint(theirs) : undefined;
    const canDig = isAsker && place !== undefined;
    const canKnock = !isVarying && place === undefined;
    if (!canDig && !canKnock && point === undefined) return this.#refuse();
    if (!this.#options.isWitnessed(theirs.ip, now)) return [];
    const saying = isAsker && ours !== undefined ? this.#sayPlan(ours, now) : [];
    if (canKnock) {
      this.#begin("knock", PER_TICK.knock[theirs.kind === "range" ? "range" : "sequence"]);
      this.#tasks = portsOf(theirs, this.#options.random).map((port) => ({ to: direct({ ip: theirs.ip, port }) }));
      return this.#workOn(now + TICK);
    }
    const kind = ours?.kind === "sequence" ? "sequence" : "range";
    this.#target = place ?? point;
    this.#isOpening = true;
    if (canDig) this.#begin("dig", PER_TICK.dig[kind]);
    else this.#begin("meet", PER_TICK.meet);
    this.#passes = canDig ? [now] : MEETING_PASSES.map((after) => now + after);
    return [...saying, { type: "open", count: (kind === "sequence" ? SEQUENCE_FLOWS : RANGE_FLOWS) - this.#sockets.size }];
  }

  #begin(work: "dig" | "knock" | "meet", perTick: number): void {
    this.#work = work;
    this.#perTick = perTick;
    if (work === "knock") this.#repeats.stop(SAY);
  }

  #sayPlan(ports: PortPlan, now: Millis): readonly PunchEffect[] {
    this.#repeats.start(SAY, { type: "say", step: "plan", ports }, SAYINGS, now);
    return this.#repeats.due(now);
  }

  #workOn(now: Millis): readonly PunchEffect[] {
    if (this.#isOpening || this.#chosen !== undefined) return [];
    const target = this.#target;
    const isPass = this.#passes[0] !== undefined && this.#passes[0] <= now;
    if (isPass && target !== undefined && this.#tasks.length === 0) {
      // Only our own NAT shall see the first ones; the peer's would remember what comes unasked.
      const isFirst = this.#work === "dig" || this.#passes.length === MEETING_PASSES.length;
      this.#tasks = [...this.#sockets].map((socket) => ({ to: direct(target, socket), ...(isFirst && { ttl: OPENING_TTL }) }));
      this.#passes = this.#passes.slice(1);
      this.#workedAt = now - TICK;
    }
    const ticks = Math.min(LATE_TICKS, Math.floor((now - this.#workedAt) / TICK));
    if (ticks <= 0) return [];
    this.#workedAt = now;
    return this.#tasks.splice(0, ticks * this.#perTick).map((task) => ({ type: "ping", purpose: "discover", ...task }));
  }

  #met(answer: { readonly candidate: Candidate; readonly rtt: Millis }): readonly PunchEffect[] {
    this.#end("met");
    return [{ type: "found", ...answer }];
  }

  /** This time; it may be better the next. */
  #giveUp(): readonly PunchEffect[] {
    this.#end("vain");
    return [{ type: "say", step: "busy" }];
  }

  /** The peer need not wait for us. */
  #refuse(): readonly PunchEffect[] {
    this.#isRefused = true;
    this.#end("vain");
    return [{ type: "say", step: "no" }];
  }

  #end(outcome: PunchOutcome): readonly PunchEffect[] {
    this.#outcome = outcome;
    this.#rest();
    return [];
  }

  #rest(): void {
    this.#repeats.clear();
    this.#tasks = [];
    this.#passes = [];
  }
}
