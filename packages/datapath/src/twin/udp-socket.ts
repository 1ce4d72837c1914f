import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { type Endpoint, type Ip, type IpFamily, ipFamily, parseIp } from "@mesh/core/ports";

/** As the native engine asks for; the kernel gives at most net.core.rmem_max and wmem_max, because Node cannot force it. */
export const FIRST_BUFFER_BYTES: number = 4 * 1024 * 1024;
/** There can be hundreds of these, and each waits for a probe or two. */
export const FURTHER_BUFFER_BYTES: number = 256 * 1024;
/** Sent and not yet taken by the kernel; a datagram that comes then is dropped. As long as the first socket's own buffer. */
const WAITING_LIMIT: number = FIRST_BUFFER_BYTES;
/** What fits into an IP packet of 65,535 B (IPv6: into a payload of it) beside the headers. */
const MAX_PAYLOAD: Readonly<Record<IpFamily, number>> = { 4: 65_507, 6: 65_527 };
/** A socket reports passing errors (ICMP, memory) one receive at a time; so many without one datagram is a broken socket. */
const ERRORS_UNTIL_BROKEN = 1_000;
/** Of a port that the kernel chose for one family, whether the other has it is chance. */
const PORTS_TRIED = 8;
/** Linux's for unicast, of either family; what else the host may have set is not asked for. */
const DEFAULT_TTL = 64;

export interface UdpHandler {
  onDatagram(from: Endpoint, bytes: Uint8Array): void;
  /** A datagram was not sent. */
  onSendError(): void;
  onBroken(reason: string): void;
}

export type UdpOpened = { readonly ok: true; readonly socket: UdpSocket } | { readonly ok: false; readonly errno: string };

/** The kernel's sockets of one {@link UdpSocket}. */
interface Sockets {
  readonly 4: Socket;
  readonly 6: Socket | undefined;
}

/** Unconnected, on every address, of both families where the host has IPv6. Bound when this returns. port 0: any. */
export function openUdpSocket(
  { port, bufferBytes }: { readonly port: number; readonly bufferBytes: number },
  handler: UdpHandler,
): UdpOpened {
  for (let tried = 1; ; tried++) {
    const bound = bindBoth(port);
    if (typeof bound !== "string") return { ok: true, socket: new UdpSocket(bound, bufferBytes, handler) };
    if (port !== 0 || bound !== "EADDRINUSE" || tried === PORTS_TRIED) return { ok: false, errno: bound };
  }
}

/** One port. A socket for each family, because Node sets the TTL of IPv6 only where one serves both. */
export class UdpSocket {
  readonly port: number;
  readonly isDualStack: boolean;
  readonly #sockets: Sockets;
  readonly #handler: UdpHandler;
  #errorsInARow = 0;
  /** A source as the socket spells it, and as we do: parsing every packet's anew would cost as much as reading it. */
  #lastSource: { readonly address: string; readonly ip: Ip } | undefined;

  constructor(sockets: Sockets, bufferBytes: number, handler: UdpHandler) {
    this.#sockets = sockets;
    this.#handler = handler;
    this.port = sockets[4].address().port;
    this.isDualStack = sockets[6] !== undefined;
    for (const socket of this.#all()) {
      socket.setRecvBufferSize(bufferBytes);
      socket.setSendBufferSize(FIRST_BUFFER_BYTES);
      socket.on("message", (bytes: Buffer, from: RemoteInfo) => this.#received(bytes, from));
      socket.on("error", (error: NodeJS.ErrnoException) => {
        if (++this.#errorsInARow === ERRORS_UNTIL_BROKEN) handler.onBroken(error.code ?? error.message);
      });
    }
  }

  /** `ttl` holds for this datagram: it is sent before this returns, unless others wait before it. */
  send({ ip, port }: Endpoint, bytes: Uint8Array, ttl?: number): void {
    const family = ipFamily(ip);
    const socket = this.#sockets[family];
    const isImpossible = bytes.length > MAX_PAYLOAD[family] || port === 0;
    if (isImpossible || socket === undefined || socket.getSendQueueSize() > WAITING_LIMIT) return this.#handler.onSendError();
    if (ttl !== undefined) socket.setTTL(ttl);
    socket.send(bytes, port, ip, this.#sent);
    if (ttl !== undefined) socket.setTTL(DEFAULT_TTL);
  }

  async close(): Promise<void> {
    await Promise.all(this.#all().map((socket) => new Promise<void>((resolve) => socket.close(resolve))));
  }

  #all(): readonly Socket[] {
    return [this.#sockets[4], this.#sockets[6]].filter((socket) => socket !== undefined);
  }

  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.#handler.onSendError();
  };

  #received(bytes: Buffer, { address, port }: RemoteInfo): void {
    this.#errorsInARow = 0;
    if (this.#lastSource?.address !== address) {
      const [plain = ""] = address.split("%"); // a link-local source has its device behind it
      const ip = parseIp(plain);
      if (ip === undefined) return;
      this.#lastSource = { address, ip };
    }
    this.#handler.onDatagram({ ip: this.#lastSource.ip, port }, bytes);
  }
}

/** Bound to one port, or why not. */
function bindBoth(port: number): Sockets | string {
  const v6 = bind("udp6", port);
  if (typeof v6 === "string" && v6 !== "EAFNOSUPPORT") return v6;
  const v4 = bind("udp4", typeof v6 === "string" ? port : v6.address().port);
  if (typeof v4 !== "string") return { 4: v4, 6: typeof v6 === "string" ? undefined : v6 };
  if (typeof v6 !== "string") v6.close();
  return v4;
}

/** The bound socket, or why not. A literal address needs no look-up, and without one binding and sending happen at once. */
function bind(type: "udp4" | "udp6", port: number): Socket | string {
  const lookup = (address: string, family: number, done: (error: null, address: string, family: number) => void): void =>
    done(null, address, family);
  const socket = createSocket({ type, ipv6Only: type === "udp6", lookup: lookup as never });
  let failure: string | undefined;
  const fail = (error: NodeJS.ErrnoException): void => {
    failure = error.code ?? error.message;
  };
  socket.on("error", fail);
  socket.bind({ port, address: type === "udp6" ? "::" : "0.0.0.0", exclusive: true });
  if (failure !== undefined) {
    socket.close();
    return failure;
  }
  socket.off("error", fail);
  return socket;
}
