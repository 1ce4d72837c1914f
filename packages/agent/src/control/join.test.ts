import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { identify } from "@libp2p/identify";
import type { ConnectionEncrypter, SecuredConnection } from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { lpStream } from "@libp2p/utils";
import { type Endpoint, MAX_JOIN_REQUEST_BYTES, MAX_JOIN_RESPONSE_BYTES, type NodeId } from "@mesh/core/ports";
import { createLibp2p } from "libp2p";
import { pino } from "pino";
import { askToJoin, JoinCutError } from "./ask-to-join.ts";
import { JOIN_PROTOCOL } from "./join-encrypter.ts";
import { JOIN_BURST } from "./join-limit.ts";
import {
  eventually,
  hurriedClock,
  LOOPBACK,
  link,
  type Member,
  type MemberOptions,
  openMember,
  realClock,
  seedOf,
} from "./member-fixture.ts";
import { dialAddress } from "./multiaddr.ts";

const open: Member[] = [];

async function member(name: string, options?: MemberOptions): Promise<Member> {
  const opened = await openMember(name, options);
  open.push(opened);
  return opened;
}

/** Answers every request with its own words. */
const welcoming: MemberOptions = {
  onEvent: (event, { control }) => {
    if (event.type === "join-request") control.answerJoin(event.id, Buffer.concat([Buffer.from("welcome "), event.request]));
  },
};

interface Ask {
  readonly signal?: AbortSignal;
  readonly name?: string;
}

async function ask(
  to: { readonly node: NodeId; readonly endpoint: Endpoint; readonly where?: string },
  words: string,
  { signal, name }: Ask = {},
): Promise<string> {
  const response = await askToJoin({
    seed: seedOf(name ?? "joiner"),
    member: { node: to.node, endpoints: [to.endpoint], ...(to.where !== undefined && { where: to.where }) },
    request: Buffer.from(words),
    signal: signal ?? new AbortController().signal,
    clock: realClock,
    log: pino({ level: "silent" }),
  });
  return Buffer.from(response).toString();
}

/** A stranger's libp2p node that speaks the join protocol its own way, and hopes to be upgraded. */
async function strangerNode(exchange: (secured: SecuredConnection) => Promise<void>) {
  return await createLibp2p({
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [
      (components): ConnectionEncrypter => ({
        protocol: JOIN_PROTOCOL,
        secureInbound: () => Promise.reject(new Error("not listening")),
        secureOutbound: async (connection, options) => {
          const secured = await noise()(components).secureOutbound(connection, { ...options, skipStreamMuxerNegotiation: true });
          await exchange(secured);
          return secured;
        },
      }),
    ],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  });
}

after(() => Promise.all(open.map(({ control }) => control.close())));

describe("join exchange", () => {
  it("brings the request to core and the answer to the joiner", async () => {
    const a = await member("join-a", welcoming);
    assert.equal(await ask(a, "laptop"), "welcome laptop");
    assert.deepEqual(
      a.events.all.map(({ type }) => type),
      ["join-request"],
    );
  });

  it("gives two joiners at once each their own answer", async () => {
    const a = await member("join-two");
    const answers = Promise.all([ask(a, "one", { name: "one" }), ask(a, "two", { name: "two" })]);
    await eventually("both asked", () => a.events.count("join-request") === 2);
    for (const event of [...a.events.all].reverse()) if (event.type === "join-request") a.control.answerJoin(event.id, event.request);
    assert.deepEqual(await answers, ["one", "two"]);
  });

  it("brings the longest response to the longest request", async () => {
    const words = "x".repeat(MAX_JOIN_RESPONSE_BYTES);
    const a = await member("join-big", {
      onEvent: (event, { control }) => {
        if (event.type === "join-request") control.answerJoin(event.id, Buffer.from(words));
      },
    });
    assert.equal((await ask(a, "y".repeat(MAX_JOIN_REQUEST_BYTES))).length, words.length);
  });

  it("hangs up instead of a longer response", async () => {
    const a = await member("join-too-big", {
      onEvent: (event, { control }) => {
        if (event.type === "join-request") control.answerJoin(event.id, Buffer.alloc(MAX_JOIN_RESPONSE_BYTES + 1));
      },
    });
    await assert.rejects(ask(a, "laptop"), /gave no answer/);
  });

  it("ends without an answer when core gives none in time", async () => {
    const a = await member("join-slow", { clock: hurriedClock });
    await assert.rejects(ask(a, "laptop"), /gave no answer/);
    const { id } = await a.events.next("join-request");
    a.control.answerJoin(id, Buffer.from("too late"));
  });

  it("ends when the joiner is interrupted", async () => {
    const a = await member("join-interrupted");
    const interrupt = new AbortController();
    const answer = ask(a, "laptop", { signal: interrupt.signal });
    await a.events.next("join-request");
    interrupt.abort(new Error("interrupted"));
    await assert.rejects(answer, /gave no answer: interrupted/);
  });

  it("asks nobody but the member it means", async () => {
    const [a, b] = [await member("meant-a", welcoming), await member("meant-b", welcoming)];
    await assert.rejects(
      ask({ node: b.node, endpoint: a.endpoint }, "laptop"),
      (error) => !(error instanceof JoinCutError) && /was not reached/.test(String(error)),
    );
    assert.deepEqual(a.events.all, []);
  });

  it("says why nobody was reached", async () => {
    const a = await openMember("gone");
    await a.control.close();
    await assert.rejects(ask(a, "laptop"), /Member [0-9a-f]{8} at 127\.0\.0\.1:\d+ was not reached: .*ECONNREFUSED/);
    await assert.rejects(
      ask({ node: a.node, endpoint: a.endpoint, where: "its door" }, "laptop"),
      /^Error: Member \w{8} at its door was not/,
    );
    const other = await createLibp2p({
      addresses: { listen: [`/ip4/${LOOPBACK}/tcp/0`] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    });
    const port = Number(other.getMultiaddrs()[0]?.getComponents()[1]?.value);
    await assert.rejects(ask({ node: a.node, endpoint: { ip: LOOPBACK, port } }, "laptop"), /does not take join requests/);
    await other.stop();
  });

  it("takes a few attempts in a row from one address", async () => {
    const a = await member("join-rate", welcoming);
    for (let i = 0; i < JOIN_BURST; i++) await ask(a, `attempt ${i}`);
    await assert.rejects(
      ask(a, "one too many"),
      (error) => error instanceof JoinCutError && /was not reached: it hung up/.test(error.message),
    );
    assert.equal(a.events.count("join-request"), JOIN_BURST);
    await eventually("counted", () => a.events.refusals("join-limit") === 1);
    assert.equal(a.events.refusals("join-failed"), 0);
  });

  it("tells the next one that it is busy, where it has words for that", async () => {
    const a = await member("join-busy", { ...welcoming, busyResponse: Buffer.from("busy") });
    for (let i = 0; i < JOIN_BURST; i++) await ask(a, `attempt ${i}`);
    assert.equal(await ask(a, "one too many"), "busy");
    assert.equal(a.events.count("join-request"), JOIN_BURST);
    await eventually("counted", () => a.events.refusals("join-limit") === 1);
  });
});

describe("join exchange with a stranger that wants more", () => {
  it("refuses a request that is too long", async () => {
    const a = await member("long-a", welcoming);
    const stranger = await strangerNode(async ({ connection }) => {
      const frames = lpStream(connection);
      await frames.write(Buffer.alloc(MAX_JOIN_REQUEST_BYTES + 1));
      await frames.read();
    });
    await assert.rejects(async () => stranger.dial(dialAddress(a.node, a.endpoint)));
    await stranger.stop();
    assert.deepEqual(a.events.all, []);
    await eventually("counted", () => a.events.refusals("join-failed") === 1);
  });

  it("gives it no muxer, no identify, no link", async () => {
    const a = await member("more-a", welcoming);
    let answer = "";
    const stranger = await strangerNode(async ({ connection }) => {
      const frames = lpStream(connection);
      await frames.write(Buffer.from("laptop"));
      answer = Buffer.from((await frames.read()).subarray()).toString();
      frames.unwrap();
    });
    let identified = 0;
    stranger.addEventListener("peer:identify", () => {
      identified += 1;
    });
    await assert.rejects(async () => stranger.dial(dialAddress(a.node, a.endpoint)));
    await stranger.stop();
    assert.deepEqual([answer, identified], ["welcome laptop", 0]);
    assert.deepEqual(
      a.events.all.map(({ type }) => type),
      ["join-request"],
    );
  });
});

describe("carried join request", () => {
  /** Carries requests to the issuer and hands its answers back. */
  const carrying = (issuer: Member): MemberOptions => ({
    onEvent: (event, { control }) => {
      if (event.type === "join-request") control.carryJoin(event.id, issuer.node, event.request);
      if (event.type === "join-carried") control.answerJoin(event.id, event.response ?? Buffer.from("nobody there"));
    },
  });

  it("reaches the issuer over the link, and its answer the joiner", async () => {
    const issuer = await member("issuer", welcoming);
    const carrier = await member("carrier", carrying(issuer));
    await link(carrier, issuer);
    assert.equal(await ask(carrier, "laptop"), "welcome laptop");
    const request = await issuer.events.next("join-request");
    assert.equal(request.carriedBy, carrier.node);
  });

  it("comes back without an answer when there is no link", async () => {
    const issuer = await member("far-issuer");
    const carrier = await member("far-carrier", carrying(issuer));
    assert.equal(await ask(carrier, "laptop"), "nobody there");
  });

  it("comes back without an answer when the issuer gives none in time", async () => {
    const issuer = await member("mute-issuer");
    const carrier = await member("mute-carrier", { ...carrying(issuer), clock: hurriedClock });
    await link(carrier, issuer);
    assert.equal(await ask(carrier, "laptop"), "nobody there");
  });
});
