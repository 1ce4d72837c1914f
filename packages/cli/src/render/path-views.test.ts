import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetcheckView, WhyView } from "@mesh/core/api";
import { renderNetcheck } from "./netcheck.ts";
import { paintFor } from "./paint.ts";
import { netcheck, VIEWED_AT, why } from "./path-views-fixture.ts";
import type { Style } from "./style.ts";
import { renderWhy } from "./why.ts";

Object.assign(process.env, { TZ: "UTC" });

const plain: Style = { now: VIEWED_AT, paint: paintFor(false) };
const coloured: Style = { now: VIEWED_AT, paint: paintFor(true) };

function whyText(more: Partial<WhyView> = {}): string {
  return renderWhy({ ...why, ...more }, plain);
}

function netcheckText(more: Partial<NetcheckView> = {}): string {
  return renderNetcheck({ ...netcheck, ...more }, plain);
}

test("why", () => {
  assert.equal(
    whyText(),
    `laptop-c  10.77.3.0/24   number 3 by a certificate of gateway, given 09:00
path      relayed by pub-1   31 ms
          none of its 2 addresses that were asked answers; a direct path is tried again in 12 s
          \`mesh netcheck\` at both ends says what stands in the way.

CANDIDATE           FROM               FATE       WHY
by pub-1            home of laptop-c   in use     answered 3 s ago in 31 ms
by pub-2            home of this node  answered   answered 9 s ago in 44 ms
198.51.100.7:4242   its record         no answer  asked 4 s ago, answered 10 m ago in 12 ms
[2001:db8::7]:4242  heard there        not tried  not yet
198.51.100.7:53     its record         refused    ports below 1024 are not knocked at, but 443

here      NAT with another port for each destination, not known to be reachable unasked, homes pub-1, pub-2
there     not known to be reachable unasked, homes pub-1
`,
  );
});

test("why: root's own, a number that went around, a number in dispute, nothing known, a goodbye", () => {
  const { issuer: _, ...byRoot } = why.owner.certificate;
  const owner = { ...why.owner, routed: false, certificate: { ...byRoot, generation: 2 } };
  assert.match(
    whyText({ owner }),
    /by a certificate of the network's root key, given 09:00, generation 2, but another node holds the number\n/,
  );
  const { there: _there, ...unsaid } = why;
  const text = renderWhy({ ...unsaid, candidates: [] }, plain);
  assert.match(text, /\n\nNo address of laptop-c is known, and no relay to it\.\n\n/);
  assert.match(text, /\nthere {5}laptop-c has not said where it is\n$/);
  const there = { reachable: true, relays: true, homes: [], stopped: false };
  assert.match(whyText({ there }), /\nthere {5}reachable unasked, relays for others, no home relay\n$/);
  assert.match(whyText({ there: { ...there, stopped: true } }), /\nthere {5}it said goodbye\n$/);
});

test("netcheck", () => {
  assert.equal(
    netcheckText(),
    `udp       works: 3 peers answered lately, last 2 s ago
nat       one port for all (endpoint-independent): direct paths open when both sides try
seen as   198.51.100.1:40000 by pub-1, pub-2
unasked   not known: nobody has come in that this node had not sent to
ipv6      no global address: paths are IPv4 only
homes     pub-1, pub-2: others find this node by them

RELAY  RTT        HOME     ASKED       PATH
pub-1  10 ms      in use   every 23 s  direct 203.0.113.1:7000
pub-2  20 ms      standby  every 1 m   direct 203.0.113.2:7000
pub-3  no answer  -        -           direct 203.0.113.3:7000

health: all is well
`,
  );
});

test("netcheck: each line for whatever it may find", () => {
  const lines: readonly (readonly [Partial<NetcheckView>, RegExp])[] = [
    [{ udp: { state: "silent", answeredBy: 0 } }, /^udp +no answer: peers were asked and none answered/],
    [{ udp: { state: "unknown", answeredBy: 0 } }, /^udp +not known: no peer was asked lately/],
    [{ udp: { state: "works", answeredBy: 1 } }, /^udp +works: one peer answered lately\n/],
    [{ mapping: "none" }, /^nat +none: others see this host's own address/m],
    [{ mapping: "endpoint-dependent" }, /^nat +another port for each destination \(endpoint-dependent\): .* relayed$/m],
    [{ mapping: "unknown" }, /^nat +there is one; which kind shows when a second public node/m],
    [{ mapping: "unknown", seen: [] }, /^nat +not known: no peer has said where it sees this node/m],
    [{ reachable: true }, /^unasked +yes: others reach this node/m],
    [{ ipv6: { addresses: ["2001:db8::1"], works: false } }, /^ipv6 +2001:db8::1, and no peer has answered over it/m],
    [{ ipv6: { addresses: ["2001:db8::1"], works: true } }, /^ipv6 +works: a peer answered over it/m],
    [{ homes: [] }, /^homes +none: no member that relays answers/m],
    [{ homes: [], reachable: true }, /^homes +none, and none is needed/m],
    [{ relays: [] }, /\n\nNo other member relays\./],
    [{ portMapping: { protocol: "pcp", endpoint: "198.51.100.1:9" } }, /^port map +198\.51\.100\.1:9 by pcp: others are let in there/m],
    [{ portMapping: { protocol: "pcp" } }, /^port map +the router was asked by pcp, and maps nothing/m],
    [{ hairpin: true }, /^hairpin +works/m],
    [{ hairpin: false }, /^hairpin +does not work/m],
    [{ health: [{ level: "error", text: "e", hint: "h" }] }, /\n\nhealth: error: e \(h\)\n$/],
    [{ relays: [{ name: "new", id: "n", answers: false }] }, /^new +- +- +- +no address known$/m],
  ];
  for (const [change, expected] of lines) assert.match(netcheckText(change), expected);
});

test("of very many relays the nearest are shown, and how many are left out", () => {
  const relays = Array.from({ length: 40 }, (_, i) => ({ name: `r${i}`, id: `${i}`, answers: true, path: "direct x", rttMs: i }));
  const text = netcheckText({ relays });
  assert.ok(text.includes("\nr15 ") && !text.includes("\nr16 "));
  assert.match(text, /\nand 24 more: mesh netcheck --json\n/);
});

test("colour marks words and changes no column", () => {
  for (const [text, bare] of [
    [renderWhy(why, coloured), whyText()],
    [renderNetcheck(netcheck, coloured), netcheckText()],
  ] as const) {
    assert.ok(text.includes("\x1b[32m"));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
    assert.equal(text.replace(/\x1b\[\d+m/g, ""), bare);
  }
});
