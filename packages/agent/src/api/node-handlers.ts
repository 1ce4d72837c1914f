import { type ApiHandlers, DEFAULT_INVITE_SECONDS, DEFAULT_INVITE_USES } from "@mesh/core/api";
import type { CommandResult, MeshNode, NodeCommand, ViewSources } from "@mesh/core/node";
import { seconds } from "@mesh/core/ports";

/** What calls need of the agent. */
export interface NodeCalls {
  /** Throws MeshError `agent/not-running` before the node runs, and when it stops. */
  view<T>(read: (node: MeshNode, sources: ViewSources) => T): T;
  /** Throws as {@link NodeCalls.view}. */
  command(command: NodeCommand): Promise<CommandResult>;
  /** `mesh down`: the agent ends. */
  down(): void;
  /** `mesh leave`: the agent ends, and what it stored goes with it. */
  left(): void;
  /** It cannot go on. */
  fail(error: unknown): void;
}

/** What the API answers: a view of the node, or what comes of a command to it. */
export function nodeHandlers(agent: NodeCalls): ApiHandlers {
  return {
    status: async () => agent.view((node, sources) => node.status(sources)),
    routes: async () => agent.view((node, sources) => node.routes(sources)),
    invite: async ({ uses = DEFAULT_INVITE_USES, ttlSeconds = DEFAULT_INVITE_SECONDS }) => {
      const result = await agent.command({ type: "invite", uses, ttl: seconds(ttlSeconds) });
      if (result.type !== "invite") throw unexpected(result);
      return result.invite;
    },
    ping: async ({ target }) => {
      const result = await agent.command({ type: "ping", target });
      if (result.type !== "ping") throw unexpected(result);
      return result.ping;
    },
    why: async ({ target }) => agent.view((node, sources) => node.why(target, sources)),
    netcheck: async () => {
      await agent.command({ type: "ask-relays" });
      return agent.view((node, sources) => node.netcheck(sources));
    },
    leave: async ({ force = false }) => {
      const result = await agent.command({ type: "leave", isForced: force });
      // It has decided to leave, and could not write that down: the next start is a member's again.
      if (result.type === "failed" && result.error.code === "state/unwritable") agent.fail(result.error);
      if (result.type !== "leave") throw unexpected(result);
      agent.left();
      return result.leave;
    },
    down: async () => {
      agent.down();
      return {};
    },
  };
}

/** To be thrown in place of a result of another type: the reason why there is none. */
export function unexpected(result: CommandResult): Error {
  return result.type === "failed" ? result.error : new TypeError(`a result of type ${result.type}`);
}
