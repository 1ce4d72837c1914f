import type { PeerView, StatusView } from "./views.ts";

/** A node alone in its network, all well. */
export const quietStatus: StatusView = {
  version: 1,
  network: { name: "home", id: "ab", prefix4: "10.77.0.0/16", prefix6: "fd00::/48" },
  self: {
    name: "a",
    id: "aa",
    number: 1,
    role: "admin",
    holdsRoot: true,
    address4: "10.77.1.1",
    address6: "fd00:0:0:1::1",
    subnet4: "10.77.1.0/24",
    subnet6: "fd00:0:0:1::/64",
    seenAs: [],
    startedAt: 1,
  },
  tunnel: { device: "mesh0", mtu: 1_420, udpPort: 51_820, backend: "native" },
  control: { listen: ["192.0.2.1:443"], links: 0 },
  peers: [],
  health: [],
  counters: {},
};

export function alivePeer(number: number, more: Partial<PeerView> = {}): PeerView {
  return {
    name: `node-${number}`,
    id: `id-${number}`,
    number,
    role: "member",
    address4: `10.77.${number}.1`,
    address6: `fd00:0:0:${number}::1`,
    subnet4: `10.77.${number}.0/24`,
    subnet6: `fd00:0:0:${number}::/64`,
    state: "alive",
    path: `direct 192.0.2.${number}:5000`,
    endpoint: `192.0.2.${number}:5000`,
    receivedBytes: 0,
    sentBytes: 0,
    linked: true,
    ...more,
  };
}
