import assert from "node:assert/strict";
import type { SimMesh, SimNode } from "@mesh/core/testing";
import { RecordOpener } from "../../packages/core/src/records/record.ts";

/** What this node believes, as 32 bytes in hex: equal exactly when the records are. */
export function recordRoot(node: SimNode): string {
  return Buffer.from(node.node.queries.digest.root()).toString("hex");
}

/** Every record the node holds. */
export function recordsOf(node: SimNode): readonly Uint8Array[] {
  const buckets = Array.from({ length: 256 }, (_, index) => index);
  return node.node.queries.digest.missingFrom(buckets, new Uint8Array());
}

/** The engine's number for each peer, as the published table has it. */
export function slotsOf(node: SimNode): ReadonlyMap<string, number> {
  const slots = new Map(node.table.routes.map(({ prefix, slot }) => [`${prefix.ip}/${prefix.length}`, slot]));
  return new Map(node.status().peers.flatMap(({ id, subnet4 }) => [[id, slots.get(subnet4)] as const].filter(isSlot)));
}

/** The published table by node instead of by slot, with the node's own prefixes: equal on all nodes that agree. */
export function tableOf(node: SimNode): Readonly<Record<string, readonly string[]>> {
  const { self, peers } = node.status();
  const slots = slotsOf(node);
  const rows = peers.map(({ id }): [string, readonly string[]] => {
    const slot = slots.get(id);
    const prefixes = node.table.routes.filter((route) => route.slot === slot).map(({ prefix }) => `${prefix.ip}/${prefix.length}`);
    return [id, slot === undefined ? [] : prefixes.sort()];
  });
  assert.equal(
    node.table.routes.length,
    rows.reduce((sum, [, prefixes]) => sum + prefixes.length, 0),
    `${node.name} routes prefixes of nobody`,
  );
  return Object.fromEntries([...rows, [self.id, [self.subnet4, self.subnet6].sort()] as const].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Others have reached it unasked, by its own word; so it relays. */
export function isReachable({ crypto }: SimMesh, node: SimNode): boolean {
  const opener = new RecordOpener(crypto);
  return recordsOf(node).some((bytes) => {
    const opened = opener.open(bytes);
    const content = opened.ok && opened.value.author === node.id ? opened.value.content : undefined;
    return content?.type === "endpoint" && content.endpoint.isReachable;
  });
}

export function stateOf(node: SimNode, peer: SimNode): string {
  return node.status().peers.find(({ id }) => id === peer.id)?.state ?? "not a member";
}

/** Every ordered pair of running nodes. */
export function pairsOf(nodes: readonly SimNode[]): readonly (readonly [SimNode, SimNode])[] {
  return nodes.flatMap((a) => nodes.filter((b) => b !== a).map((b) => [a, b] as const));
}

/** Runs the clock until all hold the same records; fails after `span` milliseconds. */
export function untilEqualRecords(mesh: SimMesh, nodes: readonly SimNode[], span: number): void {
  const isEqual = (): boolean => new Set(nodes.map(recordRoot)).size === 1;
  assert.ok(mesh.clock.advanceUntil(span, isEqual, 500), `records differ after ${span / 1_000} s`);
}

/**
 * Sends from each node to each other, by IPv4 and IPv6, once a second until every packet has arrived; fails after
 * `span` milliseconds. Returns how long the slowest pair took.
 */
export function untilAllReach(mesh: SimMesh, pairs: readonly (readonly [SimNode, SimNode])[], span: number): number {
  const startedAt = mesh.clock.now();
  const waiting = new Map(
    pairs.flatMap(([from, to]) =>
      ([4, 6] as const).map((family) => [`${to.name} ${payloadOf(from, family).join()}`, { from, to, family }]),
    ),
  );
  const looked = new Map(pairs.map(([, to]) => [to, to.received.length]));
  while (waiting.size > 0) {
    const names = [...waiting.values()].map(({ from, to, family }) => `${from.name} to ${to.name} by IPv${family}`);
    assert.ok(mesh.clock.now() - startedAt < span, `not reached within ${span / 1_000} s: ${names.join(", ")}`);
    for (const { from, to, family } of waiting.values()) from.send(to, { family, payload: payloadOf(from, family) });
    for (let step = 0; step < 20 && waiting.size > 0; step++) {
      mesh.clock.advance(50);
      for (const [to, from] of looked) {
        for (const { payload } of to.received.slice(from)) waiting.delete(`${to.name} ${payload.join()}`);
        looked.set(to, to.received.length);
      }
    }
  }
  return mesh.clock.now() - startedAt;
}

/** Every session that both ends hold has the same keys, crosswise; and each pair has one at least. */
export function assertSessionsAgree(nodes: readonly SimNode[]): void {
  const slots = new Map(nodes.map((node) => [node, slotsOf(node)]));
  for (const [a, b] of pairsOf(nodes)) {
    const [slotOfB, slotOfA] = [slots.get(a)?.get(b.id), slots.get(b)?.get(a.id)];
    assert.ok(slotOfB !== undefined && slotOfA !== undefined, `${a.name} and ${b.name} are not peers`);
    const theirs = new Map(b.datapath.sessionsOf(slotOfA).map((session) => [session.localIndex, session]));
    const shared = a.datapath.sessionsOf(slotOfB).flatMap((session) => {
      const other = theirs.get(session.remoteIndex);
      return other?.remoteIndex === session.localIndex ? [[session, other] as const] : [];
    });
    assert.ok(shared.length > 0, `${a.name} and ${b.name} share no session`);
    for (const [ours, other] of shared) {
      assert.deepEqual(ours.sendKey, other.receiveKey);
      assert.deepEqual(ours.receiveKey, other.sendKey);
      assert.notEqual(ours.role, other.role);
    }
  }
}

/** Counters whose names begin with one of these, summed. */
export function countOf(node: SimNode, ...prefixes: readonly string[]): number {
  const counters = Object.entries(node.status().counters);
  return counters.filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix))).reduce((sum, [, count]) => sum + count, 0);
}

function payloadOf(from: SimNode, family: 4 | 6): Uint8Array {
  return Uint8Array.of(family, ...Buffer.from(from.name));
}

function isSlot(entry: readonly [string, number | undefined]): entry is readonly [string, number] {
  return entry[1] !== undefined;
}
