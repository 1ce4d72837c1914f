import assert from "node:assert/strict";
import { test } from "node:test";
import type { LaunchOrder } from "@mesh/core/config";
import { MeshError } from "@mesh/core/errors";
import { decodeSnapshot, readInvite } from "@mesh/core/node";
import type { HostView, Millis, Store, StoreDocument } from "@mesh/core/ports";
import { SeededRandom } from "@mesh/core/testing";
import { formatInvite } from "../../core/src/membership/invite.ts";
import { encodeJoinResponse, JOIN_REFUSALS } from "../../core/src/membership/join-message.ts";
import { crypto, idOf, keyOf, SampleNetwork } from "../../core/src/membership/sample-network-fixture.ts";
import { type BecomeMemberOptions, type BecomeMemberOutcome, BUSY_PATIENCE, becomeMember } from "./become-member.ts";
import { JoinCutError, JoinUnansweredError } from "./control/ask-to-join.ts";
import { ManualClock } from "./runtime/manual-clock-fixture.ts";

class MemoryStore implements Pick<Store, "read" | "write"> {
  readonly documents = new Map<StoreDocument, Uint8Array>();
  readonly written: StoreDocument[] = [];
  failing: StoreDocument | undefined;

  async read(document: StoreDocument): Promise<Uint8Array | undefined> {
    return this.documents.get(document);
  }

  async write(document: StoreDocument, bytes: Uint8Array): Promise<void> {
    if (document === this.failing) throw new MeshError("state/unwritable", "Full.", { file: document, reason: "full" });
    this.documents.set(document, bytes);
    this.written.push(document);
  }
}

const host: HostView = { addresses: [], routes: [] };
const network = new SampleNetwork();
const admin = network.admin("admin", 16);
const certificate = network.certificate("joiner", { number: 17, issuerCertificate: admin }, "admin");
const admitted = encodeJoinResponse({ outcome: "admitted", certificate, records: [admin] });
const endpoints = [{ ip: "192.0.2.1", port: 4_100 }] as const;
/** Of the admin's, and of members to be asked in this order. */
function inviteNaming(...members: readonly string[]): string {
  return formatInvite(crypto, {
    statement: network.statementBytes,
    issuer: idOf("admin"),
    seed: new Uint8Array(32),
    expiresWallAt: 5,
    uses: 1,
    members: members.map((name) => ({ node: idOf(name), endpoints: endpoints as never })),
  });
}
const line = inviteNaming("admin", "other");

function attempt(store: MemoryStore, more: Partial<BecomeMemberOptions> = {}): Promise<BecomeMemberOutcome> {
  const order: LaunchOrder = { command: "init", stateRoot: "/s", nodeName: "joiner" };
  return becomeMember({
    order,
    invite: undefined,
    network: "home",
    store,
    crypto,
    random: new SeededRandom(1),
    clock: new ManualClock(),
    hostName: "Laptop.local",
    host,
    udpPort: 5_000,
    signal: new AbortController().signal,
    ask: () => assert.fail("nobody is to be asked"),
    onStep: () => {},
    ...more,
  });
}

/** Joins as the node whose certificate the sample network has; each answer is one member's. */
async function join(
  answers: readonly (Uint8Array | Error)[],
  failing?: StoreDocument,
  more?: Partial<BecomeMemberOptions>,
): Promise<BecomeMemberOutcome & { store: MemoryStore }> {
  const store = new MemoryStore();
  store.documents.set("identity", crypto.sha256(new TextEncoder().encode("joiner")));
  store.failing = failing;
  const left = [...answers];
  const ask: BecomeMemberOptions["ask"] = async () => {
    const answer = left.shift() ?? assert.fail("asked too often");
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { ...(await attempt(store, { invite: readInvite(crypto, line), ask, ...more })), store };
}

test("a network is made: everything is stored, what makes this host a member last, and nobody else knows it", async () => {
  const store = new MemoryStore();
  const outcome = await attempt(store);
  assert.ok(outcome.ok && !outcome.isKnown);
  assert.deepEqual(store.written, ["identity", "root", "records", "node"]);
  assert.deepEqual(decodeSnapshot(store.documents.get("node") ?? new Uint8Array()), { ok: true, value: outcome.documents.snapshot });
  assert.equal(outcome.documents.snapshot.udpPort, 5_000);
});

test("a network that could not be made or stored is nobody's loss", async () => {
  for (const failing of ["identity", "root", "records", "node"] as const) {
    const store = new MemoryStore();
    store.failing = failing;
    const outcome = await attempt(store);
    assert.ok(!outcome.ok && !outcome.isKnown, failing);
    assert.ok(!store.documents.has("node"));
  }
});

test("an admission makes a member with the key that was there, and others know it", async () => {
  const { store, ...outcome } = await join([admitted]);
  assert.ok(outcome.ok && outcome.isKnown);
  assert.deepEqual(crypto.signingKey(outcome.documents.identity).publicKey, keyOf("joiner").publicKey);
  assert.deepEqual([outcome.documents.snapshot.certificate, outcome.documents.records], [certificate, [admin]]);
  assert.deepEqual(store.written, ["identity", "records", "node"]);
});

test("an admission that could not be stored is kept all the same: the key is known", async () => {
  for (const failing of ["records", "node"] as const) {
    const outcome = await join([admitted], failing);
    assert.ok(!outcome.ok && outcome.isKnown, failing);
  }
});

test("a member that is not reached, or refuses plainly, has written nothing down", async () => {
  const unreached = await join([new Error("Not reached."), new Error("Neither.")]);
  assert.ok(!unreached.ok && !unreached.isKnown);
  assert.deepEqual((unreached.error as MeshError).details, { tried: ["Not reached.", "Neither."] });
  for (const reason of JOIN_REFUSALS.filter((one) => one !== "busy")) {
    const refused = await join([encodeJoinResponse({ outcome: "refused", reason })]);
    assert.ok(!refused.ok && (refused.error as MeshError).code === "invite/refused");
    assert.equal(refused.isKnown, reason === "issuer-unreachable", reason);
  }
});

const busy = encodeJoinResponse({ outcome: "refused", reason: "busy" });
const cut = new JoinCutError("It hung up.");

/** A clock that is at once where the next timer is due. */
class EagerClock extends ManualClock {
  override at(dueAt: Millis, fn: () => void): () => void {
    const cancel = super.at(dueAt, fn);
    setImmediate(() => this.advance(Math.max(0, dueAt - this.now())));
    return cancel;
  }
}

test("who finds the members busy, or is cut by them, asks again and says so", async () => {
  const clock = new EagerClock();
  const steps: string[] = [];
  const outcome = await join([busy, busy, cut, busy, cut, cut, busy, admitted], undefined, { clock, onStep: (text) => steps.push(text) });
  assert.ok(outcome.ok);
  assert.equal(steps.filter((text) => text.includes("asking again")).length, 3);
  assert.ok(clock.now() >= 3_000 && clock.now() <= 6_000, `${clock.now()} ms`);
});

test("who finds the members busy for too long is told so", async () => {
  const clock = new EagerClock();
  const outcome = await join(
    Array.from({ length: 100 }, () => busy),
    undefined,
    { clock },
  );
  assert.ok(!outcome.ok && !outcome.isKnown);
  assert.deepEqual((outcome.error as MeshError).details, { reason: "busy" });
  assert.ok(clock.now() > BUSY_PATIENCE && clock.now() < BUSY_PATIENCE + 2_000);
});

test("the issuer's own no ends it, whoever else is busy", async () => {
  const invite = readInvite(crypto, inviteNaming("other", "admin"));
  const spent = await join([busy, encodeJoinResponse({ outcome: "refused", reason: "spent" })], undefined, { invite });
  assert.deepEqual(!spent.ok && (spent.error as MeshError).details, { reason: "spent" });
});

test("who is stopped while members are busy asks no more", async () => {
  const stopping = new AbortController();
  const onStep = (text: string): void => {
    if (text.includes("asking again")) setImmediate(() => stopping.abort(new Error("stopped")));
  };
  const clock = new ManualClock();
  const outcome = await join([busy, busy], undefined, { signal: stopping.signal, onStep, clock });
  assert.ok(!outcome.ok && (outcome.error as Error).message === "stopped");
  assert.equal(clock.timerCount, 0);
});

test("an asking without an answer, or with one that is not believed, may have been an admission", async () => {
  const unanswered = new JoinUnansweredError("No answer.");
  for (const answers of [
    [unanswered, unanswered],
    [unanswered, new Error("Not reached.")],
    [unanswered, encodeJoinResponse({ outcome: "refused", reason: "spent" })],
    [Uint8Array.of(1, 2, 3)],
  ]) {
    const outcome = await join(answers);
    assert.ok(!outcome.ok && outcome.isKnown);
  }
});

test("a node is called what the order says, else what the host is called", async () => {
  for (const [order, name] of [
    [{ command: "init", stateRoot: "/s", nodeName: "b" }, "b"],
    [{ command: "init", stateRoot: "/s" }, "laptop"],
  ] as const) {
    const outcome = await attempt(new MemoryStore(), { order });
    assert.ok(outcome.ok && Buffer.from(outcome.documents.snapshot.certificate).includes(name), name);
  }
});
