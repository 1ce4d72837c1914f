import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { type Ip, ipBytes, ipBytes16, ipFamily, ipFromBytes, isPrivate, parseIp } from "./ip.ts";

// RFC 4291 section 2.2, RFC 5952 sections 1, 2, 4 and 5.
const spellings: readonly (readonly [text: string, canonical: string])[] = [
  ["192.0.2.1", "192.0.2.1"],
  ["255.255.255.255", "255.255.255.255"],
  ["0.0.0.0", "0.0.0.0"],
  ["::", "::"],
  ["0:0:0:0:0:0:0:0", "::"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["1::", "1::"],
  ["2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:DB8::AbCd", "2001:db8::abcd"],
  ["2001:db8::0:1", "2001:db8::1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
  ["1:0:0:2:0:0:3:0", "1::2:0:0:3:0"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["fe80:0:0:0:0:0:0:0", "fe80::"],
  ["::ffff:192.0.2.33", "192.0.2.33"],
  ["::FFFF:c000:221", "192.0.2.33"],
  ["0:0:0:0:0:ffff:0:0", "0.0.0.0"],
  ["::192.0.2.33", "::c000:221"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["::ffff:0:192.0.2.33", "::ffff:0:c000:221"],
  ["::1:ffff:c000:221", "::1:ffff:c000:221"],
];
for (const [text, canonical] of spellings) {
  test(`${text} is written ${canonical}`, () => {
    assert.equal(parseIp(text), canonical);
    assert.equal(parseIp(canonical), canonical);
  });
}

test("what is no address is refused, zones too", () => {
  const texts =
    "|1|1.2.3|1.2.3.4.5|1.2.3.256|01.2.3.4|1.2.3.4 | 1.2.3.4|1.2.3.|0x1.2.3.4|1.2.3.-4|+1.2.3.4|1e1.2.3.4|:|:::|::1::|1::2::3|1:2:3:4:5:6:7";
  const texts6 =
    "1:2:3:4:5:6:7:8:9|1:2:3:4:5:6:7:8::|::1:2:3:4:5:6:7:8|12345::|g::|1:|:1|::1%eth0|fe80::1%1|[::1]|::1/64|1.2.3.4::|1.2.3.4:1::|::1.2.3|::1.2.3.4:1|::01.2.3.4";
  for (const text of [...texts.split("|"), ...texts6.split("|"), "::\n", "1.2.3.4\n", "\u0661.2.3.4"])
    assert.equal(parseIp(text), undefined, text);
});

test("seed 1: 20,000 random addresses come back from their bytes, as the spelling that URL writes too", () => {
  const random = new SeededRandom(1);
  for (let run = 0; run < 20_000; run++) {
    const bytes = randomAddress(random);
    const ip = ipFromBytes(bytes);
    assert.equal(isIP(ip), ipFamily(ip), ip);
    assert.equal(parseIp(ip), ip);
    const isMapped = bytes.length === 16 && ipFamily(ip) === 4;
    assert.deepEqual(isMapped ? ipBytes16(ip) : ipBytes(ip), bytes);
    if (ipFamily(ip) === 6) assert.equal(new URL(`http://[${ip}]/`).hostname, `[${ip}]`);
  }
});

test("seed 2: of 20,000 random texts it takes what node:net takes, without a zone", () => {
  const random = new SeededRandom(2);
  const pieces = ["1", "0", "ff", "255", "256", "00", "abcd", "12345", ".", ".", ".", ":", ":", ":", "::", "::", "%", "1.2.3.4"];
  let taken = 0;
  for (let run = 0; run < 20_000; run++) {
    const text = Array.from({ length: random.below(12) }, () => random.pick(pieces)).join("");
    const isAddress = isIP(text) !== 0 && !text.includes("%");
    assert.equal(parseIp(text) !== undefined, isAddress, text);
    if (isAddress) taken++;
  }
  assert.ok(taken > 100, `${taken} taken`);
});

test("IPv4 in 16 bytes is the mapped form", () => {
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1);
  assert.deepEqual(ipBytes16("192.0.2.1" as Ip), mapped);
  assert.equal(ipFromBytes(mapped), "192.0.2.1");
});

test("addresses of one site: RFC 1918, RFC 6598, RFC 4193, each from its first to its last", () => {
  const edges = (text: string): readonly (readonly [string, boolean])[] =>
    text.split(" ").map((ip) => [ip.replace("!", ""), !ip.startsWith("!")]);
  const rows = [
    ...edges("!9.255.255.255 10.0.0.0 10.255.255.255 !11.0.0.0"),
    ...edges("!172.15.255.255 172.16.0.0 172.31.255.255 !172.32.0.0"),
    ...edges("!192.167.255.255 192.168.0.0 192.168.255.255 !192.169.0.0"),
    ...edges("!100.63.255.255 100.64.0.0 100.127.255.255 !100.128.0.0"),
    ...edges("!fbff:: fc00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff !fe00::"),
    ...edges("!127.0.0.1 !169.254.1.1 !198.18.0.1 !fe80::1 !2001:db8::1 !a00::1"),
  ];
  for (const [ip, isOfSite] of rows) assert.equal(isPrivate(parseIp(ip) ?? assert.fail(ip)), isOfSite, ip);
});

test("a spelling that never was parsed is a programmer error", () => {
  assert.throws(() => ipBytes("nowhere" as Ip), TypeError);
});

/** Often with runs of zeros, and sometimes IPv4-mapped. */
function randomAddress(random: SeededRandom): Uint8Array {
  if (random.below(4) === 0) return random.bytes(4);
  const bytes = random.bytes(16);
  for (let group = 0; group < 8; group++) if (random.below(2) === 0) bytes.fill(0, group * 2, group * 2 + 2);
  if (random.below(8) === 0) bytes.fill(0, 0, 10).fill(0xff, 10, 12);
  return bytes;
}
