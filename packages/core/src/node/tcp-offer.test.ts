import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEndpoint } from "../address/endpoint.ts";
import { MAX_MEMBER_ENDPOINTS } from "../membership/invite.ts";
import { idOf } from "../membership/sample-network-fixture.ts";
import { NOWHERE } from "../records/endpoint-record.ts";
import { inviteMembers, tcpRelayEndpoints } from "./tcp-offer.ts";

const at = (...texts: readonly string[]) => texts.map((text) => parseEndpoint(text) ?? assert.fail(text));

test("TLS is taken at every public address, its own and reflexive, once each", () => {
  const place = {
    ...NOWHERE,
    udp: at("192.168.1.5:5000", "198.51.100.5:5000"),
    tcp: at("192.168.1.5:6000", "198.51.100.5:6000"),
    reflexive: at("203.0.113.5:40000"),
    tcpRelay: 443,
  };
  assert.deepEqual(tcpRelayEndpoints(place), at("198.51.100.5:443", "203.0.113.5:443"));
});

test("where none is public, at private ones; by a member that does not offer it, nowhere", () => {
  const place = { ...NOWHERE, udp: at("192.168.1.5:5000"), tcpRelay: 8_443 };
  assert.deepEqual(tcpRelayEndpoints(place), at("192.168.1.5:8443"));
  assert.deepEqual(tcpRelayEndpoints({ ...place, tcpRelay: 0 }), []);
});

test("an invite names them last, and has room for them", () => {
  const tcp = Array.from({ length: 16 }, (_, i) => parseEndpoint(`198.51.100.${i + 1}:6000`) ?? assert.fail());
  const place = { ...NOWHERE, node: idOf("a"), tcp };
  const [plain] = inviteMembers([place]);
  assert.deepEqual(plain?.endpoints, tcp.slice(0, MAX_MEMBER_ENDPOINTS));
  const [offering] = inviteMembers([{ ...place, tcpRelay: 443 }]);
  assert.equal(offering?.endpoints.length, MAX_MEMBER_ENDPOINTS);
  assert.deepEqual(
    offering?.endpoints.slice(-4).map(({ port }) => port),
    [443, 443, 443, 443],
  );
  assert.deepEqual(inviteMembers([{ ...NOWHERE, node: idOf("b") }]), []);
});

test("who can be reached from everywhere comes first in an invite, then who makes it; others behind NATs are not named", () => {
  const open = (name: string, ip: string) => ({ ...NOWHERE, node: idOf(name), tcp: at(`${ip}:6000`), isReachable: true });
  const laptop = (name: string, ip: string) => ({ ...NOWHERE, node: idOf(name), tcp: at(`${ip}:6000`) });
  const namesOf = (...places: readonly Parameters<typeof inviteMembers>[0][number][]) => inviteMembers(places).map(({ node }) => node);
  const [self, other, further] = [laptop("self", "192.168.1.5"), laptop("other", "192.168.1.6"), laptop("further", "10.0.0.9")];
  const publics = ["p", "q", "r"].map((name, i) => open(name, `198.51.100.${i + 1}`));
  const [p, q] = publics;
  assert.ok(p !== undefined && q !== undefined);
  assert.deepEqual(namesOf(self, other, further, p), [p.node, self.node]);
  assert.deepEqual(namesOf(self, ...publics), [p.node, q.node, self.node], "room for three");
  assert.deepEqual(namesOf(p, self, q), [p.node, q.node]);
  assert.deepEqual(namesOf(self, other), [self.node, other.node], "nobody is open: perhaps they share a network");
  assert.deepEqual(namesOf({ ...p, isReachable: false }, self), [p.node, self.node], "a firewall may stand before it");
});
