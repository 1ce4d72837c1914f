import { freshRtt, type HealthView, type PeerState, type PeerView, type StatusView } from "@mesh/core/api";
import type { Clock, Millis } from "@mesh/core/ports";

/** What a scrape is made of. */
export interface MetricSources {
  readonly status: StatusView;
  /** Wall milliseconds since 1970. */
  readonly wallNow: number;
  /** How late a timer fired just now: what an event waits before JavaScript gets to it. */
  readonly loopLag: Millis;
  readonly process: ProcessUse;
}

/** What a scrape needs of `process`. */
export interface ProcessUse {
  memoryUsage(): { readonly rss: number; readonly heapUsed: number; readonly external: number };
  /** Microseconds. */
  cpuUsage(): { readonly user: number; readonly system: number };
}

/** One metric; docs/observe.md lists them all. */
export interface MetricEntry {
  readonly name: `mesh_${string}`;
  readonly type: "gauge" | "counter";
  readonly labels: readonly string[];
  readonly help: string;
  readonly samples: (sources: MetricSources) => readonly Sample[];
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Peers with series of their own, those of the lowest numbers: a mesh of thousands must not burst whoever stores the series. */
export const MAX_PEER_SERIES = 256;

/** The label `peer` of all others together. No node can be called that. */
const OTHERS = "(others)";

const PEER_STATES: readonly PeerState[] = ["alive", "suspect", "failed", "left", "unknown"];
const HEALTH_LEVELS: readonly HealthView["level"][] = ["warning", "error"];

/** Milliseconds until the timer that measures the event loop is due: long enough to meet what else is going on. */
const LAG_PROBE: Millis = 20;

export const METRICS: readonly MetricEntry[] = [
  gauge("mesh_info", "Always 1; what this node is.", ["network", "node", "role", "device", "backend"], ({ status }) => [
    {
      labels: {
        network: status.network.name,
        node: status.self.name,
        role: status.self.role,
        device: status.tunnel.device,
        backend: status.tunnel.backend,
      },
      value: 1,
    },
  ]),
  gauge("mesh_start_time_seconds", "When the node started, since 1970.", [], ({ status }) => one(status.self.startedAt / 1_000)),
  gauge("mesh_peers", "Other members by state.", ["state"], ({ status }) =>
    PEER_STATES.map((state) => ({ labels: { state }, value: status.peers.filter((peer) => peer.state === state).length })),
  ),
  gauge("mesh_links", "Control links that are up.", [], ({ status }) => one(status.control.links)),
  gauge("mesh_health_notes", "Lines of the health tail by level.", ["level"], ({ status }) =>
    HEALTH_LEVELS.map((level) => ({ labels: { level }, value: status.health.filter((note) => note.level === level).length })),
  ),
  counter("mesh_peer_received_bytes_total", "Inner bytes from the peer.", (peer) => peer.receivedBytes),
  counter("mesh_peer_sent_bytes_total", "Inner bytes to the peer.", (peer) => peer.sentBytes),
  counter("mesh_peer_received_packets_total", "Packets from the peer.", (peer) => peer.receivedPackets),
  counter("mesh_peer_sent_packets_total", "Packets to the peer.", (peer) => peer.sentPackets),
  ofPeers("mesh_peer_rtt_seconds", "Round trip of the path, while it is at most 30 s old.", (peer, now) => inSeconds(freshRtt(peer, now))),
  ofPeers("mesh_peer_session_age_seconds", "Age of the current session's keys.", (peer, now) => since(peer.sessionAt, now)),
  ofPeers("mesh_peer_heard_age_seconds", "Since something authentic last came from the peer.", (peer, now) => since(peer.heardAt, now)),
  {
    name: "mesh_counted_total",
    type: "counter",
    labels: ["name"],
    help: "Everything counted since start, by the name that status --json shows; what never happened is left out.",
    samples: ({ status }) => Object.entries(status.counters).map(([name, value]) => ({ labels: { name }, value })),
  },
  gauge("mesh_process_resident_bytes", "Memory of the agent's process.", [], ({ process }) => one(process.memoryUsage().rss)),
  gauge("mesh_process_heap_bytes", "Of it, JavaScript's heap in use.", [], ({ process }) => one(process.memoryUsage().heapUsed)),
  gauge("mesh_process_external_bytes", "Of it, buffers outside that heap.", [], ({ process }) => one(process.memoryUsage().external)),
  {
    name: "mesh_process_cpu_seconds_total",
    type: "counter",
    labels: ["mode"],
    help: "Processor time of the agent's process, the engine's two threads included.",
    samples: ({ process }) => {
      const { user, system } = process.cpuUsage();
      return [
        { labels: { mode: "user" }, value: user / 1e6 },
        { labels: { mode: "system" }, value: system / 1e6 },
      ];
    },
  },
  gauge("mesh_event_loop_lag_seconds", "How late a timer fired during this scrape.", [], ({ loopLag }) => one(loopLag / 1_000)),
];

/** In Prometheus' text format, with its content type. The library is loaded at the first scrape: an agent that nobody scrapes does not carry it. */
export async function renderMetrics(sources: MetricSources): Promise<{ readonly text: string; readonly contentType: string }> {
  const { Counter, Gauge, Registry } = await import("prom-client");
  // A registry for each scrape: labels of a peer that left go with it, and nothing observes the process in between. The library's
  // own process metrics keep a performance observer and a histogram for ever (prometheus/client_js#500, #543).
  const registry = new Registry();
  for (const { name, type, help, labels, samples } of METRICS) {
    const configuration = { name, help, labelNames: [...labels], registers: [registry] };
    if (type === "gauge") {
      const metric = new Gauge(configuration);
      for (const sample of samples(sources)) metric.set(sample.labels, sample.value);
    } else {
      const metric = new Counter(configuration);
      for (const sample of samples(sources)) metric.inc(sample.labels, sample.value);
    }
  }
  return { text: await registry.metrics(), contentType: registry.contentType };
}

/** Sets a timer and says how late it was. */
export async function measureLoopLag(clock: Clock): Promise<Millis> {
  const dueAt = clock.now() + LAG_PROBE;
  await new Promise<void>((resolve) => clock.at(dueAt, resolve));
  return Math.max(0, clock.now() - dueAt);
}

function gauge(
  name: MetricEntry["name"],
  help: string,
  labels: readonly string[],
  samples: (sources: MetricSources) => readonly Sample[],
): MetricEntry {
  return { name, type: "gauge", labels, help, samples };
}

/** Of each peer, and the sum of those that have no series of their own. A value that is not known makes no series. */
function counter(name: MetricEntry["name"], help: string, read: (peer: PeerView) => number | undefined): MetricEntry {
  const samples = ({ status }: MetricSources): readonly Sample[] => {
    const [shown, others] = split(status.peers);
    const rest = others.map(read).filter((value) => value !== undefined);
    const sum = rest.length === 0 ? [] : [{ labels: { peer: OTHERS, node: "" }, value: rest.reduce((total, value) => total + value, 0) }];
    return [...shown.flatMap((peer) => peerSample(peer, read(peer))), ...sum];
  };
  return { name, type: "counter", labels: ["peer", "node"], help, samples };
}

function ofPeers(name: MetricEntry["name"], help: string, read: (peer: PeerView, now: number) => number | undefined): MetricEntry {
  const samples = ({ status, wallNow }: MetricSources): readonly Sample[] =>
    split(status.peers)[0].flatMap((peer) => peerSample(peer, read(peer, wallNow)));
  return gauge(name, help, ["peer", "node"], samples);
}

function split(peers: readonly PeerView[]): readonly [readonly PeerView[], readonly PeerView[]] {
  const sorted = peers.toSorted((a, b) => a.number - b.number);
  return [sorted.slice(0, MAX_PEER_SERIES), sorted.slice(MAX_PEER_SERIES)];
}

/** A name can belong to two nodes for a moment; the first digits of the id tell them apart. */
function peerSample({ name, id }: PeerView, value: number | undefined): readonly Sample[] {
  return value === undefined ? [] : [{ labels: { peer: name, node: id.slice(0, 16) }, value }];
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}

function inSeconds(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : milliseconds / 1_000;
}

/** The wall clock may have been set back. */
function since(at: number | undefined, now: number): number | undefined {
  return at === undefined ? undefined : Math.max(0, now - at) / 1_000;
}
