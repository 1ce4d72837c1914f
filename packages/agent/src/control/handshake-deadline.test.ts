import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MultiaddrConnection } from "@libp2p/interface";
import type { Ip } from "@mesh/core/ports";
import { FIRST_BYTES_TIMEOUT, HANDSHAKE_TIMEOUT, HandshakeDeadline, MAX_PENDING, MAX_PENDING_PER_SOURCE } from "./handshake-deadline.ts";
import { listenAddress } from "./multiaddr.ts";
import { SettlingClock } from "./settling-clock-fixture.ts";

/** As much of a connection as the deadline sees: where from, events, and its abort. */
class TestConnection extends EventTarget {
  readonly name: string;
  readonly remoteAddr: MultiaddrConnection["remoteAddr"];

  constructor(name: string, ip: Ip) {
    super();
    this.name = name;
    this.remoteAddr = listenAddress(ip, 1);
  }

  abort(): void {
    this.dispatchEvent(new Event("close"));
  }

  speak(): void {
    this.dispatchEvent(new Event("message"));
  }
}

interface Scene {
  readonly deadline: HandshakeDeadline;
  readonly clock: SettlingClock;
  /** Who was hung up on, why and when. */
  readonly hungUp: string[];
  open(name: string, ip: string): TestConnection;
  meet(connection: TestConnection): void;
}

function scene(): Scene {
  const clock = new SettlingClock();
  const hungUp: string[] = [];
  const deadline = new HandshakeDeadline(clock, (connection, cause) =>
    hungUp.push(`${(connection as unknown as TestConnection).name} ${cause} at ${clock.now()}`),
  );
  const open = (name: string, ip: string): TestConnection => {
    const connection = new TestConnection(name, ip as Ip);
    deadline.started(connection as unknown as MultiaddrConnection);
    return connection;
  };
  return { deadline, clock, hungUp, open, meet: (connection) => deadline.met(connection as unknown as MultiaddrConnection) };
}

describe("handshake deadline", () => {
  it("waits 1.5 s for the first bytes, and 6 s in all for the handshake", async () => {
    const { clock, hungUp, open, meet } = scene();
    open("silent", "192.0.2.1");
    const [slow, good] = [open("slow", "192.0.2.1"), open("good", "192.0.2.1")];
    await clock.advance(1_000);
    for (const connection of [slow, good]) connection.speak();
    await clock.advance(4_000);
    meet(good);
    await clock.advance(60_000);
    assert.deepEqual(hungUp, [`silent handshake-timeout at ${FIRST_BYTES_TIMEOUT}`, `slow handshake-timeout at ${HANDSHAKE_TIMEOUT}`]);
    assert.equal(clock.pending, 0);
  });

  it("gives a source eight places, and the next one that of its oldest, a silent one first", () => {
    const { hungUp, open } = scene();
    const mine = Array.from({ length: MAX_PENDING_PER_SOURCE }, (_, n) => open(`mine ${n}`, "192.0.2.1"));
    open("other", "192.0.2.2");
    assert.deepEqual(hungUp, []);
    mine[0]?.speak();
    open("late", "192.0.2.1");
    assert.deepEqual(hungUp, ["mine 1 connection-limit at 0"]);
    for (const connection of mine.slice(2)) connection.speak();
    open("later", "192.0.2.1").speak();
    open("last", "192.0.2.1").speak();
    assert.deepEqual(hungUp.slice(1), ["late connection-limit at 0", "mine 0 connection-limit at 0"]);
  });

  it("takes an IPv6 /64 for one source", () => {
    const { hungUp, open } = scene();
    for (let n = 0; n <= MAX_PENDING_PER_SOURCE; n++) open(`${n}`, `2001:db8::${n + 1}`);
    assert.deepEqual(hungUp, ["0 connection-limit at 0"]);
  });

  it("takes the place of the busiest source when all are taken", () => {
    const { hungUp, open } = scene();
    const honest = open("honest", "192.0.2.1");
    for (let n = 1; n < MAX_PENDING; n++) open(`flood ${n}`, `198.51.100.${n >> 2}`);
    assert.equal(hungUp.length, 0);
    for (let n = 1; n < 20; n++) open(`more ${n}`, `203.0.113.${n}`);
    assert.equal(hungUp.length, 19);
    assert.ok(
      hungUp.every((line) => line.startsWith("flood")),
      hungUp.join(),
    );
    assert.equal(hungUp[0], "flood 4 connection-limit at 0");
    honest.speak();
  });

  it("frees the place of what was met or closed", () => {
    const { hungUp, open, meet } = scene();
    for (let n = 0; n < 1_000; n++) {
      const connection = open(`${n}`, "192.0.2.1");
      if (n % 2 === 0) meet(connection);
      else connection.abort();
    }
    assert.deepEqual(hungUp, []);
  });
});
