import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../testing/seeded-random.ts";
import { ReplayWindow } from "./replay-window.ts";

const WIDTH = 8_128n;

test("counters in order, out of order within the window, and never twice", () => {
  const window = new ReplayWindow();
  for (const counter of [0n, 1n, 9n, 8n, 7n, 63n, 64n, 65n, 2n]) assert.equal(accept(window, counter), true, `${counter}`);
  for (const counter of [0n, 1n, 9n, 8n, 7n, 63n, 64n, 65n, 2n]) assert.equal(accept(window, counter), false, `${counter} again`);
});

// The edges that wireguard-go's replay_test.go walks: the window's end, one word further, and jumps over everything.
test("exactly the window's width back is accepted, one more is not", () => {
  for (const last of [WIDTH, WIDTH + 1n, 20_000n, 2n ** 32n, 2n ** 53n, 2n ** 64n - 2n ** 13n - 2n]) {
    const window = new ReplayWindow();
    assert.equal(accept(window, last), true);
    assert.equal(window.mayAccept(last - WIDTH - 1n), false);
    assert.equal(accept(window, last - WIDTH), true, `${last}`);
    assert.equal(accept(window, last - WIDTH), false);
    assert.equal(accept(window, last - 1n), true);
  }
});

test("a jump forgets what it passes over", () => {
  for (const jump of [63n, 64n, 65n, WIDTH - 1n, WIDTH, WIDTH + 64n, 8_192n, 8_193n, 100_000n]) {
    const window = new ReplayWindow();
    for (let counter = 0n; counter < 200n; counter++) accept(window, counter);
    const last = 199n + jump;
    assert.equal(accept(window, last), true);
    for (let counter = last - WIDTH < 200n ? 200n : last - WIDTH; counter < last; counter += 61n)
      assert.equal(window.mayAccept(counter), true, `${counter} after a jump of ${jump}`);
    assert.equal(window.mayAccept(last), false);
  }
});

test("asking changes nothing", () => {
  const window = new ReplayWindow();
  window.mayAccept(1_000_000n);
  assert.equal(accept(window, 0n), true);
});

for (const seed of [1, 2, 3, 4]) {
  test(`as a set that remembers everything, seed ${seed}`, () => {
    const random = new SeededRandom(seed);
    const window = new ReplayWindow();
    const seen = new Set<bigint>();
    let last = 0n;
    for (let i = 0; i < 5_000; i++) {
      const ahead = random.next() < 0.01 ? 20_000 : 40;
      const counter = last + BigInt(random.below(ahead)) - BigInt(random.below(random.next() < 0.1 ? 9_000 : 60));
      if (counter < 0n) continue;
      const isExpected = !seen.has(counter) && last - counter <= WIDTH;
      assert.equal(accept(window, counter), isExpected, `${counter}, last ${last}`);
      if (isExpected) seen.add(counter);
      if (counter > last) last = counter;
    }
  });
}

function accept(window: ReplayWindow, counter: bigint): boolean {
  const may = window.mayAccept(counter);
  if (may) window.commit(counter);
  return may;
}
