/**
 * Asks the router of each default route for a mapping of the tunnel's UDP port: whoever sends to the router's outside address
 * and port reaches this host then, whatever its NAT does otherwise. docs/paths.md says how and why.
 */
import type { PortMappingView } from "@mesh/core/api";
import type { Random } from "@mesh/core/node";
import { type Clock, type Endpoint, formatEndpoint, type HostView } from "@mesh/core/ports";
import type { Logger } from "pino";
import { askRouter } from "./ask-router.ts";
import { Faults, GATEWAY_PORTS, type GatewayPorts } from "./mapping.ts";
import { MappingKeeper } from "./mapping-keeper.ts";
import { PCP_NONCE_BYTES } from "./pcp-message.ts";
import { type Uplink, uplinksOf } from "./uplinks.ts";

export interface PortMapperOptions {
  /** The tunnel's. */
  readonly udpPort: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** All that is mapped now, whenever that has changed. */
  onMapped(endpoints: readonly Endpoint[]): void;
  /** For tests: where routers listen. */
  readonly ports?: GatewayPorts;
  /** For tests: who is asked, of what a host looks like. */
  readonly uplinksOf?: (view: HostView) => readonly Uplink[];
}

export class PortMapper {
  readonly #options: PortMapperOptions;
  readonly #faults = new Faults();
  readonly #keepers = new Map<string, MappingKeeper>();
  /** Of keepers that are no longer wanted. */
  readonly #closing = new Set<Promise<void>>();
  #told = "";
  #isClosed = false;

  constructor(options: PortMapperOptions) {
    this.#options = options;
  }

  /** The host is, or looks now, like this: another router or address starts over, what is the same goes on. */
  hostChanged(view: HostView): void {
    if (this.#isClosed) return;
    const wanted = new Map((this.#options.uplinksOf ?? uplinksOf)(view).map((uplink) => [JSON.stringify(uplink), uplink]));
    for (const [key, keeper] of this.#keepers) if (!wanted.has(key)) this.#drop(key, keeper);
    for (const [key, uplink] of wanted) if (!this.#keepers.has(key)) this.#keepers.set(key, this.#keep(uplink));
    this.#tell();
  }

  /** What routers did wrong, by name. */
  counters(): Readonly<Record<string, number>> {
    return this.#faults.view();
  }

  /** What comes of it, for people; undefined while nobody has been asked, or has answered yet. */
  view(): PortMappingView | undefined {
    const keepers = [...this.#keepers.values()];
    for (const { grant } of keepers) if (grant !== undefined) return { protocol: grant.protocol, endpoint: formatEndpoint(grant.external) };
    return keepers.some(({ isRefused }) => isRefused) ? { protocol: "pcp, nat-pmp, upnp" } : undefined;
  }

  /** Takes every mapping back, as far as routers answer within 300 ms. Nothing is told any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [key, keeper] of this.#keepers) this.#drop(key, keeper);
    await Promise.all(this.#closing);
  }

  #keep(uplink: Uplink): MappingKeeper {
    const { udpPort: internalPort, clock, random, ports = GATEWAY_PORTS } = this.#options;
    const nonce = random.bytes(PCP_NONCE_BYTES);
    const faults = this.#faults;
    return new MappingKeeper({
      uplink,
      clock,
      faults,
      log: this.#options.log,
      ask: (suggested, signal) => askRouter({ uplink, internalPort, suggested, nonce, ports, clock, random, faults, signal }),
      onChanged: () => this.#tell(),
      onReboot: () => {
        for (const other of this.#keepers.values())
          if (other.uplink.gateway === uplink.gateway || other.uplink.device === uplink.device) other.askAgain();
      },
    });
  }

  #drop(key: string, keeper: MappingKeeper): void {
    this.#keepers.delete(key);
    const closed = keeper.close().finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  #tell(): void {
    const endpoints = [...this.#keepers.values()].flatMap(({ grant }) => grant?.external ?? []);
    const text = JSON.stringify(endpoints);
    if (this.#isClosed || text === this.#told || (this.#told === "" && endpoints.length === 0)) return;
    this.#told = text;
    this.#options.onMapped(endpoints);
  }
}
