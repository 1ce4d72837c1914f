import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { type Endpoint, type Ip, ipFamily, parseIp } from "@mesh/core/ports";

/** As the native engine asks for; the kernel gives at most net.core.rmem_max and wmem_max, because Node cannot force it. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
/** Sent and not yet taken by the kernel; a datagram that comes then is dropped. As long as the socket's own buffer. */
const WAITING_LIMIT = 4 * 1024 * 1024;
/** What fits into an IP packet of 65,535 B (IPv6: into a payload of it) beside the headers. */
const MAX_PAYLOAD: Readonly<Record<4 | 6, number>> = { 4: 65_507, 6: 65_527 };
/** A socket reports passing errors (ICMP, memory) one receive at a time; so many without one datagram is a broken socket. */
const ERRORS_UNTIL_BROKEN = 1_000;
const MAPPED_PREFIX = "::ffff:";

export interface UdpHandler {
  onDatagram(from: Endpoint, bytes: Uint8Array): void;
  /** A datagram was not sent. */
  onSendError(): void;
  onBroken(reason: string): void;
}

export type UdpOpened = { readonly ok: true; readonly socket: UdpSocket } | { readonly ok: false; readonly errno: string };

/** One unconnected socket on every address, of both families where the host has IPv6. Bound when this returns. port 0: any. */
export function openUdpSocket(port: number, handler: UdpHandler): UdpOpened {
  const dual = bind("udp6", port);
  const bound = typeof dual === "string" && dual === "EAFNOSUPPORT" ? bind("udp4", port) : dual;
  return typeof bound === "string" ? { ok: false, errno: bound } : { ok: true, socket: new UdpSocket(bound, handler) };
}

export class UdpSocket {
  readonly port: number;
  readonly isDualStack: boolean;
  readonly #socket: Socket;
  readonly #handler: UdpHandler;
  #errorsInARow = 0;
  /** A source as the socket spells it, and as we do: parsing every packet's anew would cost as much as reading it. */
  #lastSource: { readonly address: string; readonly ip: Ip } | undefined;

  constructor(socket: Socket, handler: UdpHandler) {
    this.#socket = socket;
    this.#handler = handler;
    const { port, family } = socket.address();
    this.port = port;
    this.isDualStack = family === "IPv6";
    socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
    socket.on("message", (bytes: Buffer, from: RemoteInfo) => this.#received(bytes, from));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (++this.#errorsInARow === ERRORS_UNTIL_BROKEN) handler.onBroken(error.code ?? error.message);
    });
  }

  send({ ip, port }: Endpoint, bytes: Uint8Array): void {
    const family = ipFamily(ip);
    const isImpossible = bytes.length > MAX_PAYLOAD[family] || port === 0 || (family === 6 && !this.isDualStack);
    if (isImpossible || this.#socket.getSendQueueSize() > WAITING_LIMIT) return this.#handler.onSendError();
    this.#socket.send(bytes, port, family === 4 && this.isDualStack ? MAPPED_PREFIX + ip : ip, this.#sent);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve));
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

/** The bound socket, or why not. A literal address needs no look-up, and without one binding and sending happen at once. */
function bind(type: "udp4" | "udp6", port: number): Socket | string {
  const lookup = (address: string, family: number, done: (error: null, address: string, family: number) => void): void =>
    done(null, address, family);
  const socket = createSocket({ type, lookup: lookup as never });
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
