import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, parseDuration } from "./duration.ts";

test("times are read in their units", () => {
  const right = {
    "200ms": 200,
    "0.2s": 200,
    "10m": 600_000,
    "1h30m": 5_400_000,
    "7d": 604_800_000,
    "1m500ms": 60_500,
  };
  for (const [text, milliseconds] of Object.entries(right)) assert.equal(parseDuration(text), milliseconds, text);
});

test("anything else is refused", () => {
  for (const text of ["", "5", "90", "1.5", "s", "1 h", "-1s", "1w", "1h30", "1e3s", ".5s", "1s ", "0x10"])
    assert.equal(parseDuration(text), undefined, text);
});

test("a time is written in its largest whole unit, and is read again as it was", () => {
  const written = { "999ms": 999, "1s": 1_000, "90s": 90_000, "1h": 3_600_000, "36h": 129_600_000, "30d": 2_592_000_000 };
  for (const [text, milliseconds] of Object.entries(written)) {
    assert.equal(formatDuration(milliseconds), text);
    assert.equal(parseDuration(text), milliseconds);
  }
});
