// Whole engines, with a socket pair in place of the TUN device and real UDP on loopback: threads, swaps and lifetimes
// under traffic. Meant for the thread and address sanitizers; needs no root. OpenSSL is loaded as the node binary has it:
// into the process, under its own symbol names.

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "../clock.h"
#include "../engine.h"
#include "check.h"

using namespace mesh;

namespace {

constexpr uint64_t kSeed = 1;
constexpr uint16_t kPeers = 8;
constexpr size_t kMtu = 1420;
constexpr Address kLoopback{0, 0xffff'7f00'0001};

void need_openssl() {
  if (::dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
  std::puts("no libcrypto.so.3 on this machine");
  std::exit(kSkipped);
}

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
Route route_of(uint8_t side, uint16_t slot) {
  return {4, 24, slot, {uint64_t{10} << 56 | uint64_t{side} << 48 | uint64_t{slot} << 40, 0}};
}

void publish(Node& node, uint8_t far_side, const std::vector<uint16_t>& slots) {
  std::vector<Route> routes;
  for (const uint16_t slot : slots) routes.push_back(route_of(far_side, slot));
  node.engine->publish(slots, routes);
}

std::vector<uint8_t> packet_of(uint8_t from_side, uint8_t slot, size_t length, uint8_t fill) {
  std::vector<uint8_t> packet(length, fill);
  const uint8_t head[20] = {0x45, 0, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length), 0, 0, 0, 0, 64, 17, 0, 0,
                            10, from_side, slot, 1, 10, static_cast<uint8_t>(1 - from_side), slot, 1};
  std::memcpy(packet.data(), head, sizeof head);
  return packet;
}

// Both halves of one session; the key says whose it is, so packets under a wrong one would not open.
void install(Node& initiator, Node& responder, uint16_t slot, uint32_t index) {
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

size_t drain(Node& node) {
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

// One thread pushes packets in at both ends and takes them out, while another does everything control can do.
void tables_and_sessions_change_under_traffic() {
  Node a;
  Node b;
  std::atomic<bool> is_done{false};
  std::array<Delivered, 2> delivered;
  std::thread traffic([&] {
    SeededRandom random(kSeed);
    while (!is_done.load()) {
      for (int i = 0; i < 16; i++) {
        const auto side = static_cast<uint8_t>(random.below(2));
        const auto slot = static_cast<uint8_t>(random.below(kPeers));
        const std::vector<uint8_t> packet = packet_of(side, slot, 20 + random.below(kMtu - 19), slot);
        [[maybe_unused]] const ssize_t put = ::write((side == 0 ? a : b).wire.get(), packet.data(), packet.size());
      }
      delivered[0].read(b, 0);
      delivered[1].read(a, 1);
      std::this_thread::yield();
    }
  });

  SeededRandom random(kSeed + 1);
  uint32_t index = 1;
  for (int step = 0; step < 4'000; step++) {
    const auto slot = static_cast<uint16_t>(random.below(kPeers));
    Node& node = random.below(2) == 0 ? a : b;
    Node& other = &node == &a ? b : a;
    switch (step == 0 ? 0 : random.below(8)) {
      case 0: {
        std::vector<uint16_t> slots;
        for (uint16_t i = 0; i < kPeers; i++) {
          if (step == 0 || random.below(4) > 0) slots.push_back(i);
        }
        publish(a, 1, slots);
        publish(b, 0, slots);
        for (const uint16_t i : slots) {
          a.engine->set_endpoint(i, {kLoopback, b.engine->udp_port()});
          b.engine->set_endpoint(i, {kLoopback, a.engine->udp_port()});
        }
        break;
      }
      case 1: node.engine->set_endpoint(slot, {}); break;
      case 2: node.engine->set_endpoint(slot, {kLoopback, other.engine->udp_port()}); break;
      case 3: node.engine->drop(2 * index - static_cast<uint32_t>(random.below(40))); break;
      case 4: node.engine->send_keepalive(slot); break;
      case 5: {
        uint8_t datagram[148] = {1};
        node.engine->send_datagram({kLoopback, other.engine->udp_port()}, datagram);
        break;
      }
      case 6: drain(node); break;
      default: install(node, other, slot, index++); break;
    }
  }
  is_done.store(true);
  traffic.join();
  a.engine->stop();
  b.engine->stop();
  for (Node* node : {&a, &b}) {
    CHECK(node->counter(Counter::udp_malformed) == 0 && node->counter(Counter::udp_not_authentic) == 0);
    CHECK(node->counter(Counter::udp_replayed) == 0 && node->counter(Counter::udp_inner_malformed) == 0);
    CHECK(node->counter(Counter::tun_malformed) == 0 && node->wakes.load() > 0);
    // Nobody has a peer any more.
    for (size_t word = kRecordsAt; word < kStatsWords; word++) CHECK(node->stats[word] == 0);
  }
  CHECK(delivered[0].count > 100 && delivered[1].count > 100);
}

void any_bytes_are_survived_seed_1() {
  Node a;
  Node b;
  publish(a, 1, {0});
  publish(b, 0, {0});
  a.engine->set_endpoint(0, {kLoopback, b.engine->udp_port()});
  b.engine->set_endpoint(0, {kLoopback, a.engine->udp_port()});
  install(a, b, 0, 1);
  SeededRandom random(kSeed);
  constexpr int kRounds = 20'000;
  uint8_t bytes[1600];
  for (int i = 0; i < kRounds; i++) {
    size_t length = random.below(sizeof bytes);
    random.fill(bytes, length);
    if (random.below(2) == 0 && length >= 32) {
      const uint8_t head[8] = {4, 0, 0, 0, 3, 0, 0, 0};  // transport data for b's session
      std::memcpy(bytes, head, sizeof head);
    } else if (random.below(2) == 0) {
      bytes[0] = static_cast<uint8_t>(random.below(2) == 0 ? 0x45 : 0x60);
    }
    if (random.below(2) == 0) a.engine->send_datagram({kLoopback, b.engine->udp_port()}, std::span(bytes).first(length));
    else if (length > 0) [[maybe_unused]] const ssize_t put = ::write(a.wire.get(), bytes, length);
    if (i % 64 == 0) drain(b);
  }
  // It still works: this packet comes through.
  Delivered delivered;
  pollfd readable{b.wire.get(), POLLIN, 0};
  const std::vector<uint8_t> packet = packet_of(0, 0, 100, 0);
  for (int tries = 0; tries < 100 && delivered.count == 0; tries++) {
    [[maybe_unused]] const ssize_t put = ::write(a.wire.get(), packet.data(), packet.size());
    ::poll(&readable, 1, 100);
    delivered.read(b, 0);
  }
  CHECK(delivered.count > 0);
  a.engine->stop();
  b.engine->stop();
  CHECK(a.counter(Counter::tun_malformed) > 1'000 && b.counter(Counter::udp_malformed) > 1'000);
  CHECK(b.counter(Counter::udp_not_authentic) > 1'000);
}

void stops_in_the_middle_of_traffic() {
  for (int round = 0; round < 50; round++) {
    Node a;
    Node b;
    publish(a, 1, {0});
    publish(b, 0, {0});
    a.engine->set_endpoint(0, {kLoopback, b.engine->udp_port()});
    install(a, b, 0, 1);
    const std::vector<uint8_t> packet = packet_of(0, 0, 1000, 0);
    for (int i = 0; i < 20 + round; i++) [[maybe_unused]] const ssize_t put = ::write(a.wire.get(), packet.data(), packet.size());
    (round % 2 == 0 ? a : b).engine->stop();
    if (round % 3 == 0) a.engine->stop();
  }
}

void a_lost_device_is_reported_once() {
  need_openssl();
  std::atomic<int> wakes{0};
  std::vector<uint64_t> stats(kStatsWords);
  Engine engine(Waker{[](void* count) { static_cast<std::atomic<int>*>(count)->fetch_add(1); }, &wakes}, stats.data(), kMtu);
  // A directory is always readable, and reading it is an error: like a TUN device that was deleted.
  CHECK(engine.open_with(Fd(::open("/", O_RDONLY | O_CLOEXEC)), 0).stage == OpenStage::none);
  while (wakes.load() == 0) std::this_thread::yield();
  size_t reported = 0;
  engine.drain_exceptions([&](const Exception& exception) {
    CHECK(exception.kind == ExceptionKind::engine_failed && exception.slot == EISDIR);
    CHECK(std::string_view(reinterpret_cast<const char*>(exception.bytes), exception.length) == "TUN device");
    return ++reported > 0;
  });
  engine.publish({}, {});  // nothing waits for pumps that have ended
  engine.stop();
  CHECK(reported == 1 && wakes.load() == 1);
}

// One pump, driven by hand: new packets are in TUN before what waited has left.
void what_waited_leaves_first() {
  need_openssl();
  constexpr uint8_t kWaiting = 90;
  constexpr uint8_t kTotal = 150;
  std::vector<uint64_t> stats(kStatsWords);
  Shared shared(Waker{[](void*) {}, nullptr}, stats.data(), kMtu);
  int pair[2];
  CHECK(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
  const Fd wire(pair[0]);
  shared.tun.adopt(Fd(pair[1]));
  CHECK(shared.udp.open(0) == 0 && shared.work.open() && Evp::find() != nullptr);
  const uint8_t key[kKeyBytes] = {7};
  Peer peer(3, 1);
  Session session(*Evp::find(), key, key);
  session.peer = &peer;
  session.expires_at = UINT64_MAX;
  Snapshot table;
  table.peers = {nullptr, nullptr, nullptr, &peer};
  table.routes.insert(4, route_of(1, 3).address, 24, 3);
  shared.snapshot.store(&table);
  Outbound outbound(shared);
  const auto write = [&](uint8_t first, uint8_t last) {
    for (uint8_t i = first; i < last; i++) {
      const std::vector<uint8_t> packet = packet_of(0, 3, 100, i);
      while (::write(wire.get(), packet.data(), packet.size()) < 0) outbound.pump();
    }
  };
  write(0, kWaiting);
  while (outbound.pump()) continue;

  peer.endpoint.store({kLoopback, shared.udp.port()});  // it sends to itself
  peer.current.store(&session);
  shared.work.ask(WorkBoard::Kind::flush, peer.slot);
  uint8_t next = kWaiting;
  uint8_t bytes[2048];
  for (uint8_t expected = 0; expected < kTotal;) {
    write(next, std::min<uint8_t>(next + 20, kTotal));
    next = std::min<uint8_t>(next + 20, kTotal);
    outbound.pump();
    Datagram datagram{bytes, sizeof bytes, {}};
    while (shared.udp.receive({&datagram, 1}).count == 1) {
      CHECK(session.receive.open(expected, bytes + kTransportHeaderBytes, datagram.length - kTransportMinBytes));
      CHECK(bytes[kTransportHeaderBytes + 99] == expected++);
      datagram.length = sizeof bytes;
    }
  }
}

void aead_and_installation() {
  uint8_t key[kKeyBytes] = {7};
  Node a;
  CHECK(Evp::find() != nullptr);
  publish(a, 1, {0});
  CHECK(!a.engine->install({1, 1, 2, key, key, true, UINT64_MAX}));  // no such peer
  CHECK(a.engine->install({0, 1, 2, key, key, true, UINT64_MAX}));
  CHECK(!a.engine->install({0, 1, 3, key, key, true, UINT64_MAX}));  // the index is taken
  AeadKey seal(*Evp::find(), AeadKey::Direction::seal, key);
  AeadKey open(*Evp::find(), AeadKey::Direction::open, key);
  uint8_t bytes[64 + kTagBytes] = {1, 2, 3};
  CHECK(seal.seal(kRejectAfterMessages - 1, bytes, 64) && bytes[0] != 1);
  CHECK(open.open(kRejectAfterMessages - 1, bytes, 64) && bytes[0] == 1 && bytes[2] == 3);
  CHECK(seal.seal(5, bytes, 64));
  bytes[63] ^= 1;
  CHECK(!open.open(5, bytes, 64));
  CHECK(seal.seal(6, bytes, 0) && open.open(6, bytes, 0) && !open.open(7, bytes, 0));
}

constexpr Test kTests[] = {
    {"tables and sessions change under traffic, seed 1", tables_and_sessions_change_under_traffic},
    {"any bytes are survived, seed 1", any_bytes_are_survived_seed_1},
    {"stops in the middle of traffic", stops_in_the_middle_of_traffic},
    {"a lost device is reported once", a_lost_device_is_reported_once},
    {"what waited leaves before newer packets", what_waited_leaves_first},
    {"AEAD and installation", aead_and_installation},
};

}  // namespace

std::span<const Test> engine_tests() { return kTests; }
