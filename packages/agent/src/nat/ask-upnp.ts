import { type Endpoint, type Millis, parseIp, seconds } from "@mesh/core/ports";
import { abortAfter } from "./abort-after.ts";
import { askHttp } from "./ask-http.ts";
import { type GatewaySocket, withGatewaySocket } from "./gateway-socket.ts";
import { elementText, formatCall, formatSearch, parseDescription, parseSearchAnswer } from "./igd-message.ts";
import { type Grant, LEASE, type MappingQuestion, usableExternal } from "./mapping.ts";
import type { Uplink } from "./uplinks.ts";

/** The control point of the router's own gateway device. */
export interface Igd {
  readonly serviceType: string;
  readonly port: number;
  readonly path: string;
}

/** For finding the device, and again for each of its answers. */
export const UPNP_TIMEOUT: Millis = seconds(2);

/** Asked again after this long, for a search is a datagram that can be lost. */
const SEARCH_INTERVAL: Millis = 500;
const SEARCH_GROUP = "239.255.255.250";

/** Descriptions that are read: a router has one or two, and somebody in its name could offer any number. */
const MAX_DESCRIPTIONS = 4;

/** The port wished for, then others. */
const PORT_ATTEMPTS = 3;

/** Of IGD's AddPortMapping: somebody has that port; leases are not understood. */
const CONFLICT = "718";
const ONLY_PERMANENT = "725";

/**
 * Searches by multicast and by asking the router alone, which passes more firewalls. Only an answer from the router that leads
 * to the router counts: other devices on the link have no say in what is asked of whom. Makes nothing at the router.
 */
export async function findIgd(question: MappingQuestion): Promise<Igd | undefined> {
  const deadline = abortAfter(UPNP_TIMEOUT, question);
  try {
    return await withGatewaySocket({ ...question, signal: deadline.signal }, (socket) =>
      search(socket, { ...question, signal: deadline.signal }),
    );
  } finally {
    deadline.end();
  }
}

async function search(socket: GatewaySocket, question: MappingQuestion): Promise<Igd | undefined> {
  const { clock, faults, ports, signal, uplink } = question;
  const { promise, resolve } = Promise.withResolvers<Igd | undefined>();
  const seen = new Set<string>();
  socket.onHeard((bytes) => {
    const location = parseSearchAnswer(Buffer.from(bytes).toString("latin1"));
    const at = location === undefined ? undefined : atRouter(location, uplink);
    if (location === undefined || at === undefined) return faults.count("malformed");
    if (seen.has(location) || seen.size === MAX_DESCRIPTIONS) return;
    seen.add(location);
    void describe(question, at).then((igd) => igd !== undefined && resolve(igd));
  });
  const ask = (): void => {
    socket.send(Buffer.from(formatSearch(`${SEARCH_GROUP}:${ports.search}`)), ports.search, SEARCH_GROUP);
    socket.send(Buffer.from(formatSearch(`${uplink.gateway}:${ports.search}`)), ports.search);
  };
  signal.addEventListener("abort", () => resolve(undefined), { once: true });
  if (signal.aborted) return undefined;
  ask();
  const cancel = clock.at(clock.now() + SEARCH_INTERVAL, ask);
  return await promise.finally(cancel);
}

async function describe(question: MappingQuestion, at: Place): Promise<Igd | undefined> {
  const { uplink, signal, faults } = question;
  const answer = await askHttp({ ...at, uplink, signal }).catch(() => undefined);
  const service = answer?.status === 200 ? parseDescription(answer.text) : undefined;
  const control = service === undefined ? undefined : atRouter(service.controlUrl, uplink, at);
  if (service !== undefined && control !== undefined) return { serviceType: service.type, ...control };
  if (!signal.aborted) faults.count("malformed");
  return undefined;
}

/** Looks at the outside address first: with one that nobody can use, nothing is made. */
export async function askUpnp(question: MappingQuestion, igd: Igd): Promise<Grant | undefined> {
  const { faults, internalPort, suggested, uplink } = question;
  const shown = await call(question, { igd, action: "GetExternalIPAddress", values: {} });
  const ip = parseIp(elementText(shown?.text ?? "", "NewExternalIPAddress") ?? "");
  if (ip === undefined || !usableExternal({ ip, port: internalPort }, question)) return undefined;
  const lifetime = LEASE;
  for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
    const port = attempt === 0 ? (suggested?.port ?? internalPort) : anyPort(question);
    const values = {
      ...naming(port),
      NewInternalPort: internalPort,
      NewInternalClient: uplink.source,
      NewEnabled: 1,
      NewPortMappingDescription: "mesh",
      NewLeaseDuration: lifetime / seconds(1),
    };
    const answer = await call(question, { igd, action: "AddPortMapping", values });
    if (answer === undefined) return undefined;
    if (answer.status === 200)
      return { protocol: "upnp", external: { ip, port }, lifetime, release: releaseOf(question, igd, { ip, port }) };
    const code = elementText(answer.text, "errorCode");
    faults.count(code === ONLY_PERMANENT ? "permanent" : "refused");
    if (code !== CONFLICT) return undefined;
  }
  return undefined;
}

function releaseOf(question: MappingQuestion, igd: Igd, { port }: Endpoint): Grant["release"] {
  return async (signal) => void (await call({ ...question, signal }, { igd, action: "DeletePortMapping", values: naming(port) }));
}

function naming(port: number): Readonly<Record<string, string | number>> {
  return { NewRemoteHost: "", NewExternalPort: port, NewProtocol: "UDP" };
}

/** Away from the ports of services, and from those a Linux router translates to by itself. */
function anyPort({ random }: MappingQuestion): number {
  const [a = 0, b = 0] = random.bytes(2);
  return 10_000 + (((a << 8) | b) % 20_000);
}

async function call(
  question: MappingQuestion,
  { igd, action, values }: { readonly igd: Igd; readonly action: string; readonly values: Readonly<Record<string, string | number>> },
): Promise<{ readonly status: number; readonly text: string } | undefined> {
  const { uplink, faults } = question;
  const { port, path, serviceType } = igd;
  const deadline = abortAfter(UPNP_TIMEOUT, question);
  try {
    const soap = { action: `${serviceType}#${action}`, body: formatCall(serviceType, action, values) };
    return await askHttp({ uplink, port, path, soap, signal: deadline.signal });
  } catch {
    if (!question.signal.aborted) faults.count("unreachable");
    return undefined;
  } finally {
    deadline.end();
  }
}

interface Place {
  readonly port: number;
  readonly path: string;
}

/** A URL that leads to the router, read from there or from `base`; undefined when it leads elsewhere. */
function atRouter(url: string, { gateway }: Uplink, base?: Place): Place | undefined {
  const from = base === undefined ? undefined : `http://${gateway}:${base.port}${base.path}`;
  if (!URL.canParse(url, from)) return undefined;
  const { protocol, hostname, port, pathname, search } = new URL(url, from);
  if (protocol !== "http:" || hostname !== gateway) return undefined;
  return { port: port === "" ? 80 : Number(port), path: `${pathname}${search}` };
}
