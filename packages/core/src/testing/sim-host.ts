import type { Endpoint } from "../address/endpoint.ts";
import { type Ip, ipFamily } from "../address/ip.ts";
import { makePrefix } from "../address/prefix.ts";
import type { HostView } from "../ports/host-network.ts";
import type { SimNetwork } from "./sim-network.ts";
import type { Receiver, SimSite } from "./sim-site.ts";

/** Of a network, what a socket needs. */
export type SimWire = Pick<SimNetwork, "bind" | "send">;

/** A host that can be carried to another network: its sockets keep their ports, and are at its addresses of the moment. */
export class SimHost implements SimWire {
  readonly #network: SimNetwork;
  #site: SimSite | undefined;
  #ips: readonly Ip[];
  readonly #sockets = new Set<{ readonly name: string; readonly port: number; readonly receive: Receiver; close: () => void }>();

  constructor(network: SimNetwork, place: { readonly site: SimSite | undefined; readonly ips: readonly Ip[] }) {
    this.#network = network;
    this.#site = place.site;
    this.#ips = place.ips;
  }

  get site(): SimSite | undefined {
    return this.#site;
  }

  /** The first of its addresses, at which it is found by TCP too. */
  get ip(): Ip {
    const [ip] = this.#ips;
    if (ip === undefined) throw new TypeError("a host without an address");
    return ip;
  }

  /** In a site with the default routes of its gateway; elsewhere there is nothing to be told apart by them. */
  view(): HostView {
    const addresses = this.#ips.map((ip) => ({ device: "eth0", ip, prefixLength: ipFamily(ip) === 4 ? 24 : 64 }));
    const routes = this.#ips.map((ip) => ({ device: "eth0", prefix: makePrefix(ip, 0) }));
    return { addresses, routes: this.#site === undefined ? [] : routes };
  }

  moveTo(place: { readonly site: SimSite | undefined; readonly ips: readonly Ip[] }): void {
    this.#site = place.site;
    this.#ips = place.ips;
    for (const socket of this.#sockets) {
      socket.close();
      socket.close = this.#open(socket);
    }
  }

  /** The port on all addresses, whatever the endpoint's address is. */
  bind(name: string, { port }: Endpoint, receive: Receiver): () => void {
    const socket = { name, port, receive, close: this.#open({ name, port, receive }) };
    this.#sockets.add(socket);
    return () => {
      socket.close();
      this.#sockets.delete(socket);
    };
  }

  /** From its own address of the destination's family; nothing leaves when it has none. */
  send({ port }: Endpoint, to: Endpoint, bytes: Uint8Array, options: { readonly ttl?: number } = {}): void {
    const ip = this.#ips.find((own) => ipFamily(own) === ipFamily(to.ip));
    if (ip !== undefined) this.#network.send({ ip, port }, to, bytes, { ...options, site: this.#site });
  }

  #open({ name, port, receive }: { readonly name: string; readonly port: number; readonly receive: Receiver }): () => void {
    const closes = this.#ips.map((ip) => this.#network.bind(name, { ip, port }, receive, { site: this.#site }));
    return () => {
      for (const close of closes) close();
    };
  }
}
