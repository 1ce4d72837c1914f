// Whole engines, with a socket pair in place of the TUN device and real UDP on loopback: threads, swaps and lifetimes
// under traffic. Meant for the thread and address sanitizers; needs no root.

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
#include "handshake.h"
#include "node.h"
#include "openssl.h"

using namespace mesh;

namespace {

constexpr uint64_t kSeed = 1;
constexpr uint16_t kPeers = 8;
constexpr std::array<uint8_t, kKeyBytes> kOtherPublicKey = {9};

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

  const std::array<HandshakeKey, 2> keys = {{{1, kPublicKey}, {2, kOtherPublicKey}}};
  SeededRandom random(kSeed + 1);
  uint32_t index = 1;
  for (int step = 0; step < 4'000; step++) {
    const auto slot = static_cast<uint16_t>(random.below(kPeers));
    Node& node = random.below(2) == 0 ? a : b;
    Node& other = &node == &a ? b : a;
    switch (step == 0 ? 0 : random.below(10)) {
      case 0: {
        std::vector<uint16_t> slots;
        for (uint16_t i = 0; i < kPeers; i++) {
          if (step == 0 || random.below(4) > 0) slots.push_back(i);
        }
        const auto roaming = std::span(slots).first(random.below(slots.size() + 1));
        publish(a, 1, slots, roaming);
        publish(b, 0, slots, roaming);
        for (const uint16_t i : slots) {
          a.engine->set_ways(i, way_to(b));
          b.engine->set_ways(i, way_to(a));
        }
        break;
      }
      case 1: node.engine->set_ways(slot, {}); break;
      case 2: node.engine->set_ways(slot, way_to(other)); break;
      case 3: node.engine->drop(2 * index - static_cast<uint32_t>(random.below(40))); break;
      case 4: node.engine->send_keepalive(slot); break;
      case 5: {
        std::vector<uint8_t> datagram = random.below(4) == 0 ? std::vector<uint8_t>{0x21, 'm', 's', 'h'}
                                                              : handshake_message(1, keys[random.below(keys.size())]);
        for (uint64_t times = random.below(random.below(20) == 0 ? 300 : 2); times > 0; times--) {
          node.engine->send_datagram(way_to(other).all[0], datagram, 0);
        }
        break;
      }
      case 7: node.engine->set_handshake_key(random.below(2) == 0 ? kPublicKey : kOtherPublicKey); break;
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
    CHECK(node->counter(Counter::handshake_not_for_us) > 0 && node->counter(Counter::handshake_cookie_sent) > 0);
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
  a.engine->set_ways(0, way_to(b));
  b.engine->set_ways(0, way_to(a));
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
    if (random.below(2) == 0) a.engine->send_datagram(way_to(b).all[0], std::span(bytes).first(length), 0);
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
    a.engine->set_ways(0, way_to(b));
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
  engine.publish({});  // nothing waits for pumps that have ended
  engine.stop();
  CHECK(reported == 1 && wakes.load() == 1);
}

// The outbound pump, driven by hand, with one peer in slot 3. Its session sends to this engine's own socket.
struct HandPumped {
  HandPumped() : shared(Waker{[](void*) {}, nullptr}, stats.data(), kMtu), session(need_openssl(), kKey, kKey) {
    int pair[2];
    CHECK(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    wire.reset(pair[0]);
    shared.tun.adopt(Fd(pair[1]));
    CHECK(shared.sockets.open_first(0) == 0 && shared.work.open());
    session.peer = &peer;
    session.expires_at = UINT64_MAX;
    table.peers = {nullptr, nullptr, nullptr, &peer};
    table.routes.insert(4, route_of(1, 3).address, 24, 3);
    shared.snapshot.store(&table);
    outbound = std::make_unique<Outbound>(shared);
  }

  void write(uint8_t first, uint8_t last) {
    for (uint8_t i = first; i < last; i++) {
      const std::vector<uint8_t> packet = packet_of(0, 3, 100, i);
      while (::write(wire.get(), packet.data(), packet.size()) < 0) outbound->pump();
    }
  }
  void connect() {
    peer.ways.store({1, {Way{{kLoopback, shared.sockets.first().port()}}}});
    peer.current.store(&session);
  }
  // The next datagram that was sent, or an empty one.
  std::span<uint8_t> sent() {
    Datagram datagram{bytes, sizeof bytes, {}};
    return std::span(bytes).first(shared.sockets.first().receive({&datagram, 1}).count == 1 ? datagram.length : 0);
  }

  static constexpr uint8_t kKey[kKeyBytes] = {7};
  std::vector<uint64_t> stats = std::vector<uint64_t>(kStatsWords);
  Shared shared;
  Fd wire;
  Peer peer{3, 1};
  Session session;
  Snapshot table;
  std::unique_ptr<Outbound> outbound;
  uint8_t bytes[2048];
};

// New packets are in TUN before what waited has left.
void what_waited_leaves_first() {
  constexpr uint8_t kWaiting = 90;
  constexpr uint8_t kTotal = 150;
  const auto rig = std::make_unique<HandPumped>();
  rig->write(0, kWaiting);
  while (rig->outbound->pump()) continue;

  rig->connect();
  rig->shared.work.ask(WorkBoard::Kind::flush, rig->peer.slot);
  uint8_t next = kWaiting;
  for (uint8_t expected = 0; expected < kTotal;) {
    rig->write(next, std::min<uint8_t>(next + 20, kTotal));
    next = std::min<uint8_t>(next + 20, kTotal);
    rig->outbound->pump();
    for (std::span<uint8_t> got = rig->sent(); !got.empty(); got = rig->sent()) {
      CHECK(rig->session.receive.open(expected, &got[kTransportHeaderBytes], got.size() - kTransportMinBytes));
      CHECK(got[kTransportHeaderBytes + 99] == expected++);
    }
  }
}

void no_counter_beyond_the_limit_is_used() {
  const auto rig = std::make_unique<HandPumped>();
  rig->connect();
  rig->session.send_counter = kRejectAfterMessages - 2;
  rig->write(0, 3);
  rig->outbound->pump();
  for (uint64_t counter = kRejectAfterMessages - 2; counter < kRejectAfterMessages; counter++) {
    CHECK(load_le<uint64_t>(rig->sent().data() + 8) == counter);
  }
  rig->shared.work.ask(WorkBoard::Kind::keepalive, rig->peer.slot);
  rig->outbound->pump();
  CHECK(rig->sent().empty() && rig->session.send_counter == kRejectAfterMessages);
  size_t wanted = 0;
  rig->shared.exceptions.drain([&](const Exception& exception) {
    CHECK(exception.kind == ExceptionKind::session_wanted && exception.slot == rig->peer.slot);
    return ++wanted > 0;
  });
  CHECK(wanted == 1);
  // What waited leaves with the next session.
  rig->session.send_counter = 0;
  rig->shared.work.ask(WorkBoard::Kind::flush, rig->peer.slot);
  rig->outbound->pump();
  const std::span<uint8_t> got = rig->sent();
  CHECK(rig->session.receive.open(0, &got[kTransportHeaderBytes], got.size() - kTransportMinBytes));
  CHECK(got[kTransportHeaderBytes + 99] == 2);
}

#ifndef MESH_ONLY_THREADS  // reading all of its memory takes the thread sanitizer 10 s

// How often a key is in this process's memory. It is given inverted, so that it is not there because it is looked for.
size_t copies_of(const std::array<uint8_t, kKeyBytes>& inverted) {
  constexpr size_t kChunk = 1 << 20;
  constexpr uint64_t kLargest = 128 << 20;  // larger mappings are a sanitizer's own
  const Fd memory(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  CHECK(memory && maps != nullptr);
  // The key that is looked for, then what is read: no copies of the engine's.
  std::vector<uint8_t> own(kKeyBytes + kChunk + kKeyBytes);
  for (size_t i = 0; i < kKeyBytes; i++) own[i] = static_cast<uint8_t>(~inverted[i]);
  uint8_t* const chunk = own.data() + kKeyBytes;
  const auto is_own = [&](uint64_t at) { return at - reinterpret_cast<uint64_t>(own.data()) < own.size(); };
  size_t copies = 0;
  char line[512];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long first = 0;
    unsigned long last = 0;
    char access[5];
    if (std::sscanf(line, "%lx-%lx %4s", &first, &last, access) != 3 || access[1] != 'w' || last - first > kLargest) continue;
    for (uint64_t at = first; at < last; at += kChunk) {
      const ssize_t got = ::pread(memory.get(), chunk, std::min(kChunk + kKeyBytes - 1, last - at), static_cast<off_t>(at));
      const uint8_t* const end = chunk + std::max<ssize_t>(got, 0);
      const uint8_t* from = chunk;
      while ((from = static_cast<const uint8_t*>(::memmem(from, static_cast<size_t>(end - from), own.data(), kKeyBytes))) != nullptr) {
        copies += !is_own(at + static_cast<uint64_t>(from - chunk));
        from++;
      }
    }
  }
  std::fclose(maps);
  explicit_bzero(own.data(), own.size());
  return copies;
}

void keys_are_wiped_with_their_session() {
  SeededRandom random(kSeed);
  Node node;
  uint32_t index = 1;
  const auto install_one = [&](std::array<uint8_t, kKeyBytes>& inverted) {
    random.fill(inverted.data(), inverted.size());
    uint8_t key[kKeyBytes];
    for (size_t i = 0; i < kKeyBytes; i++) key[i] = static_cast<uint8_t>(~inverted[i]);
    CHECK(node.engine->install({0, index++, 2, key, key, true, UINT64_MAX}));
    explicit_bzero(key, sizeof key);
    CHECK(copies_of(inverted) >= 2);  // one for each direction
  };
  std::array<uint8_t, kKeyBytes> first;
  std::array<uint8_t, kKeyBytes> second;
  std::array<uint8_t, kKeyBytes> third;
  publish(node, 1, {0});
  install_one(first);
  node.engine->drop(index - 1);
  CHECK(copies_of(first) == 0);
  install_one(first);
  install_one(second);
  install_one(third);  // the first is nobody's now, the second the peer's previous one
  CHECK(copies_of(first) == 0 && copies_of(second) >= 2);
  publish(node, 1, {});
  CHECK(copies_of(second) == 0 && copies_of(third) == 0);
  publish(node, 1, {0});
  install_one(first);
  node.engine->stop();
  CHECK(copies_of(first) == 0);
}

#endif

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
    {"no counter beyond the limit is used", no_counter_beyond_the_limit_is_used},
#ifndef MESH_ONLY_THREADS
    {"keys are wiped with their session", keys_are_wiped_with_their_session},
#endif
    {"AEAD and installation", aead_and_installation},
};

}  // namespace

std::span<const Test> engine_tests() { return kTests; }
