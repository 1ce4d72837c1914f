import assert from "node:assert/strict";
import { test } from "node:test";
import type { InviteView } from "../api/views.ts";
import { MeshError } from "../errors.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type OpenedInvite, parseInvite } from "../membership/invite.ts";
import { decodeJoinResponse, type JoinResponse, makeJoinRequest } from "../membership/join-message.ts";
import { EMPTY_LEDGER, type Ledger } from "../membership/ledger.ts";
import { crypto, idOf, keyOf, SampleNetwork } from "../membership/sample-network-fixture.ts";
import { signRecord } from "../records/envelope.ts";
import { MAX_JOIN_RECORD_BYTES } from "../records/join-bounds.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { AdmissionDesk, type AdmissionSurroundings, type LedgerChange } from "./admission-desk.ts";
import { Counters } from "./counters.ts";
import type { NodeEffect } from "./node-effect.ts";

const network = new SampleNetwork();

/** A node around the desk whose writes become durable when the test says so. */
class Around {
  readonly book = network.book();
  readonly counters = new Counters();
  readonly linked = new Set<NodeId>();
  readonly committed: LedgerChange[] = [];
  /** What the node around the desk wrote down last. */
  ledger: Ledger;
  certificate: Uint8Array;
  readonly desk: AdmissionDesk;
  wallNow = 1_000_000;
  #waiting: (() => readonly NodeEffect[])[] = [];

  constructor(options: { readonly certificate: Uint8Array; readonly holdsRoot?: boolean; readonly ledger?: Ledger }) {
    const { book, counters, linked } = this;
    this.ledger = options.ledger ?? EMPTY_LEDGER;
    this.certificate = options.certificate;
    book.merge([options.certificate]);
    const wait = (then: () => readonly NodeEffect[]): readonly NodeEffect[] => {
      this.#waiting.push(then);
      return [];
    };
    const around: AdmissionSurroundings = {
      crypto,
      random: new SeededRandom(1),
      key: keyOf("admin"),
      root: options.holdsRoot ? network.root : undefined,
      trust: network.trust,
      book,
      counters,
      wallNow: () => this.wallNow,
      isLinked: (node) => linked.has(node),
      reachableMembers: () => [],
      announce: (records) => {
        book.merge(records);
        return records.map((record) => ({ type: "publish-record", record }));
      },
      ledger: () => this.ledger,
      certificate: () => this.certificate,
      commit: (change, then) => {
        this.committed.push(change);
        this.ledger = change.ledger;
        this.certificate = change.certificate ?? this.certificate;
        return wait(then);
      },
      whenDurable: wait,
    };
    this.desk = new AdmissionDesk(around);
  }

  /** Everything committed is durable now. */
  durable(): readonly NodeEffect[] {
    return this.#waiting.splice(0).flatMap((then) => then());
  }

  invite(uses: number): OpenedInvite {
    const shown: InviteView[] = [];
    const show = (view: InviteView): readonly NodeEffect[] => {
      shown.push(view);
      return [];
    };
    assert.deepEqual(this.desk.invite({ uses, ttl: 60_000 }, show), []);
    assert.equal(shown.length, 0, "an invite is not shown before it is durable");
    this.durable();
    const opened = parseInvite(crypto, shown[0]?.invite ?? assert.fail());
    return typeof opened === "string" ? assert.fail(opened) : opened;
  }
}

function requestOf(invite: OpenedInvite, name: string): Uint8Array {
  return makeJoinRequest(crypto, { invite, key: keyOf(name), name });
}

function answersIn(effects: readonly NodeEffect[]): readonly JoinResponse[] {
  return effects.flatMap((effect) => {
    if (effect.type !== "answer-join") return [];
    const response = decodeJoinResponse(effect.response);
    return response.ok ? [response.value] : assert.fail();
  });
}

const refused = (reason: string): readonly unknown[] => [{ outcome: "refused", reason }];
const admin = network.admin("admin", 1, 16);

test("nothing is told before it is durable; then everyone hears of the member and the joiner gets enough to start", () => {
  const around = new Around({ certificate: admin });
  const request = requestOf(around.invite(1), "a");
  assert.deepEqual(around.desk.request(1, request, undefined), []);
  assert.equal(around.book.membership.members.size, 1);
  const effects = around.durable();
  const [answer] = answersIn(effects);
  assert.ok(answer?.outcome === "admitted");
  assert.deepEqual(
    effects.map(({ type }) => type),
    ["publish-record", "answer-join"],
  );
  assert.deepEqual(answer.records[0], network.statementBytes);
  assert.equal(around.book.membership.members.get(idOf("a"))?.certificate.number, 2);
  assert.equal(around.committed.at(-1)?.ledger.assignments.length, 1);
});

test("two joiners race for one use while the write is under way: one is admitted, and asking again gets the same bytes", () => {
  const around = new Around({ certificate: admin });
  const invite = around.invite(1);
  around.desk.request(1, requestOf(invite, "a"), undefined);
  assert.deepEqual(answersIn(around.desk.request(2, requestOf(invite, "b"), undefined)), refused("spent"));
  assert.deepEqual(answersIn(around.desk.request(3, requestOf(invite, "a"), undefined)), [], "also the same answer waits for the write");
  const [first, again] = answersIn(around.durable());
  assert.ok(first?.outcome === "admitted" && again?.outcome === "admitted");
  assert.deepEqual(again.certificate, first.certificate);
});

test("what is wrong is answered at once and counted", () => {
  const around = new Around({ certificate: admin });
  const invite = around.invite(1);
  const foreign = new SampleNetwork("another root");
  const elsewhere = { ...invite, network: foreign.id };
  assert.deepEqual(answersIn(around.desk.request(1, new Uint8Array(), undefined)), refused("malformed"));
  assert.deepEqual(answersIn(around.desk.request(2, requestOf(elsewhere, "a"), undefined)), refused("wrong-network"));
  around.wallNow += 60_000;
  assert.deepEqual(answersIn(around.desk.request(3, requestOf(invite, "a"), undefined)), refused("expired"));
  assert.deepEqual(around.counters.view(), {
    "invite.made": 1,
    "join.refused.expired": 1,
    "join.refused.malformed": 1,
    "join.refused.wrong-network": 1,
  });
});

test("a request for another admin is carried to it when it is linked, one hop only", () => {
  const around = new Around({ certificate: admin });
  const made = around.invite(1);
  const invite = { ...made, invite: { ...made.invite, issuer: idOf("other") } };
  const request = requestOf(invite, "a");
  const ask = (carriedBy?: NodeId): readonly NodeEffect[] => around.desk.request(1, request, carriedBy);
  assert.deepEqual(answersIn(ask()), refused("not-admin"));
  around.book.merge([network.admin("other", 32)]);
  assert.deepEqual(answersIn(ask()), refused("issuer-unreachable"));
  around.linked.add(idOf("other"));
  assert.deepEqual(ask(), [{ type: "carry-join", id: 1, issuer: idOf("other"), request }]);
  assert.deepEqual(answersIn(ask(idOf("member"))), refused("not-admin"));
  assert.deepEqual(around.desk.carried(1, Uint8Array.of(7)), [{ type: "answer-join", id: 1, response: Uint8Array.of(7) }]);
  assert.deepEqual(answersIn(around.desk.carried(1, undefined)), refused("issuer-unreachable"));
});

test("who is no admin can neither invite nor admit, and who was removed admits nobody", () => {
  const member = new Around({ certificate: network.certificate("admin", { number: 9 }) });
  assert.throws(
    () => member.desk.invite({ uses: 1, ttl: 1 }, () => []),
    (error) => error instanceof MeshError && error.code === "invite/not-admin",
  );
  const around = new Around({ certificate: admin });
  const invite = around.invite(1);
  assert.deepEqual(answersIn(member.desk.request(1, requestOf(invite, "a"), undefined)), refused("not-admin"));
  around.book.merge([network.removal("root", "admin")]);
  assert.throws(() => around.desk.invite({ uses: 1, ttl: 1 }, () => []), MeshError);
  assert.deepEqual(answersIn(around.desk.request(1, requestOf(invite, "a"), undefined)), refused("not-admin"));
});

test("with root here a used-up grant is extended by the next block, told with the first certificate of it; without it is full", () => {
  const certificate = network.admin("admin", 1, 2);
  for (const holdsRoot of [true, false]) {
    const around = new Around({ certificate, holdsRoot });
    const invite = around.invite(5);
    around.desk.request(1, requestOf(invite, "a"), undefined);
    around.durable();
    const refusedNow = answersIn(around.desk.request(2, requestOf(invite, "b"), undefined));
    if (!holdsRoot) {
      assert.deepEqual(refusedNow, refused("full"));
      continue;
    }
    const effects = around.durable();
    assert.deepEqual(
      effects.map(({ type }) => type),
      ["publish-record", "publish-record", "answer-join"],
    );
    const own = network.trust.believedCertificate(around.committed.at(-1)?.certificate ?? assert.fail())?.certificate;
    assert.deepEqual(own?.grant, [{ first: 1, count: 18 }]);
    assert.equal(around.book.membership.members.get(idOf("b"))?.certificate.number, 3);
    assert.equal(around.book.membership.members.get(idOf("admin"))?.certificate.serial, own?.serial);
  }
});

test("an answer holds no more records than its bound, the ones others rest on first", () => {
  const around = new Around({ certificate: admin });
  const invite = around.invite(1);
  const big = network.admin("big", 16, 240);
  const names = Array.from({ length: 70 }, (_, i) => `m${i}`);
  const large = names.map((name) =>
    signRecord(crypto, keyOf(name), { kind: 99, subject: new Uint8Array(), sequence: 1, body: [new Uint8Array(8_000)] }),
  );
  around.book.merge([
    big,
    ...names.map((name, i) => network.certificate(name, { number: 17 + i, issuerCertificate: big }, "big")),
    ...large,
  ]);
  around.desk.request(1, requestOf(invite, "a"), undefined);
  const [answer] = answersIn(around.durable());
  assert.ok(answer?.outcome === "admitted");
  const kinds = answer.records.map((record) => record[1] ?? 0);
  assert.deepEqual(
    kinds,
    kinds.toSorted((x, y) => x - y),
  );
  const bytes = answer.records.reduce((sum, { length }) => sum + length, 0);
  assert.ok(bytes <= MAX_JOIN_RECORD_BYTES && bytes > MAX_JOIN_RECORD_BYTES - 10_000 && kinds.includes(99), `${bytes} bytes`);
});

test("a certificate that root issued anew elsewhere is what counts from then on: its grant is used, and no write brings the old one back", () => {
  const around = new Around({ certificate: network.admin("admin", 1, 2) });
  const invite = around.invite(5);
  around.desk.request(1, requestOf(invite, "a"), undefined);
  around.durable();
  assert.deepEqual(answersIn(around.desk.request(2, requestOf(invite, "b"), undefined)), refused("full"));
  const renewed = network.admin("admin", 1, 16);
  around.book.merge([renewed]);
  around.certificate = renewed;
  around.desk.request(3, requestOf(invite, "b"), undefined);
  around.durable();
  assert.equal(around.book.membership.members.get(idOf("b"))?.certificate.number, 3);
  assert.deepEqual(around.certificate, renewed);
});
