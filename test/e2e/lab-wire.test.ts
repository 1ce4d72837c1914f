import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { findCommand } from "../prepare-host.ts";
import { assertGone } from "./lab/assert-gone.ts";
import { compilerRefusal } from "./lab/compile-tool.ts";
import { type Lab, labRefusal, openLab } from "./lab/lab.ts";
import { exitOf } from "./lab/run-command.ts";
import type { Transfer } from "./lab/send-file.ts";
import { routedCore, type Topology } from "./lab/topology.ts";
import { formatWireWords, PLAIN_WIRE, parseWireWords, type WireSettings } from "./lab/wire-settings.ts";
import { withLab } from "./lab/with-lab.ts";

const skip: string | false =
  (labRefusal() ?? compilerRefusal()) || (findCommand("ping") === undefined && "ping is missing: apt-get install iputils-ping");
const SEED = 7;
const FILE_BYTES = 4 * 1_048_576;
const PORT = 5_001;

test(`frames wait as long as the wire says, and overtake each other unless it keeps order (seed ${SEED})`, { skip }, async (t) => {
  await withLab(t, pair({ delayMs: 25 }), async (lab) => {
    const steady = await ping(lab, 200, 5);
    assert.equal(steady.times.length, 200);
    assert.ok(Math.min(...steady.times) >= 50, `none is early: ${Math.min(...steady.times)} ms`);
    assert.ok(Math.min(...steady.times) < 52, `the quickest is not late: ${Math.min(...steady.times)} ms`);
    assert.equal(steady.overtaken, 0);

    await lab.wire("cable", { direction: 1, delayMs: 0 });
    await lab.wire("cable", { direction: 0, delayMs: 50, jitterMs: 10, seed: SEED });
    const jittery = await ping(lab, 1_000, 1);
    assert.ok(Math.min(...jittery.times) >= 40, `${Math.min(...jittery.times)} ms`);
    // Of 1,000 uniform draws, none is in the lowest or highest fifth once in 10^96 times.
    assert.ok(Math.min(...jittery.times) < 44, `${Math.min(...jittery.times)} ms`);
    assert.ok(Math.max(...jittery.times) > 56, `${Math.max(...jittery.times)} ms`);
    assert.ok(jittery.overtaken > 0);

    await lab.wire("cable", { keepOrder: true });
    const ordered = await ping(lab, 500, 1);
    assert.equal(ordered.times.length, 500);
    assert.equal(ordered.overtaken, 0);

    await lab.wire("cable", { direction: 0, jitterMs: 0, keepOrder: false, reorder: 0.1, reorderMs: 20 });
    const { times } = await ping(lab, 1_000, 1);
    const late = times.filter((ms) => ms >= 70).length;
    assertNear(late / times.length, 0.1, { draws: times.length, what: "wait longer" });
  });
});

test(`losses are as many as the wire says, alone and in bursts (seed ${SEED})`, { skip }, async (t) => {
  await withLab(t, pair({}), async (lab) => {
    const count = 4_000;
    await introduce(lab);
    await lab.wire("cable", { direction: 0, loss: 0.05, seed: SEED });
    const alone = await ping(lab, count, 1);
    assertNear(1 - alone.times.length / count, 0.05, { draws: count, what: "lost" });
    const [{ counters: before }] = await lab.wire("cable", { loss: 0, burst: { enter: 0.02, leave: 0.3 }, direction: 0, seed: SEED });
    assert.equal(before.lost, count - alone.times.length, "nothing but the wire loses");
    assert.equal(before.burstLost, 0);

    const bursty = await ping(lab, count, 1);
    const [{ counters }] = await lab.wire("cable");
    assert.equal(counters.burstLost, count - bursty.times.length);
    // Losses of a burst come together, so their share varies (2 - enter - leave) / (enter + leave) times as much.
    assertNear(counters.burstLost / count, 0.02 / 0.32, { draws: (count * 0.32) / 1.68, what: "lost in bursts" });
    const length = counters.burstLost / counters.bursts;
    // Lengths of bursts are geometric: their deviation is sqrt(1 - leave) / leave.
    assert.ok(Math.abs(length - 1 / 0.3) < (4 * (Math.sqrt(0.7) / 0.3)) / Math.sqrt(counters.bursts), `${length} frames a burst`);
  });
});

test("a cut takes what is under way, and heals; an unplugged wire has no carrier at either end", { skip }, async (t) => {
  await withLab(t, pair({}), async (lab) => {
    assert.equal((await ping(lab, 1, 1)).times.length, 1);
    const [{ counters: before }] = await lab.wire("cable", { delayMs: 2_000 });
    const pinging = ping(lab, 1, 1);
    await untilSeen(lab, async () => (await lab.wire("cable"))[0].counters.frames > before.frames);
    await lab.cut("cable");
    const [there, back] = await lab.wire("cable");
    assert.ok(there.counters.cut + back.counters.cut > 0, "what was on its way is counted");
    assert.equal((await pinging).times.length, 0);
    await lab.wire("cable", { delayMs: 5 });
    assert.equal((await ping(lab, 2, 1)).times.length, 0);
    assert.ok((await lab.wire("cable"))[0].settings.cut);
    await lab.heal("cable");
    assert.equal((await ping(lab, 2, 1)).times.length, 2);
    await lab.cut("cable", "unplugged");
    for (const end of ["left", "right"]) {
      const { stdout } = await lab.host(end).run("ip", ["link", "show", "eth0"]);
      assert.match(stdout, /NO-CARRIER|state DOWN/, end);
    }
    assert.equal((await ping(lab, 1, 1)).times.length, 0);
    await lab.heal("cable");
    assert.equal((await ping(lab, 2, 1)).times.length, 2);
  });
});

test("TCP goes through losses and disorder whole, and no faster than the rate", { skip }, async (t) => {
  await withLab(t, pair({ delayMs: 2, jitterMs: 1, loss: 0.005 }), async (lab) => {
    await moveFile(lab);
    const rateMbit = 50;
    await lab.wire("cable", { jitterMs: 0, loss: 0, rateMbit, queueMs: 5 });
    const { ms } = await moveFile(lab);
    // What is under way when the receiver's clock starts has waited before: the queue and the way.
    const fastest = (FILE_BYTES * 8) / rateMbit / 1_000 - 20;
    assert.ok(ms >= fastest, `${ms} ms, and ${fastest} ms is as fast as it goes`);
    const [{ counters }] = await lab.wire("cable");
    assert.ok(counters.full > 0, "the queue is bounded");
  });
});

test("a wire is on the way of both families through the core, and goes with its lab", { skip }, async (t) => {
  const { nodes, links } = routedCore(["host-a", "host-b"]);
  let gone: Pick<Lab, "id" | "directory"> = { id: "", directory: "" };
  await withLab(t, { nodes, links: links.map((link) => ({ ...link, wire: { delayMs: 10 } })) }, async (lab) => {
    gone = { id: lab.id, directory: lab.directory };
    for (const address of [lab.host("host-b").address4, lab.host("host-b").address6]) {
      const { times } = await pingTo(lab, "host-a", { address, count: 3, interval: 10 });
      assert.equal(times.length, 3);
      assert.ok(Math.min(...times) >= 40, address);
    }
  });
  assertGone(gone);
});

test("what a wire cannot do is refused", { skip }, async (t) => {
  await withLab(t, routedCore(["host-a"]), async (lab) => {
    await assert.rejects(lab.wire("host-a", { delayMs: 1 }), /host-a is a plain link/);
    await assert.rejects(lab.wire("host-b"), /no link host-b in this lab, only host-a/);
  });
  await assert.rejects(openLab(pair({ loss: 2 }), { name: "broken" }), /loss is 2, and must be from 0 to 1/);
  const { nodes, links } = pair({});
  await assert.rejects(
    openLab({ nodes, links: [...links, ...links.map((link) => ({ ...link, name: "second" }))] }, { name: "broken" }),
    /index.*File exists/,
  );
});

const WORDS: Readonly<Record<string, WireSettings>> = {
  "delay=25": { delayMs: 25 },
  "delay=2.5ms jitter=1ms order=keep": { delayMs: 2.5, jitterMs: 1, keepOrder: true },
  "loss=5% rate=20mbit queue=10": { loss: 0.05, rateMbit: 20, queueMs: 10 },
  "loss=0.05 order=free": { loss: 0.05, keepOrder: false },
  "burst=2%/30% reorder=10%/5ms": { burst: { enter: 0.02, leave: 0.3 }, reorder: 0.1, reorderMs: 5 },
};

for (const [words, settings] of Object.entries(WORDS)) {
  test(`a wire's words: ${words}`, () => assert.deepEqual(parseWireWords(words.split(" ")), settings));
  test(`a wire's words, written and read again: ${words}`, () => {
    const written = formatWireWords({ ...PLAIN_WIRE, ...settings });
    assert.deepEqual({ ...PLAIN_WIRE, ...parseWireWords(written.split(" ")) }, { ...PLAIN_WIRE, ...settings });
  });
}

for (const words of [
  "delay",
  "delay=",
  "delay=-1",
  "delay=1s",
  "loss=101%",
  "loss=2",
  "burst=1%",
  "order=",
  "order=lost",
  "speed=1",
  "reorder=1%",
]) {
  test(`no words of a wire: ${words}`, () => assert.throws(() => parseWireWords([words]), RangeError));
}

/** Two hosts and a wire, with nothing on it that they do not send: no IPv6. */
function pair(wire: WireSettings): Topology {
  const settings = { "ipv6/conf/default/disable_ipv6": "1" };
  const end = (node: string, n: number) => ({ node, device: "eth0", addresses: [`198.18.1.${n}/24`] });
  return {
    nodes: ["left", "right"].map((name) => ({ name, kind: "host", routes: [], settings })),
    links: [{ name: "cable", ends: [end("left", 1), end("right", 2)], wire }],
  };
}

interface Pings {
  /** Round trips in milliseconds, in the order in which they came back. */
  readonly times: readonly number[];
  /** How many came back after a later one. */
  readonly overtaken: number;
}

/** `interval` in milliseconds. */
function ping(lab: Lab, count: number, interval: number): Promise<Pings> {
  return pingTo(lab, "left", { address: lab.host("right").address4, count, interval });
}

/** With a preload, ping makes up for what it slept too long. */
async function pingTo(
  lab: Lab,
  from: string,
  { address, count, interval }: { readonly address: string; readonly count: number; readonly interval: number },
): Promise<Pings> {
  const { stdout } = await lab
    .host(from)
    .run("ping", ["-n", "-c", String(count), "-i", String(interval / 1_000), "-l", "20", "-W", "1", address]);
  const replies = [...stdout.matchAll(/icmp_seq=(\d+) .*time=([\d.]+) ms(?! \(DUP)/g)].map(([, number, ms]) => ({
    number: Number(number),
    ms: Number(ms),
  }));
  let last = 0;
  let overtaken = 0;
  for (const { number } of replies) {
    if (number < last) overtaken++;
    last = Math.max(last, number);
  }
  return { times: replies.map(({ ms }) => ms), overtaken };
}

/** Within four standard deviations of the binomial's mean. */
function assertNear(share: number, wanted: number, { draws, what }: { readonly draws: number; readonly what: string }): void {
  const bound = 4 * Math.sqrt((wanted * (1 - wanted)) / draws);
  assert.ok(Math.abs(share - wanted) <= bound, `${share} ${what}, and ${wanted} ± ${bound} was to be expected`);
}

/** Then no ARP is among the frames. */
async function introduce(lab: Lab): Promise<void> {
  const [left, right] = [lab.host("left"), lab.host("right")];
  for (const [one, other] of [[left, right] as const, [right, left] as const]) {
    const { stdout: mac } = await other.run("cat", ["/sys/class/net/eth0/address"]);
    await one.run("ip", ["neighbor", "replace", other.address4, "lladdr", mac.trim(), "dev", "eth0", "nud", "permanent"]);
  }
}

async function untilSeen(lab: Lab, ask: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await ask())) assert.ok(performance.now() < deadline, `nothing is seen in lab ${lab.id}`);
}

async function moveFile(lab: Lab): Promise<Transfer> {
  const file = join(lab.directory, "file");
  await writeFile(file, randomFillSync(Buffer.alloc(FILE_BYTES)));
  const script = join(import.meta.dirname, "lab/send-file.ts");
  const address = lab.host("right").address4;
  const receiver = lab.host("right").spawn(process.execPath, [script, "receive", address, String(PORT)]);
  assert.ok(receiver.stdout !== null);
  let said = "";
  receiver.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  await once(receiver.stdout, "data");
  const drained = once(receiver.stdout, "close");
  const ended = exitOf(receiver);
  const sender = await lab.host("left").run(process.execPath, [script, "send", address, String(PORT), file], { timeout: 60_000 });
  assert.equal(sender.code, 0, sender.stderr);
  assert.equal(await ended, 0);
  await drained;
  const received = JSON.parse(said.slice("listening\n".length)) as Transfer;
  assert.equal(received.sha256, (JSON.parse(sender.stdout) as Transfer).sha256);
  return received;
}
