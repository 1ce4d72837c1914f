import { address4 } from "../address/address-plan.ts";
import { formatEndpoint } from "../address/endpoint.ts";
import { MeshError } from "../errors.ts";
import { type NodeId, shortId } from "../ids/node-id.ts";
import type { RecordBook } from "../membership/record-book.ts";
import type { Trust } from "../membership/trust.ts";
import { isTcpEndpoint } from "../path/candidate.ts";
import type { Millis } from "../time/millis.ts";
import { earliest } from "../time/wake.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import { AskDesk } from "./ask-desk.ts";
import type { Farewell } from "./farewell.ts";
import { findMember } from "./find-member.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { CommandId, NodeCommand } from "./node-event.ts";
import type { Pong } from "./peer.ts";
import { candidateText, isUnheardInTunnel, type Names, pathText } from "./peer-state.ts";
import type { Peers } from "./peers.ts";
import { type PingAnswer, PingDesk, pingView } from "./ping-desk.ts";

/** Members asked for one command: more relays than anyone compares, and 10 kB. */
const MAX_ASKED = 64;

interface CommandSurroundings {
  readonly self: NodeId;
  readonly trust: Trust;
  readonly book: RecordBook;
  readonly peers: Peers;
  readonly desk: AdmissionDesk;
  readonly farewell: Farewell;
}

/** What people ask of a node, and its answers. */
export class CommandDesk {
  readonly #pings = new PingDesk();
  readonly #asks = new AskDesk();
  readonly #node: CommandSurroundings;

  constructor(node: CommandSurroundings) {
    this.#node = node;
  }

  /** The result comes at once or later, as `command-result`. */
  command(id: CommandId, command: NodeCommand, now: Millis): readonly NodeEffect[] {
    const { self, trust, book, peers, desk, farewell } = this.#node;
    try {
      switch (command.type) {
        case "invite":
          return desk.invite(command, (invite) => [{ type: "command-result", id, result: { type: "invite", invite } }]);
        case "leave":
          return farewell.leave(id, command.isForced);
        case "ping": {
          const member = findMember(command.target, { members: book.membership.members, plan: trust.plan, self });
          if (!this.#pings.add(id, member.id, now)) return [this.#pingResult(id, member.id, undefined, now)];
          return peers.ping(member.id, now);
        }
        case "ask-relays":
          return this.#askRelays(id, now);
      }
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      return [{ type: "command-result", id, result: { type: "failed", error } }];
    }
  }

  answered(pong: Pong, now: Millis): readonly NodeEffect[] {
    const { node } = pong;
    const pings = this.#pings.takeAnswered(node).map((id) => this.#pingResult(id, node, pong, now));
    return [...pings, ...this.#asks.takeAnswered(node).map(asked)];
  }

  overdue(now: Millis): readonly NodeEffect[] {
    const pings = this.#pings.takeOverdue(now).map(([id, node]) => this.#pingResult(id, node, undefined, now));
    return [...pings, ...this.#asks.takeOverdue(now).map(asked)];
  }

  wakeAt(): Millis | undefined {
    return earliest(this.#pings.wakeAt(), this.#asks.wakeAt());
  }

  /** Homes first: of very many only some are asked. */
  #askRelays(id: CommandId, now: Millis): readonly NodeEffect[] {
    const { book, peers } = this.#node;
    if (this.#asks.isFull) return [asked(id)];
    const homes = peers.surroundings(now).homes.map(({ node }) => node);
    const relays = book.set.endpointRecords().flatMap(({ node, isRelay }) => (isRelay ? [node] : []));
    const questions = [...new Set([...homes, ...relays])]
      .slice(0, MAX_ASKED)
      .map((node) => ({ node, effects: peers.ask(node, now) }))
      .filter(({ effects }) => effects.length > 0);
    if (questions.length === 0) return [asked(id)];
    this.#asks.add(
      id,
      questions.map(({ node }) => node),
      now,
    );
    return questions.flatMap(({ effects }) => effects);
  }

  #pingResult(id: CommandId, node: NodeId, pong: Pong | undefined, now: Millis): NodeEffect {
    const { trust, book, peers } = this.#node;
    const nameOf = (of: NodeId): string => book.membership.members.get(of)?.name ?? shortId(of);
    const names = { nameOf, isByTcp: (relay: NodeId) => peers.isByTcp(relay) };
    const member = book.membership.members.get(node);
    const peer = peers.peer(node);
    const ping = pingView({
      node: nameOf(node),
      address: member === undefined ? "-" : address4(trust.plan, member.certificate.number),
      path: peer === undefined ? "not a member any more" : pathText(peer.path, { now, ...names }),
      answer: pong === undefined ? undefined : answerOf(pong, names),
      session: peer?.sessionAt !== undefined,
      throughTunnel: !isUnheardInTunnel(peer, now),
    });
    return { type: "command-result", id, result: { type: "ping", ping } };
  }
}

function asked(id: CommandId): NodeEffect {
  return { type: "command-result", id, result: { type: "ask-relays" } };
}

function answerOf({ candidate, rtt }: Pong, names: Names): PingAnswer {
  const path = candidateText(candidate, names);
  if (candidate.type === "relay") return { path, relay: names.nameOf(candidate.relay), rtt };
  return isTcpEndpoint(candidate.endpoint) ? { path, rtt } : { path, endpoint: formatEndpoint(candidate.endpoint), rtt };
}
