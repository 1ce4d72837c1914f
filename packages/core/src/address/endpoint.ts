import { type Ip, ipFamily, parseIp } from "./ip.ts";

/** Where a UDP or TCP socket can be reached. */
export interface Endpoint {
  readonly ip: Ip;
  readonly port: number; // 1 to 65535
}

export function formatEndpoint(endpoint: Endpoint): string {
  return ipFamily(endpoint.ip) === 6 ? `[${endpoint.ip}]:${endpoint.port}` : `${endpoint.ip}:${endpoint.port}`;
}

/** `192.0.2.1:51820` or `[2001:db8::1]:51820`; undefined for anything else. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]*:[^\]]*)\]|([^:]+)):([1-9]\d{0,4})$/.exec(text);
  const ip = parseIp(match?.[1] ?? match?.[2] ?? "");
  const port = Number(match?.[3]);
  return ip !== undefined && port <= 65_535 ? { ip, port } : undefined;
}

export function sameEndpoint(a: Endpoint | undefined, b: Endpoint | undefined): boolean {
  return a?.ip === b?.ip && a?.port === b?.port;
}

/** Each once, where it comes first. */
export function distinctEndpoints(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return [...new Map(endpoints.map((endpoint) => [formatEndpoint(endpoint), endpoint])).values()];
}
