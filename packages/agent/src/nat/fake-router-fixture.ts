import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type Clock, type Endpoint, type Ip, ipFromBytes } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import { elementText } from "./igd-message.ts";
import { Faults, type MappingQuestion } from "./mapping.ts";
import { encodeNatPmpResponse } from "./nat-pmp-message.ts";
import { encodePcpResponse } from "./pcp-message.ts";

/** What a router answers to one datagram; a list is sent in its order. */
export type Answer = (request: Buffer) => Uint8Array | readonly Uint8Array[] | undefined;

export interface FakeRouterOptions {
  readonly ip?: Ip;
  /** Of datagrams of PCP (version 2). Silent unless given. */
  readonly pcp?: Answer;
  /** Of datagrams of NAT-PMP (version 0). Silent unless given. */
  readonly natPmp?: Answer;
  /** Whether searches are answered; with other text in place of the right one if given. */
  readonly search?: boolean | ((location: string) => string);
  /** Of SOAP actions: a status and a body. */
  readonly soap?: (action: string, body: string) => readonly [number, string];
  /** In place of the device description. */
  readonly description?: string;
}

export const ROUTER_IP: Ip = "127.0.0.1" as Ip;
export const EXTERNAL: Endpoint = { ip: "11.22.33.2" as Ip, port: 40_000 };
export const INTERNAL_PORT = 51_820;

/** A router on loopback, on ports of the kernel's choice. Whatever it hears is kept. */
export class FakeRouter {
  readonly heard: Buffer[] = [];
  readonly actions: { readonly name: string; readonly body: string }[] = [];
  readonly #control: Socket;
  readonly #search: Socket;
  readonly #http: Server;

  private constructor(control: Socket, search: Socket, http: Server) {
    this.#control = control;
    this.#search = search;
    this.#http = http;
  }

  static async open(t: TestContext, options: FakeRouterOptions): Promise<FakeRouter> {
    const ip = options.ip ?? ROUTER_IP;
    const [control, search] = [createSocket(ip.includes(":") ? "udp6" : "udp4"), createSocket(ip.includes(":") ? "udp6" : "udp4")];
    const http = createServer();
    const router = new FakeRouter(control, search, http);
    t.after(() => router.#close());
    for (const socket of [control, search]) {
      socket.bind(0, ip);
      await once(socket, "listening");
    }
    http.listen(0, ip);
    await once(http, "listening");
    router.#serve(options);
    return router;
  }

  get ports(): MappingQuestion["ports"] {
    return { control: this.#control.address().port, search: this.#search.address().port };
  }

  get httpPort(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  /** Requests of that protocol so far. */
  heardOf(version: 0 | 2): readonly Buffer[] {
    return this.heard.filter(([first]) => first === version);
  }

  #serve({ pcp, natPmp, search, soap, description }: FakeRouterOptions): void {
    this.#control.on("message", (request: Buffer, from: RemoteInfo) => {
      this.heard.push(request);
      const answers = (request[0] === 2 ? pcp : natPmp)?.(request) ?? [];
      const datagrams = answers instanceof Uint8Array ? [answers] : answers;
      for (const datagram of datagrams) this.#control.send(datagram, from.port, from.address);
    });
    this.#search.on("message", (_request: Buffer, from: RemoteInfo) => {
      if (search === undefined || search === false) return;
      const location = `http://${ROUTER_IP}:${this.httpPort}/root.xml`;
      const text = search === true ? searchAnswer(location) : search(location);
      this.#search.send(text, from.port, from.address);
    });
    this.#http.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        if (request.url === "/root.xml") return response.end(description ?? DESCRIPTION);
        const body = Buffer.concat(chunks).toString();
        const name = /#(\w+)"$/.exec(String(request.headers["soapaction"]))?.[1] ?? "";
        this.actions.push({ name, body });
        const [status, text] = soap?.(name, body) ?? [500, ""];
        return response.writeHead(status, { "content-type": "text/xml" }).end(text);
      });
    });
  }

  async #close(): Promise<void> {
    this.#control.close();
    this.#search.close();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}

export function searchAnswer(location: string): string {
  return `HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: ${location}\r\n\r\n`;
}

/** As a PCP server that grants what is wished for, and deletes. */
export function grantsPcp(
  change: { readonly lifetime?: number; readonly external?: Endpoint; readonly epoch?: () => number } = {},
): Answer {
  return (request) =>
    encodePcpResponse({
      result: 0,
      lifetime: change.lifetime ?? request.readUInt32BE(4),
      epoch: change.epoch?.() ?? 1_000,
      nonce: request.subarray(24, 36),
      internalPort: request.readUInt16BE(40),
      external: change.external ?? { ip: EXTERNAL.ip, port: request.readUInt16BE(42) || EXTERNAL.port },
    });
}

/** As a NAT-PMP server that grants what is wished for, and deletes. */
export function grantsNatPmp(change: { readonly lifetime?: number; readonly externalPort?: number; readonly ip?: Ip } = {}): Answer {
  return (request) => {
    const epoch = 1_000;
    if (request[1] === 0) return encodeNatPmpResponse({ type: "address", epoch, ip: change.ip ?? EXTERNAL.ip });
    return encodeNatPmpResponse({
      type: "map",
      epoch,
      internalPort: request.readUInt16BE(4),
      externalPort: change.externalPort ?? request.readUInt16BE(6),
      lifetime: change.lifetime ?? request.readUInt32BE(8),
    });
  };
}

/** What a router with NAT-PMP alone says to PCP: version 0, unsupported (RFC 6886 section 3.5). */
export const knowsNoPcp: Answer = (request) => Uint8Array.of(0, (request[1] ?? 0) | 0x80, 0, 1, 0, 0, 3, 232);

/** As an IGD that adds and deletes what it is told; `refuses` names the error of a port. */
export function grantsSoap(refuses: (port: number) => string | undefined = () => undefined): NonNullable<FakeRouterOptions["soap"]> {
  return (action, body) => {
    if (action === "GetExternalIPAddress") return [200, `<a><NewExternalIPAddress>${EXTERNAL.ip}</NewExternalIPAddress></a>`];
    const error = action === "AddPortMapping" ? refuses(Number(elementText(body, "NewExternalPort"))) : undefined;
    return error === undefined ? [200, "<a/>"] : [500, `<s:Fault><errorCode>${error}</errorCode></s:Fault>`];
  };
}

export const DESCRIPTION = `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/ctl/L3F</controlURL></service></serviceList>
<deviceList><device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId><SCPDURL>/WANIPCn.xml</SCPDURL><controlURL>/ctl/IPConn?a=1&amp;b=2</controlURL></service></serviceList></device></deviceList>
</device></root>`;

/** Of the router at its address, in its own time. */
export function questionFor(router: FakeRouter, clock: Clock, change: Partial<MappingQuestion> = {}): MappingQuestion {
  return {
    uplink: { gateway: ROUTER_IP, device: "lo", source: ROUTER_IP },
    internalPort: INTERNAL_PORT,
    suggested: undefined,
    nonce: Uint8Array.from({ length: 12 }, (_, i) => i + 1),
    ports: router.ports,
    clock,
    random: new SeededRandom(1),
    faults: new Faults(),
    signal: new AbortController().signal,
    ...change,
  };
}

/** Lets sockets work until it is so. Who waits for what never comes is ended by the runner. */
export async function when(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

export function ipAt(bytes: Buffer, offset: number): Ip {
  return ipFromBytes(bytes.subarray(offset, offset + 16));
}
