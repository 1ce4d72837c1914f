import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Endpoint, formatEndpoint, parseEndpoint } from "../address/endpoint.ts";
import type { Ip } from "../address/ip.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { minutes, seconds } from "../time/millis.ts";
import { ObservedEndpoints } from "./observed-endpoints.ts";

const at = (text: string): Endpoint => parseEndpoint(text) ?? assert.fail(text);
/** Behind a NAT. */
const own = [at("192.168.1.5:51820"), at("[fd00::5]:51820")];
const PUBLIC = "198.51.100.1:40001";

/** What the named peers say at 0, later words last. */
function words(...said: readonly (readonly [observer: string, seen: string])[]): ObservedEndpoints {
  const observed = new ObservedEndpoints();
  for (const [observer, seen] of said) observed.note(idOf(observer), at(seen), 0);
  return observed;
}

const reflexive = (observed: ObservedEndpoints, now = 1): readonly string[] => observed.reflexive(own, now).map(formatEndpoint);

describe("reflexive endpoints", () => {
  test("one peer's word is enough where no other says anything", () => {
    assert.deepEqual(reflexive(words(["a", PUBLIC])), [PUBLIC]);
    assert.deepEqual(reflexive(new ObservedEndpoints()), []);
  });

  test("liars that name private addresses hide nothing that others agree on", () => {
    const liars = ["fd00::1", "fd00::2", "10.9.9.9", "10.9.9.8"].map(
      (ip, i) => [`l${i}`, ip.includes(":") ? `[${ip}]:7` : `${ip}:7`] as const,
    );
    assert.equal(reflexive(words(...liars, ["a", PUBLIC], ["b", PUBLIC]))[0], PUBLIC);
  });

  test("a peer that sees us by both families says two things, and is forgotten with both", () => {
    const both = words(["a", PUBLIC], ["a", "[2001:db8::9]:40001"]);
    assert.deepEqual(reflexive(both), [PUBLIC, "[2001:db8::9]:40001"]);
    both.forget(idOf("a"));
    assert.deepEqual(reflexive(both), []);
  });

  test("what two see is told; where each sees another port, our own stands for it", () => {
    assert.deepEqual(reflexive(words(["a", PUBLIC], ["b", PUBLIC])), [PUBLIC]);
    assert.deepEqual(reflexive(words(["a", "198.51.100.1:40001"], ["b", "198.51.100.1:40002"])), ["198.51.100.1:51820"]);
  });

  test("a liar among others sends nobody anywhere, and does not hide what they see", () => {
    const honest = [
      ["a", PUBLIC],
      ["b", PUBLIC],
    ] as const;
    assert.deepEqual(reflexive(words(["liar", "203.0.113.9:9999"], ...honest)), [PUBLIC]);
    assert.deepEqual(reflexive(words(...honest, ["liar", "203.0.113.9:9999"])), [PUBLIC]);
    assert.deepEqual(reflexive(words(["liar", "203.0.113.9:9999"], ["a", PUBLIC])), [], "one against one: neither");
  });

  test("where no two agree, the words of our homes count when they have stood for a minute: one liar hides nothing", () => {
    const [a, liar, other] = [idOf("a"), idOf("liar"), idOf("other")];
    const lie = "203.0.113.9:9999";
    const observed = words(["a", PUBLIC], ["liar", lie], ["other", "203.0.113.8:8888"]);
    const said = (now: number): readonly string[] => observed.reflexive(own, now, [liar, a]).map(formatEndpoint);
    assert.deepEqual(said(1), []);
    const isNews = (now: number): readonly boolean[] => [observed.note(a, at(PUBLIC), now), observed.note(liar, at(lie), now)];
    assert.deepEqual(isNews(seconds(59)), [false, false]);
    assert.deepEqual(said(seconds(59)), []);
    assert.deepEqual(isNews(seconds(60)), [true, true], "for now they count");
    assert.deepEqual(isNews(seconds(83)), [false, false]);
    observed.note(other, at("203.0.113.8:8888"), seconds(83));
    assert.deepEqual(said(seconds(83)), [lie, PUBLIC], "not those of others");
    observed.note(idOf("b"), at(PUBLIC), seconds(83));
    assert.deepEqual(said(seconds(83)), [PUBLIC], "two agree: the liar is alone");
  });

  test("a NAT that gives each flow another port, and often, is no news in the record", () => {
    const observed = words(["b", "198.51.100.1:1"]);
    for (let minute = 1; minute <= 9; minute++) {
      observed.note(idOf("a"), at(`198.51.100.1:${40_000 + minute}`), minutes(minute));
      assert.deepEqual(observed.reflexive(own, minutes(minute), [idOf("a")]).map(formatEndpoint), ["198.51.100.1:51820"]);
    }
  });

  test("a liar who says it twice has one voice", () => {
    const observed = words(["liar", "203.0.113.9:9999"], ["a", PUBLIC], ["liar", "203.0.113.9:9999"], ["liar", "203.0.113.9:9999"]);
    assert.deepEqual(reflexive(observed), []);
  });

  test("a NAT with several public addresses: each that two see, four at most", () => {
    const many = Array.from({ length: 6 }, (_, i) => `198.51.100.${i + 1}:40001`);
    const said = many.flatMap((seen, i) => [[`a${i}`, seen] as const, [`b${i}`, seen] as const]);
    assert.deepEqual(reflexive(words(...said.slice(0, 4))), many.slice(0, 2));
    assert.deepEqual(reflexive(words(...said)), many.slice(0, 4));
  });

  test("observers in our own network, who see our own addresses, neither count nor hide the word of one outside", () => {
    const lan = [
      ["a", "192.168.1.5:51820"],
      ["b", "[fd00::5]:51820"],
    ] as const;
    assert.deepEqual(reflexive(words(...lan)), []);
    assert.deepEqual(reflexive(words(...lan, ["c", PUBLIC])), [PUBLIC]);
  });

  test("another port at our own address is no address of a NAT", () => {
    assert.deepEqual(reflexive(words(["a", "192.168.1.5:40001"], ["b", "192.168.1.5:40001"])), []);
  });

  test("a private address needs one word, as behind two NATs, and takes no voice from a public one", () => {
    assert.deepEqual(reflexive(words(["a", "100.64.3.4:40001"])), ["100.64.3.4:40001"]);
    assert.deepEqual(reflexive(words(["a", "10.9.8.7:40001"], ["b", PUBLIC])), [PUBLIC, "10.9.8.7:40001"]);
  });

  test("the latest word of each counts, for ten minutes", () => {
    const observed = words(["a", "198.51.100.9:1"], ["b", PUBLIC]);
    assert.deepEqual(reflexive(observed), []);
    observed.note(idOf("a"), at(PUBLIC), 2);
    assert.deepEqual(reflexive(observed), [PUBLIC]);
    assert.deepEqual(reflexive(observed, minutes(10) + 1), [PUBLIC], "the word of one is fresh still, and the only one");
    assert.deepEqual(reflexive(observed, minutes(10) + 2), []);
  });

  test("words of a peer that is gone, or of the network before, are forgotten", () => {
    const observed = words(["a", PUBLIC], ["b", PUBLIC], ["c", "203.0.113.9:9999"]);
    observed.forget(idOf("c"));
    observed.forget(idOf("b"));
    assert.deepEqual([reflexive(observed), observed.all()], [[PUBLIC], [PUBLIC]]);
    observed.clear();
    assert.deepEqual([reflexive(observed), observed.all()], [[], []]);
  });
});

test("a word is news when it is another than before", () => {
  const observed = new ObservedEndpoints();
  const [a, b] = [idOf("a"), idOf("b")];
  const said = [
    observed.note(a, at(PUBLIC), 0),
    observed.note(a, at(PUBLIC), 1),
    observed.note(b, at(PUBLIC), 1),
    observed.note(a, at("198.51.100.1:40002"), 2),
  ];
  assert.deepEqual(said, [true, false, true, true]);
});

test("for people all are shown, without repetition", () => {
  const observed = words(["a", PUBLIC], ["b", "192.168.1.5:51820"], ["c", PUBLIC], ["d", "[2001:db8::1]:5"]);
  assert.deepEqual(observed.all(), ["192.168.1.5:51820", PUBLIC, "[2001:db8::1]:5"]);
});

test("of more than 128 words the one heard longest ago is forgotten", () => {
  const observed = new ObservedEndpoints();
  for (let i = 0; i < 129; i++) observed.note(idOf(`o${i}`), { ip: "198.51.100.1" as Ip, port: 1_000 + i }, 0);
  assert.equal(observed.all().length, 128);
  assert.ok(!observed.all().includes("198.51.100.1:1000"));
});

test("the NAT's mapping is told by what peers see (RFC 4787)", () => {
  const mapping = (observed: ObservedEndpoints): string => observed.mapping(own, 1);
  assert.equal(mapping(new ObservedEndpoints()), "unknown");
  assert.equal(mapping(words(["a", "192.168.1.5:51820"])), "none");
  assert.equal(mapping(words(["a", PUBLIC])), "endpoint-independent");
  assert.equal(mapping(words(["a", PUBLIC], ["b", PUBLIC])), "endpoint-independent");
  assert.equal(mapping(words(["a", PUBLIC], ["b", "198.51.100.1:40002"])), "endpoint-dependent");
  const neighbour = ["n", "10.9.9.9:7"] as const;
  assert.equal(
    mapping(words(["a", PUBLIC], ["b", "198.51.100.1:40002"], neighbour)),
    "endpoint-dependent",
    "a neighbour says nothing of the NAT",
  );
  assert.equal(mapping(words(neighbour)), "endpoint-independent");
  assert.equal(words(["a", PUBLIC]).mapping(own, minutes(10)), "unknown");
});
