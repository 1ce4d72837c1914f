import assert from "node:assert/strict";
import { test } from "node:test";
import { formatBytes, formatElapsed, formatInstant, formatLifetime, formatRtt, formatSpan } from "./quantities.ts";

Object.assign(process.env, { TZ: "UTC" });

test("bytes", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0 B"],
    [1, "1 B"],
    [999, "999 B"],
    [1_000, "1.0 kB"],
    [9_949, "9.9 kB"],
    [9_950, "10 kB"],
    [340_000, "340 kB"],
    [999_499, "999 kB"],
    [999_500, "1.0 MB"],
    [1_234_567, "1.2 MB"],
    [8_100_000_000, "8.1 GB"],
    [2e15, "2.0 PB"],
    [5e18, "5000 PB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
});

test("a time that was waited for", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0.0 s"],
    [430, "0.4 s"],
    [12_400, "12 s"],
    [60_000, "1 m"],
  ];
  for (const [milliseconds, text] of cases) assert.equal(formatElapsed(milliseconds), text);
});

test("round trips", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0.04, "0.0 ms"],
    [0.21, "0.2 ms"],
    [9.949, "9.9 ms"],
    [9.95, "10 ms"],
    [999.4, "999 ms"],
    [999.5, "1.0 s"],
    [12_000, "12 s"],
  ];
  for (const [milliseconds, text] of cases) assert.equal(formatRtt(milliseconds), text);
});

test("spans are whole units, rounded down, and never negative", () => {
  const cases: readonly (readonly [number, string])[] = [
    [-5_000, "0 s"],
    [59_999, "59 s"],
    [60_000, "1 m"],
    [3_599_999, "59 m"],
    [3_600_000, "1 h"],
    [86_400_000, "1 d"],
    [31 * 86_400_000, "31 d"],
  ];
  for (const [milliseconds, text] of cases) assert.equal(formatSpan(milliseconds), text);
});

test("instants are short on the same day", () => {
  const now = Date.UTC(2026, 0, 2, 0, 5);
  assert.equal(formatInstant(now - 60_000, now), "00:04");
  assert.equal(formatInstant(now - 6 * 60_000, now), "2026-01-01 23:59");
});

test("lifetimes to the minute, in two units at most", () => {
  const minute = 60_000;
  const cases = [
    [30_000, "30 s"],
    [minute, "1 m"],
    [60 * minute, "1 h"],
    [90 * minute, "1 h 30 m"],
    [24 * 60 * minute, "1 d"],
    [25 * 60 * minute + 5 * minute, "1 d 1 h"],
    [24 * 60 * minute + minute, "1 d"],
  ] as const;
  for (const [milliseconds, text] of cases) assert.equal(formatLifetime(milliseconds), text);
});
