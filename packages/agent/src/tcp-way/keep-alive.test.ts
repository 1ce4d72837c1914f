import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import type { Millis } from "@mesh/core/ports";
import type { WebSocket } from "ws";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { CHECK_TIMEOUT, type KeepAlive, keepAlive, PING_INTERVAL, PONG_TIMEOUT } from "./keep-alive.ts";

class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  pings = 0;
  isAnswering = true;

  ping(): void {
    this.pings += 1;
    if (this.isAnswering) this.emit("pong");
  }

  terminate(): void {
    this.readyState = 3;
    this.emit("close");
  }
}

/** Its timers stand still while the host sleeps, and time does not. */
class SleepingClock extends ManualClock {
  #slept = 0;

  override now(): Millis {
    return super.now() + this.#slept;
  }

  override at(dueAt: Millis, fn: () => void): () => void {
    return super.at(dueAt - this.#slept, fn);
  }

  /** Then the timer that is due next fires. */
  sleep(duration: Millis): void {
    this.#slept += duration;
    this.advance(PING_INTERVAL);
  }
}

function watched(): { readonly clock: SleepingClock; readonly socket: FakeSocket; readonly alive: KeepAlive } {
  const clock = new SleepingClock(0);
  const socket = new FakeSocket();
  return { clock, socket, alive: keepAlive(socket as unknown as WebSocket, clock) };
}

test("a quiet connection is pinged every 25 s; one with traffic is not", () => {
  const { clock, socket } = watched();
  clock.advance(4 * PING_INTERVAL);
  assert.equal(socket.pings, 4);
  for (let i = 0; i < 20; i++) {
    clock.advance(PING_INTERVAL / 2);
    socket.emit("message");
  }
  assert.ok(socket.pings <= 5, `${socket.pings}`);
  assert.equal(socket.readyState, socket.OPEN);
});

test("one that does not answer is ended within 35 s, and leaves no timer", () => {
  const { clock, socket } = watched();
  socket.isAnswering = false;
  clock.advance(PING_INTERVAL + PONG_TIMEOUT - 1);
  assert.equal(socket.readyState, socket.OPEN);
  clock.advance(1);
  assert.deepEqual([socket.readyState, clock.timerCount], [3, 0]);
});

test("asked in between, it has as long as it is given", () => {
  const { clock, socket, alive } = watched();
  alive.check();
  clock.advance(2_000);
  assert.equal(socket.readyState, socket.OPEN, "it answered");
  socket.isAnswering = false;
  alive.check();
  clock.advance(CHECK_TIMEOUT);
  assert.equal(socket.readyState, 3);
});

test("a host that slept has as long", () => {
  const { clock, socket } = watched();
  socket.isAnswering = false;
  clock.sleep(3_600_000);
  clock.advance(CHECK_TIMEOUT - 1);
  assert.deepEqual([socket.pings, socket.readyState], [1, socket.OPEN]);
  clock.advance(1);
  assert.equal(socket.readyState, 3);
});
