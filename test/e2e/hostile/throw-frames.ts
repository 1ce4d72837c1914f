/**
 * node throw-frames.ts
 *
 * As a member with a valid identity: links to another member as the FramesOrder on standard input says and sends what no honest
 * member sends, in frames of sync, gossip and carried joins, and in records by gossip and sync. Prints FrameCounts as JSON.
 * The same order, the same bytes.
 */
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { yamux } from "@chainsafe/libp2p-yamux";
import { identify } from "@libp2p/identify";
import { tcp } from "@libp2p/tcp";
import { SeededRandom } from "@mesh/core/testing";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p, type Libp2p } from "libp2p";
import { memberEncrypter } from "../../../packages/agent/src/control/member-encrypter.ts";
import { realClock } from "../../../packages/agent/src/control/member-fixture.ts";
import { privateKeyOf } from "../../../packages/agent/src/control/peer-id.ts";
import { hostileFrames, hostileRecords } from "./hostile-frames.ts";
import type { MemberIdentity } from "./member-identity.ts";

export interface FramesOrder {
  readonly seed: number;
  /** Frames of each way, and records, each so many. */
  readonly frames: number;
  readonly records: number;
  readonly identity: MemberIdentity;
  readonly target: { readonly address: string; readonly port: number };
}

export interface FrameCounts {
  readonly frames: number;
  readonly records: number;
  readonly links: number;
  /** Attempts to link that the target refused. */
  readonly refused: number;
  /** Streams that it reset or did not take. */
  readonly resets: number;
}

/** Written to one stream, which the target resets at the first that is wrong. */
const FRAMES_A_STREAM = 100;
const RECORDS_A_STREAM = 200;
/** Streams of one link: half-open ones are not to pile up on our own side. */
const STREAMS_A_LINK = 60;
/** Milliseconds for a link, and for one stream: what the target does not take by then it will not take. */
const LINK_TIMEOUT = 2_000;
const STREAM_TIMEOUT = 200;
type Connection = Awaited<ReturnType<Libp2p["dial"]>>;
type Stream = Awaited<ReturnType<Connection["newStream"]>>;

const PROTOCOLS = {
  sync: "/mesh/sync/1",
  gossip: "/meshsub/1.2.0",
  carry: "/mesh/carry-join/1",
  identify: "/ipfs/id/1.0.0",
} as const;

interface Throw {
  readonly protocol: string;
  readonly bytes: Uint8Array;
  readonly frames: number;
  readonly records: number;
}

async function main(): Promise<void> {
  const order = JSON.parse(await text(process.stdin)) as FramesOrder;
  const counts = { frames: 0, records: 0, links: 0, refused: 0, resets: 0 };
  const random = new SeededRandom(order.seed);
  const target = await openThrower(order, counts);
  for (let n = 0; counts.frames < order.frames || counts.records < order.records; n++) {
    const what = counts.frames < order.frames && (n % 2 === 0 || counts.records >= order.records) ? "frames" : "records";
    const thrown = what === "frames" ? throwFrames(random, order) : throwRecords(random, order);
    if (!(await target.write(thrown))) continue;
    counts.frames += thrown.frames;
    counts.records += thrown.records;
  }
  console.log(JSON.stringify(counts satisfies FrameCounts));
  process.exit();
}

function throwFrames(random: SeededRandom, { identity }: FramesOrder): Throw {
  const way = random.pick(["sync", "sync", "gossip", "carry", "identify"] as const) ?? "sync";
  const frames = Array.from({ length: FRAMES_A_STREAM }, () => hostileFrames[way](random, topicOf(identity), identity));
  return { protocol: PROTOCOLS[way], bytes: Buffer.concat(frames), frames: frames.length, records: 0 };
}

function throwRecords(random: SeededRandom, { identity }: FramesOrder): Throw {
  const records = Array.from({ length: RECORDS_A_STREAM }, () => hostileRecords(random, identity));
  const isGossip = random.below(4) > 0;
  const bytes = isGossip ? hostileFrames.publish(records, topicOf(identity)) : hostileFrames.handOver(records);
  return { protocol: isGossip ? PROTOCOLS.gossip : PROTOCOLS.sync, bytes, frames: 0, records: records.length };
}

function topicOf({ network }: MemberIdentity): string {
  return `/mesh/records/1/${network}`;
}

interface Thrower {
  /** False when the target took no link or no stream this time. */
  write(thrown: Throw): Promise<boolean>;
}

async function openThrower(
  { identity, target }: FramesOrder,
  counts: { links: number; refused: number; resets: number },
): Promise<Thrower> {
  const node = await createLibp2p({
    privateKey: await privateKeyOf(Buffer.from(identity.seed, "base64")),
    transports: [tcp()],
    connectionEncrypters: [
      memberEncrypter({
        clock: realClock,
        queries: { credentials: () => Buffer.from(identity.certificate, "base64"), refuseMember: () => undefined },
        onRefused: () => {},
        onCredentials: () => {},
      }),
    ],
    streamMuxers: [yamux()],
    services: { identify: identify() },
    connectionMonitor: { enabled: false },
  });
  const address = multiaddr(`/ip4/${target.address}/tcp/${target.port}`);
  let link: Connection | undefined;
  let streams = 0;
  const linked = async (): Promise<Connection | undefined> => {
    if (link?.status === "open" && streams++ < STREAMS_A_LINK) return link;
    link?.abort(new Error("enough"));
    streams = 0;
    try {
      link = await node.dial(address, { signal: AbortSignal.timeout(LINK_TIMEOUT) });
      counts.links++;
    } catch {
      counts.refused++;
      // The target takes so many connections a second of one source.
      await sleep(50);
      link = undefined;
    }
    return link;
  };
  return {
    write: async ({ protocol, bytes }) => {
      const connection = await linked();
      if (connection === undefined) return false;
      let stream: Stream | undefined;
      try {
        const signal = AbortSignal.timeout(STREAM_TIMEOUT);
        stream = await connection.newStream(protocol, { signal, maxOutboundStreams: 10_000 });
        // Read, so that what the target says does not fill its window.
        stream.addEventListener("message", () => {});
        if (!stream.send(bytes)) await stream.onDrain({ signal });
        await stream.close({ signal });
      } catch (error) {
        counts.resets++;
        stream?.abort(error instanceof Error ? error : new Error(String(error)));
      }
      return stream !== undefined;
    },
  };
}

if (import.meta.main) await main();
