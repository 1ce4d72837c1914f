import type { Ip } from "../address/ip.ts";
import type { Prefix } from "../address/prefix.ts";

/** What the host looks like from the outside of the mesh: its own links, without ours. */
export interface HostView {
  readonly addresses: readonly HostAddress[];
  readonly routes: readonly HostRoute[];
}

export interface HostAddress {
  readonly device: string;
  readonly ip: Ip;
  /** Link-local, loopback and deprecated addresses are left out before this. */
  readonly prefixLength: number;
}

export interface HostRoute {
  readonly device: string;
  readonly prefix: Prefix; // a default route has length 0
  /** Of a default route: the router behind it, if there is one, and which of several routes counts (the lowest; 0 when absent). */
  readonly gateway?: Ip;
  readonly metric?: number;
}

/** The tunnel device as it should be. The engine made it; the host side dresses it. */
export interface LinkPlan {
  readonly device: string;
  readonly mtu: number;
  /** Each assigned as a single address (/32, /128). */
  readonly addresses: readonly Ip[];
  /** Routed into the device, with the address of the same family as source. */
  readonly routes: readonly Prefix[];
}

/** Changes the host's links, addresses and routes, and only those it made itself. */
export interface HostNetwork {
  /** Addresses and routes of the host now, without loopback and without `exceptDevice`. */
  observe(exceptDevice: string): Promise<HostView>;
  /** Makes the device look as planned: idempotent, removes what an older plan put there. MeshError "host/…" on failure. */
  applyLink(plan: LinkPlan): Promise<void>;
  /**
   * Undoes whatever the journal says was changed and not yet undone: by this process, or by one that was killed. Idempotent;
   * what cannot be undone stays in the journal and is told by the MeshError. Returns what was undone, as commands that do it.
   */
  undo(): Promise<readonly string[]>;
  /** Calls back with a new view after addresses or routes changed. Returns a function that stops the watch. */
  watch(exceptDevice: string, onChange: (view: HostView) => void): () => void;
}
