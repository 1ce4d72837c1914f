import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { streamPair } from "@libp2p/utils";
import { framesOf } from "./frames.ts";

const signal = new AbortController().signal;

describe("frames", () => {
  it("come in order and whole, also empty ones", async () => {
    const [left, right] = await streamPair();
    const [a, b] = [framesOf(left, 100_000), framesOf(right, 100_000)];
    const frames = [Buffer.alloc(100_000, 1), Buffer.of(), Buffer.of(7)];
    for (const frame of frames) await a.write(frame, signal);
    for (const frame of frames) assert.ok(frame.equals(await b.read(signal)));
  });

  it("are refused when longer than the reader allows", async () => {
    const [left, right] = await streamPair();
    await framesOf(left, 1_000).write(Buffer.alloc(101), signal);
    await assert.rejects(framesOf(right, 100).read(signal), /too long/);
  });

  it("end the stream when more come than are read", async () => {
    const [left, right] = await streamPair();
    framesOf(right, 100);
    const closed = new Promise((resolve) => right.addEventListener("close", resolve));
    const flood = framesOf(left, 100_000);
    const flooding = (async () => {
      for (;;) await flood.write(Buffer.alloc(65_536), signal);
    })();
    await Promise.all([closed, assert.rejects(flooding)]);
  });

  it("leave what was not read to whoever comes next", async () => {
    const [left, right] = await streamPair();
    const first = framesOf(right, 100);
    const sender = framesOf(left, 100);
    await sender.write(Buffer.of(1), signal);
    await sender.write(Buffer.of(2), signal);
    assert.deepEqual([...(await first.read(signal))], [1]);
    assert.deepEqual([...(await framesOf(first.release(), 100).read(signal))], [2]);
  });
});
