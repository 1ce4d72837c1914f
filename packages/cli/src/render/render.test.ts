import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { PeerView, StatusView } from "@mesh/core/api";
import { commandEntry, commandNames } from "../command-table.ts";
import { renderError } from "./error.ts";
import { renderHelp } from "./help.ts";
import { renderInviteNotes } from "./invite.ts";
import { renderLeft, renderQuestion } from "./leave.ts";
import { paintFor, wantsColour } from "./paint.ts";
import { renderPeers } from "./peers.ts";
import { renderPing, renderPingSummary } from "./ping.ts";
import { renderRoutes } from "./routes.ts";
import { renderService } from "./service.ts";
import { renderCleaned, renderStarted, renderStep } from "./start.ts";
import { renderStatus } from "./status.ts";
import type { Style } from "./style.ts";
import { formatTable } from "./table.ts";

Object.assign(process.env, { TZ: "UTC" });

const NOW = Date.UTC(2026, 10, 23, 9, 30);
const plain: Style = { now: NOW, paint: paintFor(false) };
const coloured: Style = { now: NOW, paint: paintFor(true) };

function peer(number: number, more: Partial<PeerView>): PeerView {
  return {
    name: `node-${number}`,
    id: `${number}`.padStart(2, "0").repeat(32),
    number,
    role: "member",
    address4: `10.77.${number}.1`,
    address6: `fd4e:1f2a:9c01:${number}::1`,
    subnet4: `10.77.${number}.0/24`,
    subnet6: `fd4e:1f2a:9c01:${number}::/64`,
    state: "alive",
    path: "-",
    receivedBytes: 0,
    sentBytes: 0,
    linked: false,
    ...more,
  };
}

const status: StatusView = {
  version: 1,
  network: { name: "home", id: "aa".repeat(32), prefix4: "10.77.0.0/16", prefix6: "fd4e:1f2a:9c01::/48" },
  self: {
    name: "laptop-b",
    id: "bb".repeat(32),
    number: 2,
    role: "admin",
    holdsRoot: true,
    address4: "10.77.2.1",
    address6: "fd4e:1f2a:9c01:2::1",
    subnet4: "10.77.2.0/24",
    subnet6: "fd4e:1f2a:9c01:2::/64",
    seenAs: ["198.18.1.2:51820"],
    startedAt: NOW - 18 * 60_000,
  },
  tunnel: { device: "mesh0", mtu: 1420, udpPort: 51_820, backend: "native" },
  control: { listen: ["198.51.100.1:4100", "[2001:db8::1]:4100"], links: 2 },
  peers: [
    peer(1, {
      name: "gateway",
      path: "direct 203.0.113.5:51820",
      rttMs: 12.4,
      receivedBytes: 1_234_000,
      sentBytes: 340_200,
      linked: true,
      heardAt: NOW - 4_000,
      sessionAt: NOW - 100_000,
      role: "admin",
    }),
    peer(4, {
      name: "nas",
      path: "direct 198.51.100.7:51820",
      rttMs: 0.21,
      rttAt: NOW - 30_000,
      receivedBytes: 8_100_000_000,
      sentBytes: 120e6,
      state: "suspect",
    }),
    peer(9, { name: "phone", path: "no answer for 4 m", state: "failed", rttMs: 31, heardAt: NOW - 240_000 }),
    peer(11, { state: "unknown", path: "number taken by phone", conflict: true }),
  ],
  health: [
    { level: "warning", text: "phone has not answered for 4 m", hint: "mesh why phone" },
    { level: "error", text: "the clock is 3 h behind" },
  ],
  counters: {},
};

test("status", () => {
  assert.equal(
    renderStatus(status, plain),
    `home    laptop-b  10.77.2.1  fd4e:1f2a:9c01:2::1   since 09:12   admin, holds the root key
tunnel  mesh0  mtu 1420  udp 51820   engine native   control 198.51.100.1:4100, [2001:db8::1]:4100, 2 links

NODE     ADDRESS     STATE     PATH                       RTT     RX      TX      SUBNET
gateway  10.77.1.1   alive     direct 203.0.113.5:51820   12 ms   1.2 MB  340 kB  10.77.1.0/24
nas      10.77.4.1   suspect   direct 198.51.100.7:51820  0.2 ms  8.1 GB  120 MB  10.77.4.0/24
phone    10.77.9.1   failed    no answer for 4 m          -       -       -       10.77.9.0/24
node-11  10.77.11.1  conflict  number taken by phone      -       -       -       10.77.11.0/24

health: error: the clock is 3 h behind
health: phone has not answered for 4 m (mesh why phone)
`,
  );
});

test("what routers map stands behind the tunnel's port", () => {
  const mapped = ["203.0.113.7:51820", "100.64.0.9:51820"];
  const view: StatusView = { ...status, self: { ...status.self, mapped } };
  assert.match(renderStatus(view, plain), /udp 51820 mapped 203\.0\.113\.7:51820, 100\.64\.0\.9:51820 {3}engine native/);
});

test("status of a node that is alone, has no IPv4, runs the slow engine and started yesterday", () => {
  const { address4: _, ...withoutIpv4 } = status.self;
  const view: StatusView = {
    ...status,
    network: { ...status.network, name: "long-network" },
    self: { ...withoutIpv4, role: "member", holdsRoot: false, startedAt: NOW - 86_400_000 },
    tunnel: { ...status.tunnel, backend: "twin" },
    control: { listen: [], links: 1 },
    peers: [],
    health: [],
  };
  assert.equal(
    renderStatus(view, plain),
    `long-network  laptop-b  no IPv4 address  fd4e:1f2a:9c01:2::1   since 2026-11-22 09:30   member
tunnel        mesh0  mtu 1420  udp 51820   engine twin (slow)   control nowhere, 1 link

No other node is known yet.

health: all is well
`,
  );
  assert.match(renderStatus({ ...status, peers: [] }, plain), /Invite one: mesh invite/);
});

test("colour marks words and changes no column", () => {
  const text = renderStatus(status, coloured);
  assert.ok(text.includes("\x1b[32malive\x1b[39m") && text.includes("\x1b[31mfailed\x1b[39m") && text.includes("\x1b[1mNODE\x1b[22m"));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
  assert.equal(text.replace(/\x1b\[\d+m/g, ""), renderStatus(status, plain));
});

test("of many health lines the errors are shown first, and how many are left out", () => {
  const warnings = Array.from({ length: 9 }, (_, i) => ({ level: "warning", text: `w${i}` }) as const);
  const lines = renderStatus({ ...status, health: [...warnings, { level: "error", text: "e" }] }, plain)
    .trimEnd()
    .split("\n")
    .slice(-9);
  assert.deepEqual([lines[0], lines[7], lines[8]], ["health: error: e", "health: w6", "health: and 2 more: mesh status --json"]);
});

test("peers", () => {
  assert.equal(
    renderPeers(status, plain),
    `NODE      NO  ROLE    STATE     PATH                       RTT     RX      TX      SESSION  HEARD    LINK  ADDRESS     SUBNET         ADDRESS6              SUBNET6                 ID
laptop-b  2   admin   alive     this node                  -       -       -       -        -        -     10.77.2.1   10.77.2.0/24   fd4e:1f2a:9c01:2::1   fd4e:1f2a:9c01:2::/64   bbbbbbbb
gateway   1   admin   alive     direct 203.0.113.5:51820   12 ms   1.2 MB  340 kB  1 m      4 s ago  up    10.77.1.1   10.77.1.0/24   fd4e:1f2a:9c01:1::1   fd4e:1f2a:9c01:1::/64   01010101
nas       4   member  suspect   direct 198.51.100.7:51820  0.2 ms  8.1 GB  120 MB  -        -        -     10.77.4.1   10.77.4.0/24   fd4e:1f2a:9c01:4::1   fd4e:1f2a:9c01:4::/64   04040404
phone     9   member  failed    no answer for 4 m          -       -       -       -        4 m ago  -     10.77.9.1   10.77.9.0/24   fd4e:1f2a:9c01:9::1   fd4e:1f2a:9c01:9::/64   09090909
node-11   11  member  conflict  number taken by phone      -       -       -       -        -        -     10.77.11.1  10.77.11.0/24  fd4e:1f2a:9c01:11::1  fd4e:1f2a:9c01:11::/64  11111111
`,
  );
});

test("routes", () => {
  const routes = [
    { prefix: "10.77.1.0/24", node: "gateway", nodeId: "01", backend: "tunnel", nextHop: "203.0.113.5:51820", reason: "direct, 12 ms" },
    { prefix: "10.77.2.0/24", node: "laptop-b", nodeId: "bb", backend: "local", nextHop: "mesh0", reason: "this node" },
    { prefix: "10.77.11.0/24", node: "node-11", nodeId: "11", backend: "none", nextHop: "-", reason: "number taken by phone" },
  ] as const;
  assert.equal(
    renderRoutes({ version: 1, routes }, plain),
    `PREFIX         NODE      BACKEND  NEXT HOP           WHY
10.77.1.0/24   gateway   tunnel   203.0.113.5:51820  direct, 12 ms
10.77.2.0/24   laptop-b  local    mesh0              this node
10.77.11.0/24  node-11   none     -                  number taken by phone
`,
  );
});

test("invite", () => {
  const view = { invite: "mesh1abc", expiresAt: NOW + 3_599_900, uses: 1, reachableAt: ["198.51.100.1:4100", "[2001:db8::1]:4100"] };
  assert.equal(
    renderInviteNotes(view, plain),
    `Good for one node until 10:29 (1 h). Whoever has it can join: hand it over privately.
The new node will try 198.51.100.1:4100, [2001:db8::1]:4100. There: mesh join -
`,
  );
  assert.equal(
    renderInviteNotes({ ...view, uses: 3, expiresAt: NOW + 7 * 86_400_000, reachableAt: [] }, plain),
    `Good for 3 nodes until 2026-11-30 09:30 (7 d). Whoever has it can join: hand it over privately.
Nobody outside can reach this mesh now. See why: mesh status
`,
  );
});

test("ping", () => {
  const view = { node: "laptop-c", address: "10.77.3.1", answered: true, path: "direct 198.51.100.2:51820", rttMs: 0.82, session: true };
  assert.equal(renderPing(view, plain), "laptop-c (10.77.3.1): direct 198.51.100.2:51820 in 0.8 ms\n");
  assert.equal(
    renderPing({ ...view, session: false }, plain),
    "laptop-c (10.77.3.1): direct 198.51.100.2:51820 in 0.8 ms, no session yet\n",
  );
  assert.equal(
    renderPing({ ...view, throughTunnel: false }, plain),
    "laptop-c (10.77.3.1): direct 198.51.100.2:51820 in 0.8 ms, but no packet comes through the tunnel\n",
  );
  assert.equal(renderPing({ ...view, throughTunnel: true }, plain), renderPing(view, plain));
  const { rttMs: _, ...unanswered } = { ...view, answered: false, path: "no answer for 4 s" };
  assert.equal(renderPing({ ...unanswered, path: "punching" }, plain), "laptop-c (10.77.3.1): unanswered, punching\n");
  assert.equal(renderPing(unanswered, plain), "laptop-c (10.77.3.1): unanswered, no answer for 4 s\n");
  const summary = { version: 1, sent: 3, answered: 2, pings: [view, { ...view, rttMs: 2 }, unanswered] } as const;
  assert.equal(renderPingSummary(summary), "3 probes, 2 answered, RTT from 0.8 ms to 2.0 ms, 1.4 ms on average\n");
  assert.equal(renderPingSummary({ version: 1, sent: 2, answered: 0, pings: [unanswered, unanswered] }), "2 probes, none answered\n");
  assert.equal(renderPingSummary({ version: 1, sent: 1, answered: 1, pings: [view] }), "");
  const late = { ...summary, direct: { probe: 2, afterMs: 2_140 } } as const;
  assert.match(renderPingSummary(late), /on average\nDirect from probe 2 on, after 2\.1 s\n$/);
  const first = { version: 1, sent: 1, answered: 1, pings: [view], direct: { probe: 1, afterMs: 30 } } as const;
  assert.equal(renderPingSummary(first), "", "it was to be expected");
  assert.equal(renderPingSummary(first, true), "Direct from probe 1 on, after 0.0 s\n");
  const never = { version: 1, sent: 1, answered: 0, pings: [unanswered] } as const;
  assert.equal(renderPingSummary(never, true), "No direct path after one probe. See why: mesh why laptop-c\n");
  const blocked = { ...view, throughTunnel: false };
  const note = renderPingSummary({ version: 1, sent: 2, answered: 2, pings: [blocked, blocked] });
  assert.match(note, /on average\nThe path answers, but no packet comes through the tunnel: /);
  assert.match(renderPingSummary({ version: 1, sent: 2, answered: 2, pings: [view, blocked] }), /not every packet comes through/);
});

test("init, join and up", () => {
  assert.equal(renderStep({ text: "made the network's root key", ms: 30 }, plain), "  0.0 s  made the network's root key\n");
  assert.equal(renderStep({ text: "asking gateway", ms: 12_340 }, plain), " 12.3 s  asking gateway\n");
  assert.equal(
    renderStarted("init", { ...status, peers: [] }, plain),
    `Network home is made, 10.77.0.0/16. This node is laptop-b, 10.77.2.1 (fd4e:1f2a:9c01:2::1).

Try next:
  mesh invite  make an invite for the next node
  mesh status  this node, its peers, what is wrong
`,
  );
  assert.equal(
    renderStarted("join", status, plain),
    `Network home is joined, 10.77.0.0/16. This node is laptop-b, 10.77.2.1 (fd4e:1f2a:9c01:2::1).

Try next:
  mesh status        this node, its peers, what is wrong
  mesh ping gateway  whether packets get there, and how
`,
  );
  const { address4: _, ...self } = status.self;
  assert.match(renderStarted("up", { ...status, self }, plain), /^Network home is up, .* laptop-b, fd4e:1f2a:9c01:2::1\.\n/);
});

test("errors are one sentence of what and one of what to do", () => {
  const error = { message: "There is no node x.", hint: "See: mesh peers" };
  assert.equal(renderError(error, plain.paint), "mesh: There is no node x.\n      See: mesh peers\n");
  assert.equal(renderError({ ...error, hint: undefined }, plain.paint), "mesh: There is no node x.\n");
});

test("an invite whose members did not answer: what was tried, a line each", () => {
  const tried = ["Member ab at 192.0.2.1:443 was not reached: it timed out.", "Member cd gave no answer."];
  const error = { code: "invite/unreachable", message: tried.join(" "), hint: "Check it.", details: { tried } } as const;
  assert.equal(
    renderError(error, plain.paint),
    `mesh: The network was not reached, so this node has not joined it.\n      ${tried[0]}\n      ${tried[1]}\n      Check it.\n`,
  );
  const none = { ...error, message: "The invite names no member that can be reached.", details: { tried: [] } };
  assert.match(renderError(none, plain.paint), /^mesh: The invite names no member/);
});

test("leave, clean and service", () => {
  assert.match(renderQuestion("home"), /leaves home for good: .* \[y\/N\] $/);
  assert.match(renderLeft({ network: "home", told: 0 }), /^This node has left home\. No other member was reached/);
  assert.match(renderLeft({ network: "home", told: 1 }), /One member was told, and the others hear it from it\./);
  assert.match(renderLeft({ network: "home", told: 3 }), /3 members were told/);
  assert.match(renderCleaned({ version: 1, network: "home", steps: [] }), /Nothing of home was left/);
  assert.match(renderCleaned({ version: 1, network: "home", steps: ["removed mesh0"] }), /Nothing of home is left on this host now/);
  const service = { version: 1, network: "home", unit: "mesh@home.service", file: "/etc/u" } as const;
  assert.match(renderService({ ...service, outcome: "started" }), /systemctl status mesh@home/);
  assert.match(renderService({ ...service, outcome: "enabled" }), /mesh down --network home && systemctl start mesh@home\.service/);
  assert.match(renderService({ ...service, outcome: "removed" }), /does not start home any more/);
});

test("help names every command, and of each its flags and an example", () => {
  const overview = renderHelp(undefined, plain.paint);
  for (const name of commandNames) {
    assert.ok(overview.includes(`  mesh ${name}`), name);
    const text = renderHelp(name, plain.paint);
    for (const flag of commandEntry(name).flags) assert.ok(text.includes(`  --${flag}`), `${name} --${flag}`);
    assert.match(text, /\nExamples?\n {2}\S.*mesh|\nExamples?\n {2}mesh/, name);
    for (const line of [...text.split("\n"), ...overview.split("\n")]) assert.ok(line.length <= 120, line);
  }
});

test("docs/commands.md has every command with its arguments, and no other", () => {
  const page = readFileSync(new URL("../../../../docs/commands.md", import.meta.url), "utf8");
  const listed = [...page.matchAll(/^\| `mesh ([^`]+)` \|/gm)].map(([, line = ""]) => line.replaceAll("\\|", "|"));
  assert.deepEqual(
    listed,
    commandNames.map((name) => [name, ...commandEntry(name).positionals].join(" ")),
  );
});

test("a table's lines end with their text", () => {
  assert.equal(
    formatTable([
      ["a", "bb", ""],
      ["cc", "", ""],
      ["d", "e", "f"],
    ]),
    "a   bb\ncc\nd   e   f",
  );
});

test("colour is for people's terminals", () => {
  assert.equal(wantsColour(true, {}), true);
  assert.equal(wantsColour(false, {}), false);
  assert.equal(wantsColour(true, { NO_COLOR: "1" }), false);
  assert.equal(wantsColour(true, { NO_COLOR: "" }), true);
  assert.equal(wantsColour(true, { TERM: "dumb" }), false);
});
