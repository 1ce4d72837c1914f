/**
 * An IP address in its one canonical spelling: dotted for IPv4, RFC 5952 for IPv6. IPv4-mapped IPv6 is always
 * written as IPv4. Equal addresses are equal strings, so they serve as map keys and read well in JSON and logs.
 */
export type Ip = string & { readonly brand: "Ip" };

export type IpFamily = 4 | 6;

export function ipFamily(ip: Ip): IpFamily {
  return ip.includes(":") ? 6 : 4;
}

/** 4 or 16 bytes. */
export function ipBytes(ip: Ip): Uint8Array {
  const bytes = readIpv4(ip) ?? readIpv6(ip);
  if (bytes === undefined) throw new TypeError(`not an address: ${ip}`);
  return bytes;
}

/** 16 bytes; IPv4 as ::ffff:a.b.c.d. */
export function ipBytes16(ip: Ip): Uint8Array {
  const bytes = ipBytes(ip);
  if (bytes.length === 16) return bytes;
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff], 10);
  mapped.set(bytes, 12);
  return mapped;
}

/** From 4 or 16 bytes. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return bytes.join(".") as Ip;
  const isMapped = bytes.length === 16 && bytes.every((byte, i) => (i < 10 ? byte === 0 : i >= 12 || byte === 0xff));
  return isMapped ? ipFromBytes(bytes.subarray(12)) : formatIpv6(bytes);
}

/** Any usual spelling, without a zone; undefined when it is not an address. */
export function parseIp(text: string): Ip | undefined {
  const bytes = readIpv4(text) ?? readIpv6(text);
  return bytes === undefined ? undefined : ipFromBytes(bytes);
}

/** Not unspecified, loopback, link-local, multicast or broadcast. Link-local would need a zone, which a record cannot carry. */
export function isUnicast(ip: Ip): boolean {
  const [a = 0, b = 0] = ipBytes(ip);
  if (ipFamily(ip) === 4) return a !== 0 && a !== 127 && a < 224 && !(a === 169 && b === 254);
  return a !== 0xff && !(a === 0xfe && (b & 0xc0) === 0x80) && ip !== "::" && ip !== "::1";
}

/** 127.0.0.0/8 and ::1: of this host alone. */
export function isLoopback(ip: Ip): boolean {
  return ip === "::1" || (ipFamily(ip) === 4 && ip.startsWith("127."));
}

/** Of one site: RFC 1918, RFC 6598 (carriers' NATs), and RFC 4193 for IPv6. */
export function isPrivate(ip: Ip): boolean {
  const [a = 0, b = 0] = ipBytes(ip);
  if (ipFamily(ip) === 6) return (a & 0xfe) === 0xfc;
  return a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || (a === 100 && b >= 64 && b < 128);
}

function readIpv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return undefined;
  return Uint8Array.from(parts, Number);
}

function readIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (!text.includes(":") || halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => readGroups(half, i === halves.length - 1));
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? Uint8Array.from(head) : undefined;
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail]);
}

/** Only the last group of an address may be dotted (RFC 4291 section 2.2). */
function readGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    const dotted = isEnd && i === groups.length - 1 ? readIpv4(group) : undefined;
    if (dotted !== undefined) bytes.push(...dotted);
    else if (/^[0-9a-f]{1,4}$/i.test(group)) bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255);
    else return undefined;
  }
  return bytes;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIpv6(bytes: Uint8Array): Ip {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0));
  let runStart = 0;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > runLength) [runStart, runLength] = [start, end - start];
  }
  const write = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  if (runLength < 2) return write(groups) as Ip;
  return `${write(groups.slice(0, runStart))}::${write(groups.slice(runStart + runLength))}` as Ip;
}
