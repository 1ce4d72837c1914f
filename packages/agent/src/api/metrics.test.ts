import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { PeerView, StatusView } from "@mesh/core/api";
import { ApiBench, status } from "./api-server-fixture.ts";
import { MAX_PEER_SERIES, METRICS, type MetricSources, renderMetrics } from "./metrics.ts";

const process = {
  memoryUsage: () => ({ rss: 100, heapUsed: 50, external: 10 }),
  cpuUsage: () => ({ user: 1_500_000, system: 250_000 }),
};

function sources(changed: Partial<StatusView> = {}): MetricSources {
  return { status: { ...status, ...changed }, wallNow: 100_000, loopLag: 3, process };
}

function peer(number: number, more: Partial<PeerView> = {}): PeerView {
  return {
    name: `n${number}`,
    id: `${number}`.padStart(20, "0"),
    number,
    role: "member",
    address4: "10.77.2.1",
    address6: "fd4e::2",
    subnet4: "10.77.2.0/24",
    subnet6: "fd4e::/64",
    state: "alive",
    path: "direct",
    receivedBytes: 0,
    sentBytes: 0,
    linked: true,
    ...more,
  };
}

async function lines(given: MetricSources): Promise<readonly string[]> {
  const { text, contentType } = await renderMetrics(given);
  assert.equal(contentType, "text/plain; version=0.0.4; charset=utf-8");
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("what a node shows of itself, its peers and its process", async () => {
  const peers = [
    peer(2, {
      receivedBytes: 7,
      sentBytes: 8,
      receivedPackets: 1,
      sentPackets: 2,
      rttMs: 12,
      rttAt: 90_000,
      heardAt: 99_500,
      sessionAt: 40_000,
    }),
    peer(3, { state: "failed", rttMs: 5, rttAt: 1, sessionAt: 100_001 }),
  ];
  const shown = await lines(
    sources({
      peers,
      health: [{ level: "error", text: "e" }],
      counters: { "datapath.udpNotAuthentic": 4 },
      control: { listen: [], links: 2 },
    }),
  );
  const node2 = 'peer="n2",node="0000000000000000"';
  for (const line of [
    'mesh_info{network="lab",node="a",role="admin",device="mesh0",backend="native"} 1',
    "mesh_start_time_seconds 0.001",
    'mesh_peers{state="alive"} 1',
    'mesh_peers{state="failed"} 1',
    'mesh_peers{state="left"} 0',
    "mesh_links 2",
    'mesh_health_notes{level="warning"} 0',
    'mesh_health_notes{level="error"} 1',
    `mesh_peer_received_bytes_total{${node2}} 7`,
    `mesh_peer_sent_bytes_total{${node2}} 8`,
    `mesh_peer_received_packets_total{${node2}} 1`,
    `mesh_peer_sent_packets_total{${node2}} 2`,
    `mesh_peer_rtt_seconds{${node2}} 0.012`,
    `mesh_peer_session_age_seconds{${node2}} 60`,
    `mesh_peer_heard_age_seconds{${node2}} 0.5`,
    'mesh_peer_session_age_seconds{peer="n3",node="0000000000000000"} 0',
    'mesh_counted_total{name="datapath.udpNotAuthentic"} 4',
    "mesh_process_resident_bytes 100",
    "mesh_process_heap_bytes 50",
    "mesh_process_external_bytes 10",
    'mesh_process_cpu_seconds_total{mode="user"} 1.5',
    'mesh_process_cpu_seconds_total{mode="system"} 0.25',
    "mesh_event_loop_lag_seconds 0.003",
  ])
    assert.ok(shown.includes(line), `${line}\nis not among\n${shown.join("\n")}`);
  assert.ok(!shown.some((line) => line.startsWith("mesh_peer_rtt_seconds") && line.includes("n3")), "an old round trip");
});

test("a large mesh: the peers beyond the limit are one sum, and nothing is left of a peer that went", async () => {
  const peers = Array.from({ length: MAX_PEER_SERIES + 10 }, (_, i) => peer(2_000 - i, { receivedBytes: 1, rttMs: 1, heardAt: 100_000 }));
  const shown = await lines(sources({ peers }));
  const received = shown.filter((line) => line.startsWith("mesh_peer_received_bytes_total"));
  assert.equal(received.length, MAX_PEER_SERIES + 1);
  assert.ok(received.includes('mesh_peer_received_bytes_total{peer="(others)",node=""} 10'));
  assert.equal(shown.filter((line) => line.startsWith("mesh_peer_rtt_seconds")).length, MAX_PEER_SERIES);
  assert.ok(!received.some((line) => line.includes('"n2000"')), "the lowest numbers are shown");
  assert.ok(!shown.some((line) => line.startsWith("mesh_peer_received_packets_total")), "what is not known makes no series");
  assert.ok(!(await lines(sources())).some((line) => line.startsWith("mesh_peer_")));
});

test("a scrape over the socket, and its time for the event loop", async () => {
  const bench = new ApiBench();
  try {
    await bench.open({ status: async () => status });
    const scrape = bench.talk("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    while (bench.clock.timerCount === 0) await new Promise((resolve) => setImmediate(resolve));
    bench.clock.advance(20);
    const text = await scrape;
    assert.match(text, /^HTTP\/1\.1 200 OK\r\ncontent-type: text\/plain; version=0\.0\.4/);
    assert.match(text, /\nmesh_event_loop_lag_seconds 0\n/);
    assert.match(text, /\nmesh_process_resident_bytes \d{7,}\n/);
    assert.equal((await bench.ask({ path: "/metrics", body: "{}" })).status, 405);
  } finally {
    await bench.close();
  }
});

test("docs/observe.md lists exactly the metrics that are exported", async () => {
  const page = readFileSync(new URL("../../../../docs/observe.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(mesh_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$/gm)].map(
    ([, name = "", type = "", labels = "", meaning = ""]) => ({
      name,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = ""]) => label),
      meaning: meaning.trim(),
    }),
  );
  assert.deepEqual(
    rows,
    METRICS.map(({ name, type, labels, help }) => ({ name, type, labels: [...labels], meaning: help })),
  );
  const exported = (await renderMetrics(sources())).text.matchAll(/^# TYPE (\w+) (\w+)$/gm);
  assert.deepEqual(
    [...exported].map(([, name, type]) => `${name} ${type}`),
    rows.map(({ name, type }) => `${name} ${type}`),
  );
});
