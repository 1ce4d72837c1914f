import assert from "node:assert/strict";
import { test } from "node:test";
import { Redactor } from "./redactor.ts";

test("public addresses go, each to the same word; private ones and those of the mesh stay", () => {
  const redactor = new Redactor([]);
  const text =
    "198.51.100.7:51820 and [2001:DB8::7]:443, then 198.51.100.7 by 10.77.1.1, 192.168.1.1, 172.16.0.1, 172.32.0.1, 100.64.0.1, 127.0.0.1, 224.0.0.1, fd4e:1f2a:9c01:2::1, fe80::1, ::1, 2001:db8::7: failed at 12:30:05, v1.2.3, 300.1.1.1";
  assert.equal(
    redactor.text(text),
    "public-address-1:51820 and [public-address-2]:443, then public-address-1 by 10.77.1.1, 192.168.1.1, 172.16.0.1, public-address-3, 100.64.0.1, 127.0.0.1, 224.0.0.1, fd4e:1f2a:9c01:2::1, fe80::1, ::1, public-address-2: failed at 12:30:05, v1.2.3, 300.1.1.1",
  );
  assert.equal(redactor.text("198.51.100.7/32 dev eth0"), "public-address-1/32 dev eth0");
});

test("names go as whole words, in values and not in keys", () => {
  const redactor = new Redactor([
    ["network", "home"],
    ["node", "laptop-b"],
    ["node", "name"],
    ["node", "laptop-b"],
    ["host", ""],
  ]);
  assert.equal(redactor.text("laptop-b: laptop-bc, xlaptop-b, (laptop-b) in home"), "node-1: laptop-bc, xlaptop-b, (node-1) in network-1");
  assert.deepEqual(redactor.json({ name: "name", list: ["laptop-b", 5, null], "198.51.100.7": true }), {
    name: "node-2",
    list: ["node-1", 5, null],
    "public-address-1": true,
  });
  assert.equal(redactor.lines('{"name":"laptop-b"}\nno json: laptop-b\n'), '{"name":"node-1"}\nno json: node-1\n');
  assert.equal(redactor.metrics('mesh_x{peer="laptop-b",name="name"} 5\n# home'), 'mesh_x{peer="node-1",name="node-2"} 5\n# home');
});

test("an IPv4 address inside an IPv6 one goes as a whole", () => {
  const redactor = new Redactor([]);
  assert.equal(redactor.text("from ::ffff:203.0.113.5 by 64:ff9b::8.8.8.8: refused"), "from public-address-1 by public-address-2: refused");
  assert.equal(redactor.text("at [::ffff:203.0.113.5]:51820 in 1.5 s"), "at [public-address-1]:51820 in 1.5 s");
});
