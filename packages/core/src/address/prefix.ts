import { type Ip, type IpFamily, ipBytes, ipFamily, ipFromBytes, parseIp } from "./ip.ts";

/** An address range. The bits of `ip` beyond `length` are always zero. */
export interface Prefix {
  readonly ip: Ip;
  readonly length: number; // 0 to 32 or 0 to 128
}

/** Cuts `ip` to its first `length` bits. */
export function makePrefix(ip: Ip, length: number): Prefix {
  const bytes = ipBytes(ip).map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - i * 8))) & 0xff);
  return { ip: ipFromBytes(bytes), length };
}

export function formatPrefix(prefix: Prefix): string {
  return `${prefix.ip}/${prefix.length}`;
}

/** undefined when the text is no prefix, or has bits set beyond its length. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const ip = parseIp(match?.[1] ?? "");
  const length = Number(match?.[2]);
  if (ip === undefined || length > addressBits(ipFamily(ip))) return undefined;
  const prefix = makePrefix(ip, length);
  return prefix.ip === ip ? prefix : undefined;
}

export function addressBits(family: IpFamily): number {
  return family === 4 ? 32 : 128;
}

export function prefixContains(prefix: Prefix, ip: Ip): boolean {
  return ipFamily(prefix.ip) === ipFamily(ip) && makePrefix(ip, prefix.length).ip === prefix.ip;
}

export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? prefixContains(a, b.ip) : prefixContains(b, a.ip);
}
