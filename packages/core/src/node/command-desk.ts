import { address4 } from "../address/address-plan.ts";
import { MeshError } from "../errors.ts";
import { type NodeId, shortId } from "../ids/node-id.ts";
import type { RecordBook } from "../membership/record-book.ts";
import type { Trust } from "../membership/trust.ts";
import type { Millis } from "../time/millis.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import type { Farewell } from "./farewell.ts";
import { findMember } from "./find-member.ts";
import type { NodeEffect } from "./node-effect.ts";
import type { CommandId, NodeCommand } from "./node-event.ts";
import type { Pong } from "./peer.ts";
import { isUnheardInTunnel, pathText } from "./peer-state.ts";
import type { Peers } from "./peers.ts";
import { PingDesk, pingView } from "./ping-desk.ts";

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
      }
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      return [{ type: "command-result", id, result: { type: "failed", error } }];
    }
  }

  answered({ node, rtt }: Pong, now: Millis): readonly NodeEffect[] {
    return this.#pings.takeAnswered(node).map((id) => this.#pingResult(id, node, rtt, now));
  }

  overdue(now: Millis): readonly NodeEffect[] {
    return this.#pings.takeOverdue(now).map(([id, node]) => this.#pingResult(id, node, undefined, now));
  }

  wakeAt(): Millis | undefined {
    return this.#pings.wakeAt();
  }

  #pingResult(id: CommandId, node: NodeId, rtt: Millis | undefined, now: Millis): NodeEffect {
    const { trust, book, peers } = this.#node;
    const nameOf = (of: NodeId): string => book.membership.members.get(of)?.name ?? shortId(of);
    const member = book.membership.members.get(node);
    const peer = peers.peer(node);
    const ping = pingView({
      node: nameOf(node),
      address: member === undefined ? "-" : address4(trust.plan, member.certificate.number),
      path: peer === undefined ? "not a member any more" : pathText(peer.path, { now, nameOf }),
      rtt,
      session: peer?.sessionAt !== undefined,
      throughTunnel: !isUnheardInTunnel(peer, now),
    });
    return { type: "command-result", id, result: { type: "ping", ping } };
  }
}
