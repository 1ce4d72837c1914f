import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatPrefix, type HostView } from "@mesh/core/ports";
import { observeHost } from "./host-view.ts";

// Cut from the output of iproute2 6.1 on Linux 6.18, with example addresses.
const IPV4_LINKS = [
  {
    ifname: "lo",
    addr_info: [
      { local: "127.0.0.1", prefixlen: 8, scope: "host" },
      { local: "10.200.0.1", prefixlen: 32, scope: "global" },
    ],
  },
  {
    ifname: "eth0",
    addr_info: [
      { local: "192.0.2.2", prefixlen: 24, scope: "global" },
      { local: "169.254.3.4", prefixlen: 16, scope: "link" },
    ],
  },
  { ifname: "ppp0", addr_info: [{ local: "198.51.100.7", address: "198.51.100.1", prefixlen: 32, scope: "global" }] },
  { ifname: "mesh0", addr_info: [{ local: "10.77.2.1", prefixlen: 32, scope: "global", noprefixroute: true }] },
];
const IPV4_ROUTES = [
  { type: "unicast", dst: "default", gateway: "192.0.2.1", dev: "eth0", protocol: "dhcp", flags: [] },
  { type: "unicast", dst: "192.0.2.0/24", dev: "eth0", protocol: "kernel", scope: "link", flags: [] },
  { type: "unicast", dst: "203.0.113.9", dev: "eth0", flags: [] },
  {
    type: "unicast",
    dst: "10.8.0.0/16",
    flags: [],
    nexthops: [
      { gateway: "192.0.2.3", dev: "eth0" },
      { gateway: "198.51.100.1", dev: "ppp0" },
    ],
  },
  { type: "blackhole", dst: "10.9.0.0/24", flags: [] },
  { type: "unicast", dst: "10.77.0.0/16", dev: "mesh0", protocol: "109", flags: [] },
  { type: "unicast", dst: "224.0.0.0/4", dev: "eth0", flags: [] },
  { type: "unicast", dst: "169.254.0.0/16", dev: "eth0", flags: [] },
];
const IPV6_LINKS = [
  {
    ifname: "eth0",
    addr_info: [
      { local: "2001:db8::2", prefixlen: 64, scope: "global" },
      { local: "2001:db8::dead", prefixlen: 64, scope: "global", deprecated: true },
      { local: "2001:db8::3", prefixlen: 64, scope: "global", tentative: true },
      { local: "2001:db8::4", prefixlen: 64, scope: "global", dadfailed: true },
      { local: "fe80::1", prefixlen: 64, scope: "link" },
    ],
  },
  { ifname: "mesh1", addr_info: [{ local: "fd12::1", prefixlen: 128, scope: "global", noprefixroute: true }] },
];
/** For a link of another kind iproute2 prints an empty object. */
const TUNNELS = [{}, { ifname: "mesh0" }, { ifname: "mesh1" }];
const IPV6_ROUTES = [
  { type: "unicast", dst: "default", gateway: "fe80::99", dev: "eth0", metric: 1_024, flags: [] },
  { type: "unicast", dst: "2001:db8::/64", dev: "eth0", flags: [] },
  { type: "unicast", dst: "fe80::/64", dev: "eth0", flags: [] },
  { type: "unreachable", dst: "fd09::/48", dev: "lo", flags: [] },
  { type: "unreachable", dst: "default", dev: "lo", flags: [] },
];

async function observe(hasIpv6: boolean): Promise<HostView> {
  const shown = { "-4": [IPV4_LINKS, IPV4_ROUTES, TUNNELS], "-6": [IPV6_LINKS, IPV6_ROUTES, TUNNELS] } as const;
  const asked: string[] = [];
  const view = await observeHost(
    {
      batch: async ([family]) => {
        asked.push(family ?? "");
        const output = shown[family as "-4" | "-6"].map((value) => `${JSON.stringify(value)}\n`).join("");
        return { ok: true, output };
      },
    },
    { exceptDevice: "mesh0", hasIpv6 },
  );
  assert.deepEqual(asked, hasIpv6 ? ["-4", "-6"] : ["-4"]);
  return view;
}

describe("observeHost", () => {
  test("keeps the addresses that others can reach", async () => {
    const { addresses } = await observe(true);
    assert.deepEqual(
      addresses.map(({ device, ip, prefixLength }) => `${device} ${ip}/${prefixLength}`),
      ["eth0 192.0.2.2/24", "eth0 2001:db8::2/64", "ppp0 198.51.100.7/32"],
    );
  });

  test("keeps each route with its device; refused prefixes are in use, too", async () => {
    const { routes } = await observe(true);
    assert.deepEqual(
      routes.map(({ device, prefix }) => `${formatPrefix(prefix)} ${device}`),
      [
        "0.0.0.0/0 eth0",
        "10.8.0.0/16 eth0",
        "192.0.2.0/24 eth0",
        "2001:db8::/64 eth0",
        "203.0.113.9/32 eth0",
        "::/0 eth0",
        "10.9.0.0/24 lo",
        "fd09::/48 lo",
        "10.8.0.0/16 ppp0",
      ],
    );
  });

  test("of a default route it says which router it leads to, of others not", async () => {
    const { routes } = await observe(true);
    assert.deepEqual(
      routes.flatMap(({ device, gateway, metric }) => (gateway === undefined ? [] : [`${gateway} ${device} ${metric}`])),
      ["192.0.2.1 eth0 undefined", "fe80::99 eth0 1024"],
    );
  });

  test("does not ask for IPv6 where there is none", async () => {
    const { addresses } = await observe(false);
    assert.equal(addresses.length, 2);
  });
});
