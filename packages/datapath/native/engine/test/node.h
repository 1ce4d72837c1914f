#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "../clock.h"
#include "../engine.h"
#include "check.h"
#include "openssl.h"

// Whole engines, with a socket pair in place of the TUN device and real UDP on loopback.
namespace mesh {

inline constexpr size_t kMtu = 1420;
inline constexpr Address kLoopback{0, 0xffff'7f00'0001};

// An engine whose TUN device is `wire`, a socket that gives and takes inner packets.
struct Node {
  Node() {
    need_openssl();
    int pair[2];
    CHECK(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    wire.reset(pair[0]);
    engine = std::make_unique<Engine>(Waker{[](void* count) { static_cast<std::atomic<int>*>(count)->fetch_add(1); }, &wakes}, stats.data(), kMtu);
    CHECK(engine->open_with(Fd(pair[1]), 0).stage == OpenStage::none);
  }

  uint64_t counter(Counter counter) const {
    uint64_t sum = 0;
    for (size_t block = 0; block < 3; block++) sum += stats[block * kCounterBlockWords + static_cast<size_t>(counter)];
    return sum;
  }

  std::atomic<int> wakes{0};
  std::vector<uint64_t> stats = std::vector<uint64_t>(kStatsWords);
  Fd wire;
  std::unique_ptr<Engine> engine;
};

// Peer k of one end is 10.0.k.1, of the other 10.1.k.1.
inline Route route_of(uint8_t side, uint16_t slot) {
  return {4, 24, slot, {uint64_t{10} << 56 | uint64_t{side} << 48 | uint64_t{slot} << 40, 0}};
}

inline void publish(Node& node, uint8_t far_side, const std::vector<uint16_t>& slots, std::span<const uint16_t> roaming = {}) {
  std::vector<Route> routes;
  for (const uint16_t slot : slots) routes.push_back(route_of(far_side, slot));
  node.engine->publish({.slots = slots, .roaming = roaming, .routes = routes});
}

inline std::vector<uint8_t> packet_of(uint8_t from_side, uint8_t slot, size_t length, uint8_t fill) {
  std::vector<uint8_t> packet(length, fill);
  const uint8_t head[20] = {0x45, 0, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length), 0, 0, 0, 0, 64, 17, 0, 0,
                            10, from_side, slot, 1, 10, static_cast<uint8_t>(1 - from_side), slot, 1};
  std::memcpy(packet.data(), head, sizeof head);
  return packet;
}

// Both halves of one session; the key says whose it is, so packets under a wrong one would not open.
inline void install(Node& initiator, Node& responder, uint16_t slot, uint32_t index) {
  std::array<uint8_t, kKeyBytes> there{};
  std::array<uint8_t, kKeyBytes> back{};
  there.fill(static_cast<uint8_t>(index));
  there[0] = static_cast<uint8_t>(slot);
  back = there;
  back[1] = 0xff;
  const uint64_t expires_at = boot_ms() + 180'000;
  responder.engine->install({slot, 2 * index + 1, 2 * index, back.data(), there.data(), false, expires_at});
  initiator.engine->install({slot, 2 * index, 2 * index + 1, there.data(), back.data(), true, expires_at});
}

inline size_t drain(Node& node) {
  size_t count = 0;
  node.engine->drain_exceptions([&](const Exception&) { return ++count > 0; });
  return count;
}

// Reads whole packets and checks that each is from the peer it says it is for.
struct Delivered {
  uint64_t count = 0;
  void read(Node& node, uint8_t from_side) {
    uint8_t bytes[2048];
    for (ssize_t got; (got = ::read(node.wire.get(), bytes, sizeof bytes)) > 0; count++) {
      CHECK(got >= 20 && static_cast<size_t>(got) == load_be<uint16_t>(bytes + 2));
      CHECK(bytes[13] == from_side && bytes[17] == 1 - from_side && bytes[14] == bytes[18]);
      for (ssize_t i = 20; i < got; i++) CHECK(bytes[i] == bytes[14]);
    }
  }
};

// Straight, by the first socket.
inline Ways way_to(const Node& node) { return {1, {Way{{kLoopback, node.engine->udp_port()}}}}; }

}  // namespace mesh
