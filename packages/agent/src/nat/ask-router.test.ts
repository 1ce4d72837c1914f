/** One question to a router on loopback: what it may answer, and what comes of it. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { type Ip, seconds } from "@mesh/core/ports";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { askPcp } from "./ask-pcp.ts";
import { askRouter } from "./ask-router.ts";
import {
  type Answer,
  DESCRIPTION,
  EXTERNAL,
  FakeRouter,
  type FakeRouterOptions,
  grantsNatPmp,
  grantsPcp,
  grantsSoap,
  INTERNAL_PORT,
  ipAt,
  knowsNoPcp,
  questionFor,
  ROUTER_IP,
  searchAnswer,
  when,
} from "./fake-router-fixture.ts";
import { elementText } from "./igd-message.ts";
import { Faults, type Grant, LEASE, type MappingQuestion } from "./mapping.ts";

const upnp: FakeRouterOptions = { pcp: knowsNoPcp, search: true, soap: grantsSoap() };

interface Asked {
  readonly router: FakeRouter;
  readonly question: MappingQuestion;
  readonly grant: Grant | undefined;
  readonly faults: Readonly<Record<string, number>>;
}

/** Time passes while the question is open, far slower than a router on loopback answers. */
async function ask(t: TestContext, options: FakeRouterOptions, change: Partial<MappingQuestion> = {}): Promise<Asked> {
  const router = await FakeRouter.open(t, options);
  const clock = new ManualClock();
  const question = questionFor(router, clock, change);
  const grant = await patiently(clock, askRouter(question));
  assert.equal(clock.timerCount, 0);
  return { router, question, grant, faults: question.faults.view() };
}

describe("PCP", () => {
  test("grants what is wished for: our port for 2 hours", async (t) => {
    const { grant, router } = await ask(t, { pcp: grantsPcp() });
    assert.deepEqual([grant?.protocol, grant?.external, grant?.lifetime], ["pcp", { ...EXTERNAL, port: INTERNAL_PORT }, LEASE]);
    const [request] = router.heardOf(2);
    assert.equal(request?.readUInt32BE(4), 7_200);
    assert.equal(ipAt(request ?? assert.fail(), 8), ROUTER_IP, "the client's own address");
  });

  test("the port held before is wished for again; another one is taken as it is given", async (t) => {
    const { grant } = await ask(t, { pcp: grantsPcp() }, { suggested: EXTERNAL });
    assert.deepEqual(grant?.external, EXTERNAL);
    const other = { ...EXTERNAL, port: 2_000 };
    assert.deepEqual((await ask(t, { pcp: grantsPcp({ external: other }) })).grant?.external, other);
  });

  test("where it grants, no other protocol makes anything", async (t) => {
    const { router } = await ask(t, { pcp: grantsPcp(), natPmp: grantsNatPmp(), search: true, soap: grantsSoap() });
    assert.ok(
      router.heardOf(0).every((request) => request[1] === 0),
      "NAT-PMP was asked for the address at most",
    );
    assert.deepEqual(router.actions, []);
  });

  test("release deletes what was granted, by its nonce", async (t) => {
    const { grant, router } = await ask(t, { pcp: grantsPcp() });
    await grant?.release(new AbortController().signal);
    const [made, deleted] = router.heardOf(2);
    assert.equal(deleted?.readUInt32BE(4), 0);
    assert.equal(deleted?.readUInt16BE(42), 0);
    assert.equal(Buffer.compare(made?.subarray(24, 36) ?? assert.fail(), deleted?.subarray(24, 36) ?? assert.fail()), 0);
  });

  test("IPv6: a hole for the address itself", async (t) => {
    const ip = "::1" as Ip;
    const external = { ip: "2001:db8::5" as Ip, port: INTERNAL_PORT };
    const { grant, router } = await ask(t, { ip, pcp: grantsPcp({ external }) }, { uplink: { gateway: ip, device: "lo", source: ip } });
    assert.deepEqual(grant?.external, external);
    assert.equal(router.heardOf(0).length, 0, "the other protocols know no IPv6");
  });
});

describe("NAT-PMP", () => {
  test("grants our port, is asked for the address first, and deletes with external port 0", async (t) => {
    const { grant, router } = await ask(t, { pcp: knowsNoPcp, natPmp: grantsNatPmp() });
    assert.deepEqual([grant?.protocol, grant?.external, grant?.lifetime], ["nat-pmp", { ...EXTERNAL, port: INTERNAL_PORT }, LEASE]);
    await grant?.release(new AbortController().signal);
    const hex = router.heardOf(0).map((request) => request.toString("hex"));
    assert.deepEqual(hex, ["0000", "00010000ca6cca6c00001c20", "00010000ca6c000000000000"]);
  });

  test("a router that says nothing to PCP is asked twice, and mapped by NAT-PMP after 500 ms", async (t) => {
    const router = await FakeRouter.open(t, { natPmp: grantsNatPmp() });
    const clock = new ManualClock();
    const asked = askRouter(questionFor(router, clock));
    for (const times of [1, 2]) {
      await when(() => router.heardOf(2).length === times && router.heardOf(0).length > 0);
      clock.advance(250);
    }
    assert.equal((await asked)?.protocol, "nat-pmp");
    assert.equal(clock.timerCount, 0);
  });
});

describe("UPnP", () => {
  test("adds our port for 2 hours, away from port 0, and deletes by that port", async (t) => {
    const { grant, router } = await ask(t, upnp);
    assert.deepEqual([grant?.protocol, grant?.external, grant?.lifetime], ["upnp", { ...EXTERNAL, port: INTERNAL_PORT }, LEASE]);
    await grant?.release(new AbortController().signal);
    assert.deepEqual(
      router.actions.map(({ name }) => name),
      ["GetExternalIPAddress", "AddPortMapping", "DeletePortMapping"],
    );
    const [, add = assert.fail(), remove = assert.fail()] = router.actions.map(({ body }) => body);
    const values = ["NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient", "NewLeaseDuration"];
    assert.deepEqual(
      values.map((name) => elementText(add, name)),
      [`${INTERNAL_PORT}`, "UDP", `${INTERNAL_PORT}`, ROUTER_IP, "7200"],
    );
    assert.deepEqual(
      ["NewExternalPort", "NewProtocol"].map((name) => elementText(remove, name)),
      [`${INTERNAL_PORT}`, "UDP"],
    );
  });

  test("somebody has that port: another one, at most twice", async (t) => {
    const taken = await ask(t, { ...upnp, soap: grantsSoap((port) => (port === INTERNAL_PORT ? "718" : undefined)) });
    assert.ok((taken.grant?.external.port ?? 0) >= 10_000);
    const all = await ask(t, { ...upnp, soap: grantsSoap(() => "718") });
    assert.equal(all.grant, undefined);
    assert.equal(all.router.actions.filter(({ name }) => name === "AddPortMapping").length, 3);
  });

  test("a router that maps for good only is left alone", async (t) => {
    const { grant, router, faults } = await ask(t, { ...upnp, soap: grantsSoap(() => "725") });
    assert.deepEqual([grant, faults["permanent"]], [undefined, 1]);
    assert.ok(router.actions.every(({ body }) => elementText(body, "NewLeaseDuration") !== "0"));
  });
});

describe("what a router, or somebody in its name, can do wrong", () => {
  const wrong: Readonly<Record<string, readonly [FakeRouterOptions, string]>> = {
    "PCP: no lifetime": [{ pcp: grantsPcp({ lifetime: 0 }) }, "lifetime"],
    "PCP: a lifetime of 59 s": [{ pcp: grantsPcp({ lifetime: 59 }) }, "lifetime"],
    "PCP: external port 0": [{ pcp: grantsPcp({ external: { ...EXTERNAL, port: 0 } }) }, "external"],
    "PCP: a system's port": [{ pcp: grantsPcp({ external: { ...EXTERNAL, port: 53 } }) }, "external"],
    "PCP: no address": [{ pcp: grantsPcp({ external: { ip: "0.0.0.0" as Ip, port: 4_000 } }) }, "external"],
    "PCP: a group's address": [{ pcp: grantsPcp({ external: { ip: "224.0.0.1" as Ip, port: 4_000 } }) }, "external"],
    "PCP: an address of the other family": [{ pcp: grantsPcp({ external: { ip: "2001:db8::1" as Ip, port: 4_000 } }) }, "external"],
    "PCP: an error": [{ pcp: (request) => patched(grantsPcp()(request), 3, 8) }, "refused"],
    "NAT-PMP: no lifetime": [{ pcp: knowsNoPcp, natPmp: grantsNatPmp({ lifetime: 0 }) }, "lifetime"],
    "NAT-PMP: external port 0": [{ pcp: knowsNoPcp, natPmp: grantsNatPmp({ externalPort: 0 }) }, "external"],
    "NAT-PMP: no address": [{ pcp: knowsNoPcp, natPmp: grantsNatPmp({ ip: "0.0.0.0" as Ip }) }, "external"],
    "NAT-PMP: an error": [{ pcp: knowsNoPcp, natPmp: () => Uint8Array.of(0, 128, 0, 3, 0, 0, 0, 9) }, "refused"],
    "UPnP: no address": [{ ...upnp, soap: () => [200, "<a/>"] }, ""],
    "UPnP: a group's address": [{ ...upnp, soap: () => [200, "<NewExternalIPAddress>224.0.0.1</NewExternalIPAddress>"] }, "external"],
    "UPnP: an error": [{ ...upnp, soap: grantsSoap(() => "501") }, "refused"],
    "UPnP: a description of 70 KB": [{ ...upnp, description: `${DESCRIPTION}${" ".repeat(70_000)}` }, "malformed"],
    "UPnP: garbage for a description": [{ ...upnp, description: "<service>".repeat(5_000) }, "malformed"],
    "UPnP: an answer that leads to another host": [{ ...upnp, search: () => searchAnswer("http://127.0.0.2:1/root.xml") }, "malformed"],
    "UPnP: an answer that leads to a name": [{ ...upnp, search: () => searchAnswer("http://localhost:1/root.xml") }, "malformed"],
    "UPnP: an answer that leads to TLS": [{ ...upnp, search: (url) => searchAnswer(url.replace("http:", "https:")) }, "malformed"],
    "UPnP: garbage for an answer": [{ ...upnp, search: () => "\0\xff\r\n\r\n" }, "malformed"],
    "UPnP: a control URL at another host": [
      {
        ...upnp,
        description:
          "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>http://127.0.0.2/x</controlURL></service>",
      },
      "malformed",
    ],
  };
  for (const [what, [options, fault]] of Object.entries(wrong)) {
    test(`${what}: nothing is mapped, and it is counted`, async (t) => {
      const { grant, faults } = await ask(t, options);
      assert.equal(grant, undefined);
      if (fault !== "") assert.ok((faults[fault] ?? 0) > 0, JSON.stringify(faults));
    });
  }

  test("a lifetime of 136 years is believed for 2 hours", async (t) => {
    assert.equal((await ask(t, { pcp: grantsPcp({ lifetime: 0xffff_ffff }) })).grant?.lifetime, LEASE);
    assert.equal((await ask(t, { pcp: knowsNoPcp, natPmp: grantsNatPmp({ lifetime: 0xffff_ffff }) })).grant?.lifetime, LEASE);
    assert.equal((await ask(t, { pcp: grantsPcp({ lifetime: 600 }) })).grant?.lifetime, seconds(600));
  });

  test("a useless grant is taken back at once", async (t) => {
    const { router } = await ask(t, { pcp: grantsPcp({ external: { ...EXTERNAL, port: 53 } }) });
    assert.deepEqual(
      router.heardOf(2).map((request) => request.readUInt32BE(4)),
      [7_200, 0],
    );
  });

  test("answers to others' questions, garbage and a flood come before the right answer: it is found, the rest is counted", async (t) => {
    const right = grantsPcp();
    const pcp: Answer = (request) => {
      const answer = right(request);
      const others = [patched(answer, 24, 0xff), patched(answer, 40, 0), patched(answer, 36, 6), new Uint8Array(2_000), new Uint8Array()];
      return [...others, answer as Uint8Array];
    };
    const { grant, faults } = await ask(t, { pcp });
    assert.equal(grant?.protocol, "pcp");
    assert.equal(faults["malformed"], 5);
  });

  test("of a router that floods, 64 datagrams are read", async (t) => {
    const router = await FakeRouter.open(t, { pcp: () => Array.from({ length: 100 }, () => new Uint8Array(60)) });
    const clock = new ManualClock();
    const faults = new Faults();
    const asked = askPcp(questionFor(router, clock, { faults }));
    await when(() => (faults.view()["flood"] ?? 0) >= 36);
    assert.equal(faults.view()["malformed"], 64);
    clock.advance(250);
    clock.advance(250);
    assert.equal(await asked, undefined);
  });

  test("an answer from another address is none", async (t) => {
    const stranger = createSocket("udp4");
    t.after(() => stranger.close());
    stranger.bind(0, "127.0.0.2");
    await once(stranger, "listening");
    const router = await FakeRouter.open(t, {});
    const clock = new ManualClock();
    const faults = new Faults();
    // It says the right thing, to the right port, and is not who was asked.
    const control = createSocket("udp4");
    t.after(() => control.close());
    control.bind(0, ROUTER_IP);
    await once(control, "listening");
    control.on("message", (request, from) => stranger.send(grantsPcp()(request) as Uint8Array, from.port, from.address));
    const ports = { ...router.ports, control: control.address().port };
    const asked = askPcp(questionFor(router, clock, { faults, ports }));
    for (const times of [1, 2]) {
      await when(() => faults.view()["stranger"] === times);
      clock.advance(250);
    }
    assert.equal(await asked, undefined);
  });

  test("nobody is there: everything is over after 500 ms and 2 s, with nothing left behind", async (t) => {
    const router = await FakeRouter.open(t, {});
    const clock = new ManualClock();
    const asked = askRouter(questionFor(router, clock));
    await when(() => router.heardOf(2).length === 1 && router.heardOf(0).length === 1);
    clock.advance(250);
    await when(() => router.heardOf(2).length === 2 && router.heardOf(0).length === 2);
    clock.advance(1_749);
    assert.ok(clock.timerCount > 0, "the search goes on");
    clock.advance(1);
    assert.equal(await asked, undefined);
    assert.equal(clock.timerCount, 0);
  });

  test("aborted, it ends at once, whatever is under way", async (t) => {
    const router = await FakeRouter.open(t, {});
    const clock = new ManualClock();
    const aborter = new AbortController();
    const asked = askRouter(questionFor(router, clock, { signal: aborter.signal }));
    await when(() => router.heardOf(2).length === 1);
    aborter.abort();
    assert.equal(await asked, undefined);
    assert.equal(clock.timerCount, 0);
    assert.equal(await askRouter(questionFor(router, clock, { signal: aborter.signal })), undefined, "nor does it begin");
  });

  test("an address that is gone is nobody's fault but counted", async (t) => {
    const router = await FakeRouter.open(t, {});
    const faults = new Faults();
    const clock = new ManualClock();
    const uplink = { gateway: ROUTER_IP, device: "lo", source: "192.0.2.77" as Ip };
    assert.equal(await askRouter(questionFor(router, clock, { uplink, faults })), undefined);
    assert.ok((faults.view()["unreachable"] ?? 0) > 0);
  });
});

function patched(answer: ReturnType<Answer>, at: number, to: number): Uint8Array {
  const bytes = Uint8Array.from(answer as Uint8Array);
  bytes[at] = to;
  return bytes;
}

/** Turns of the event loop for 250 ms of the question's time; the kernel carries a datagram over loopback within one. */
const TURNS = 50;

async function patiently<T>(clock: ManualClock, asked: Promise<T>): Promise<T> {
  let isOver = false;
  const watched = asked.finally(() => {
    isOver = true;
  });
  let turns = 0;
  await when(() => {
    if (!isOver && ++turns % TURNS === 0) clock.advance(250);
    return isOver;
  });
  return await watched;
}
