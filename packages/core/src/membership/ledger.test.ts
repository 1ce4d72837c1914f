import assert from "node:assert/strict";
import { test } from "node:test";
import type { Certificate, NumberBlock } from "../records/certificate.ts";
import { signConsent } from "../records/certificate.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import type { JoinRequest } from "./join-message.ts";
import {
  type Admission,
  admit,
  EMPTY_LEDGER,
  type Ledger,
  MAX_OPEN_INVITES,
  nextGrantBlock,
  nextSerial,
  type OpenInvite,
  openInvite,
} from "./ledger.ts";
import type { RecordBook } from "./record-book.ts";
import { crypto, idOf, keyOf, SampleNetwork } from "./sample-network-fixture.ts";

const NOW = 1_000_000;
const network = new SampleNetwork();
const grant: readonly NumberBlock[] = [{ first: 16, count: 4 }];
const certificate = network.certificate("admin", { number: 16, role: "admin", grant });
const single: OpenInvite = { invite: idOf("invite"), uses: 1, expiresWallAt: NOW + 1_000, usedBy: [] };
const open: Ledger = { ...EMPTY_LEDGER, invites: [single] };

function requestOf(name: string, choice: Partial<JoinRequest> = {}): JoinRequest {
  const consent = signConsent(crypto, keyOf(name), network.id);
  return { network: network.id, issuer: idOf("admin"), invite: idOf("invite"), node: idOf(name), name, consent, ...choice };
}

function bookOf(...records: readonly Uint8Array[]): RecordBook {
  const book = network.book();
  book.merge([certificate, ...records]);
  return book;
}

function admitted(
  ledger: Ledger,
  name: string,
  book: RecordBook = bookOf(),
  wallNow = NOW,
): { readonly ledger: Ledger; readonly certificate: Uint8Array; readonly says: Certificate } {
  const admission = ask(ledger, requestOf(name), book, wallNow);
  if (admission.outcome !== "admitted") return assert.fail(JSON.stringify(admission));
  const { content } = network.open(admission.certificate);
  return content.type === "certificate" ? { ...admission, says: content.certificate } : assert.fail();
}

function ask(ledger: Ledger, request: JoinRequest, book: RecordBook = bookOf(), wallNow = NOW): Admission {
  const { plan, membership } = { plan: network.plan, membership: book.membership };
  return admit(ledger, request, { crypto, network: network.id, plan, membership, wallNow, key: keyOf("admin"), certificate, grant });
}

test("admitting gives the lowest free number, with the name and consent of the request, and is believed", () => {
  const { ledger, says, ...given } = admitted(open, "a");
  assert.deepEqual(
    [says.number, says.generation, says.name, says.role, says.assignedWallAt, says.serial],
    [17, 0, "a", "member", NOW, NOW],
  ); // 16 is the admin's own
  assert.ok(network.trust.believedCertificate(given.certificate));
  assert.deepEqual(ledger.invites, [{ ...single, usedBy: [idOf("a")] }]);
  assert.deepEqual(ledger.assignments, [{ node: idOf("a"), number: 17, generation: 0, certificate: given.certificate }]);
});

test("of two joiners that race for one use, one is admitted", () => {
  const { ledger } = admitted(open, "a");
  assert.deepEqual(ask(ledger, requestOf("b")), { outcome: "refused", reason: "spent" });
});

test("the same node asking again gets the same bytes and the ledger stays, also when the invite is spent or has expired", () => {
  const first = admitted(open, "a");
  const again = admitted(first.ledger, "a", bookOf(first.certificate), NOW + 5_000);
  assert.deepEqual(again.certificate, first.certificate);
  assert.equal(again.ledger, first.ledger);
});

test("a member that brings another open invite keeps its number and spends nothing", () => {
  const first = admitted({ ...open, invites: [single, { ...single, invite: idOf("second") }] }, "a");
  const again = ask(first.ledger, requestOf("a", { invite: idOf("second") }));
  assert.deepEqual(again, { outcome: "admitted", ledger: first.ledger, certificate: first.certificate });
});

const refused: Readonly<Record<string, readonly [request: JoinRequest, reason: string, ledger?: Ledger, book?: RecordBook]>> = {
  "another network": [requestOf("a", { network: new SampleNetwork("another root").id }), "wrong-network"],
  "another issuer": [requestOf("a", { issuer: idOf("b") }), "not-admin"],
  "a name that is no name": [requestOf("a", { name: "a.b" }), "malformed"],
  "consent of another": [requestOf("a", { consent: requestOf("b").consent }), "malformed"],
  "an invite nobody made": [requestOf("a", { invite: idOf("made up") }), "unknown-invite"],
  "an invite that has expired": [requestOf("a"), "expired", { ...open, invites: [{ ...single, expiresWallAt: NOW }] }],
  "a node that was removed": [
    requestOf("a"),
    "removed",
    open,
    bookOf(network.certificate("a", { number: 30 }), network.removal("root", "a")),
  ],
};
for (const [what, [request, reason, ledger, book]] of Object.entries(refused)) {
  test(`${what} is refused`, () => assert.deepEqual(ask(ledger ?? open, request, book), { outcome: "refused", reason }));
}

test("when every number of the grant is given it says so and spends nothing", () => {
  let ledger: Ledger = { ...open, invites: [{ ...single, uses: 10 }] };
  const numbers = ["a", "b", "c"].map((name) => {
    const next = admitted(ledger, name);
    ledger = next.ledger;
    return next.says.number;
  });
  assert.deepEqual(numbers, [17, 18, 19]);
  assert.deepEqual(ask(ledger, requestOf("d")), { outcome: "grant-used-up" });
});

test("who joins after another left gets a number of its own while there is one; then the one that was held least, one generation up", () => {
  let ledger: Ledger = { ...open, invites: [{ ...single, uses: 10 }] };
  const book = bookOf(network.certificate("y", { number: 19 }));
  const given = ["a", "b", "c", "d", "e"].map((name) => {
    const next = admitted(ledger, name, book);
    ledger = next.ledger;
    book.merge([next.certificate, network.removal("root", name)]);
    return [next.says.number, next.says.generation];
  });
  assert.deepEqual(given, [
    [17, 0],
    [18, 0],
    [17, 1],
    [18, 1],
    [17, 2],
  ]);
});

test("a number once held counts though the ledger forgot it", () => {
  const others = [18, 19].map((number) => network.certificate(`at-${number}`, { number }));
  const held = network.certificate("a", { number: 17, generation: 4 });
  const { says } = admitted(open, "b", bookOf(held, network.removal("root", "a"), ...others));
  assert.deepEqual([says.number, says.generation], [17, 5]);
  assert.equal(admitted(open, "b", bookOf(held)).says.number, 18);
});

test("of one name the second has a number behind it, and keeps it when the first has left", () => {
  let ledger: Ledger = { ...open, invites: [{ ...single, uses: 10 }] };
  const book = bookOf();
  for (const node of ["a", "b", "c"]) {
    const consent = signConsent(crypto, keyOf(node), network.id);
    const admission = ask(ledger, requestOf("vm", { node: idOf(node), consent }), book);
    if (admission.outcome !== "admitted") assert.fail(admission.outcome);
    ledger = admission.ledger;
    book.merge([admission.certificate]);
  }
  const nameOf = (node: string): string | undefined => book.membership.members.get(idOf(node))?.name;
  assert.deepEqual(["a", "b", "c"].map(nameOf), ["vm", "vm-2", "vm-3"]);
  book.merge([network.removal("root", "b")]);
  assert.deepEqual(["a", "b", "c"].map(nameOf), ["vm", undefined, "vm-3"]);
});

test("serials rise, with the clock and without", () => {
  assert.equal(nextSerial({ ...EMPTY_LEDGER, serial: 10 }, 9.5), 11);
  assert.equal(nextSerial({ ...EMPTY_LEDGER, serial: 10 }, 20.5), 20);
  const first = admitted({ ...open, serial: NOW + 7 }, "a");
  assert.deepEqual([first.says.serial, first.ledger.serial], [NOW + 8, NOW + 8]);
});

test("the next block begins behind all that was ever granted, and ends with the network", () => {
  const { plan } = network;
  assert.deepEqual(nextGrantBlock(plan, network.book().membership, []), { first: 1, count: 16 });
  assert.deepEqual(nextGrantBlock(plan, bookOf().membership, []), { first: 20, count: 16 });
  assert.deepEqual(nextGrantBlock(plan, bookOf().membership, [{ first: 20, count: 16 }]), { first: 36, count: 16 });
  assert.deepEqual(nextGrantBlock(plan, bookOf(network.admin("b", 240, 10), network.removal("root", "b")).membership, []), {
    first: 250,
    count: 6,
  });
  assert.equal(nextGrantBlock(plan, bookOf(network.admin("b", 240, 16)).membership, []), undefined);
});

test("an opened invite is known by its key; so many can be open, and expired ones make room", () => {
  const random = new SeededRandom(1);
  let ledger: Ledger = EMPTY_LEDGER;
  const make = (wallNow: number): Ledger | undefined =>
    openInvite(ledger, { crypto, random, uses: 2, expiresWallAt: wallNow + 1_000, wallNow })?.ledger;
  const opened = openInvite(ledger, { crypto, random, uses: 2, expiresWallAt: NOW, wallNow: 0 });
  const invite = Buffer.from(crypto.signingKey(opened?.seed ?? assert.fail()).publicKey).toString("hex");
  assert.deepEqual(opened?.ledger.invites, [{ invite, uses: 2, expiresWallAt: NOW, usedBy: [] }]);
  for (let i = 0; i < MAX_OPEN_INVITES; i++) ledger = make(NOW) ?? assert.fail();
  assert.equal(make(NOW), undefined);
  for (let i = 0; i < MAX_OPEN_INVITES * 3; i++) {
    ledger = make(NOW + 2_000 * (i + 1)) ?? assert.fail();
    assert.ok(ledger.invites.length <= MAX_OPEN_INVITES * 2);
  }
  assert.equal(make(NOW + 40 * 86_400_000)?.invites.length, 1);
});

for (let seed = 1; seed <= 20; seed++) {
  test(`seed ${seed}: crashes before the write give no number to two nodes that heard of it, and no invite more uses`, () => {
    const random = new SeededRandom(seed);
    const wide: NumberBlock[] = [{ first: 16, count: 100 }];
    const own = network.certificate("admin", { number: 16, role: "admin", grant: wide });
    const book = network.book();
    book.merge([own]);
    const invite = { ...single, uses: 4, expiresWallAt: Number.MAX_SAFE_INTEGER };
    let durable: Ledger = { ...EMPTY_LEDGER, invites: [invite, { ...invite, invite: idOf("second"), uses: 1 }] };
    const told = new Map<string, { readonly name: string; readonly bytes: Uint8Array }>();
    let ledger = durable;
    let untold: { readonly name: string; readonly bytes: Uint8Array }[] = [];
    let wallNow = NOW;
    for (let step = 0; step < 200; step++) {
      wallNow += random.below(20) - 5; // a clock that steps back too
      const what = random.below(4);
      if (what === 0) {
        ledger = durable; // crash: what was not written is gone, and nobody was told
        untold = [];
      } else if (what === 1) {
        durable = ledger;
        for (const { name, bytes } of untold.splice(0)) {
          const number = certificateOf(bytes).number;
          const before = told.get(`${number}`);
          assert.ok(before === undefined || before.name === name, `${before?.name} and ${name} were told ${number}`);
          if (before !== undefined) assert.deepEqual(bytes, before.bytes);
          told.set(`${number}`, { name, bytes });
          book.merge([bytes]);
        }
      } else {
        const name = `joiner-${random.below(8)}`;
        const request = requestOf(name, random.below(2) === 0 ? {} : { invite: idOf("second") });
        const admission = admit(ledger, request, {
          crypto,
          network: network.id,
          plan: network.plan,
          membership: book.membership,
          wallNow,
          key: keyOf("admin"),
          certificate: own,
          grant: wide,
        });
        if (admission.outcome !== "admitted") continue;
        ledger = admission.ledger;
        untold.push({ name, bytes: admission.certificate });
      }
    }
    assert.ok(new Set([...told.values()].map(({ name }) => name)).size === told.size && told.size > 0 && told.size <= 5);
  });
}

function certificateOf(bytes: Uint8Array): Certificate {
  const { content } = network.open(bytes);
  return content.type === "certificate" ? content.certificate : assert.fail();
}
