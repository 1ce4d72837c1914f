// Ways, relaying and further sockets: the rules by hand, and whole engines while all of it changes under traffic.

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "../relay.h"
#include "../way.h"
#include "../wire.h"
#include "check.h"
#include "handshake.h"
#include "node.h"

using namespace mesh;

namespace {

constexpr uint64_t kSeed = 1;

// Two writers, of which one never waits.
void ways_are_never_torn() {
  WaysCell cell;
  std::atomic<bool> is_done{false};
  std::atomic<uint64_t> last_written{0};
  const auto of = [](uint64_t i) {
    const auto part = static_cast<uint16_t>(i);
    const Way way{{{i, i}, part}, part, i % 3 == 0, {part, part, static_cast<uint32_t>(i)}};
    return i % 5 == 0 ? Ways{1, {way}} : Ways{2, {way, way}};
  };
  std::thread writer([&] {
    for (uint64_t i = 1; !is_done.load(); i += 2) cell.store(of(i));
  });
  std::thread roamer([&] {
    for (uint64_t i = 2; !is_done.load(); i += 2) {
      if (cell.try_store(of(i))) last_written.store(i);
    }
  });
  uint64_t last = 0;
  for (int changes = 0; changes < 2'000 || last_written.load() == 0;) {
    const Ways ways = cell.load();
    const uint64_t i = ways.all[0].endpoint.ip.low;
    changes += i != last;
    last = i;
    if (ways.count == 0) continue;
    CHECK(ways.count == of(i).count && std::equal(ways.begin(), ways.end(), of(i).begin()));
  }
  is_done.store(true);
  writer.join();
  roamer.join();
  cell.store(of(7));
  CHECK(cell.load().count == 2 && cell.load().all[1] == of(7).all[1]);
  cell.store({});
  CHECK(cell.load().count == 0);
}

#ifndef MESH_ONLY_THREADS

const Endpoint kFirst = v4(0xc000'0201);
const Endpoint kSecond = v4(0xc000'0202);
constexpr uint32_t kPass = 0xfedc'ba98;

// Slots 1 and 2 are members 10 and 20 at kFirst and kSecond; slot 3 is member 30, behind a relay; slot 4 is member 40 and no peer.
struct RelayRig {
  RelayRig() {
    first.ways.store({2, {Way{kFirst}, Way{v4(1)}}});
    second.ways.store({1, {Way{kSecond, 7}}});
    third.ways.store({1, {Way{v4(3), 0, true, {1, 2, 3}}}});
    snapshot.peers = {nullptr, &first, &second, &third};
  }

  // How what `from` sends is judged; the datagram stays in `bytes`.
  std::optional<Counter> judge(const Endpoint& from, const RelayHeader& header, std::vector<uint8_t> carried, uint64_t now = 1'000) {
    bytes.resize(kRelayHeaderBytes);
    write_relay_header(bytes.data(), kToRelay, header);
    bytes.insert(bytes.end(), carried.begin(), carried.end());
    datagram = {bytes.data(), bytes.size(), {from, 9}};
    return relay.pass_on(datagram, table.get(), snapshot, now);
  }

  static constexpr RelayMember kMembers[] = {{1, 10, kPass, 1}, {2, 20, 2, 2}, {3, 30, 3, 3}, {4, 40, 4, 4}};
  Peer first{1, 1};
  Peer second{2, 2};
  Peer third{3, 3};
  Snapshot snapshot;
  std::unique_ptr<const RelayTable> table = std::make_unique<const RelayTable>(kMembers, 1'000'000);
  Relay relay;
  std::vector<uint8_t> bytes;
  Datagram datagram;
};

void relay_passes_on_what_it_may_and_nothing_else() {
  RelayRig rig;
  const std::vector<uint8_t> probe = {0x21, 'm', 's', 'h', 5};
  const RelayHeader good{10, 20, kPass};
  CHECK(rig.judge(kFirst, good, probe) == std::nullopt);
  CHECK(demultiplex(rig.bytes.data(), rig.bytes.size()) == DatagramKind::from_relay);
  CHECK(read_relay_header(rig.bytes.data()) == (RelayHeader{10, 20, 0}));
  CHECK(std::equal(probe.begin(), probe.end(), rig.bytes.begin() + kRelayHeaderBytes));
  CHECK(rig.datagram.way == (Way{kSecond, 7}));

  const std::vector<uint8_t> again = rig.bytes;
  std::vector<uint8_t> asks = again;
  asks[0] = kToRelay[0];
  const struct {
    Endpoint from;
    RelayHeader header;
    std::vector<uint8_t> carried;
    Counter cause;
  } refused[] = {
      {kFirst, {10, 20, 2}, probe, Counter::relay_not_allowed},        // the receiver's pass
      {kFirst, {10, 20, 0}, probe, Counter::relay_not_allowed},
      {kFirst, {11, 20, kPass}, probe, Counter::relay_not_allowed},    // numbers that nobody has
      {kFirst, {10, 21, kPass}, probe, Counter::relay_not_allowed},
      {kFirst, {0xffff, 20, kPass}, probe, Counter::relay_not_allowed},
      {kFirst, {0, 0, 0}, probe, Counter::relay_not_allowed},
      {kFirst, {10, 10, kPass}, probe, Counter::relay_not_allowed},    // itself
      {kSecond, good, probe, Counter::relay_not_allowed},              // from elsewhere
      {v4(1), good, probe, Counter::relay_not_allowed},                // by its second way
      {v4(0xc000'0201, 4'999), good, probe, Counter::relay_not_allowed},
      {v4(3), {30, 20, 3}, probe, Counter::relay_not_allowed},         // behind a relay itself
      {kFirst, {40, 20, 4}, probe, Counter::relay_not_allowed},        // no peer
      {kFirst, good, again, Counter::relay_not_allowed},
      {kFirst, good, asks, Counter::relay_not_allowed},
      {kFirst, good, {0x22, 'm', 's', 'h'}, Counter::relay_not_allowed},
      {kFirst, {10, 30, kPass}, probe, Counter::relay_no_way},         // the receiver is behind a relay
      {kFirst, {10, 40, kPass}, probe, Counter::relay_no_way},
  };
  for (const auto& [from, header, carried, cause] : refused) CHECK(rig.judge(from, header, carried) == cause);
  rig.second.ways.store({});
  CHECK(rig.judge(kFirst, good, probe) == Counter::relay_no_way);
  rig.table = std::make_unique<const RelayTable>(std::span<const RelayMember>(), 1'000'000);
  CHECK(rig.judge(kFirst, good, probe) == Counter::relay_not_allowed);
  rig.table = nullptr;
  CHECK(rig.judge(kFirst, good, probe) == Counter::relay_not_allowed);
}

void relay_table_as_model_seed_1() {
  SeededRandom random(kSeed);
  for (int round = 0; round < 50; round++) {
    std::map<uint16_t, RelayMember> model;
    std::vector<RelayMember> members;
    for (uint64_t i = 0, count = random.below(200); i < count; i++) {
      const auto number = static_cast<uint16_t>(1 + random.below(random.below(2) == 0 ? 300 : 65'535));
      const RelayMember member{static_cast<uint16_t>(i), number, static_cast<uint32_t>(random.next()), i + 1};
      if (model.emplace(number, member).second) members.push_back(member);
    }
    const RelayTable table(members, random.next() >> 11);
    for (uint32_t number = 0; number <= 0xffff; number++) {
      const auto expected = model.find(static_cast<uint16_t>(number));
      const RelayMember* found = table.find(static_cast<uint16_t>(number));
      CHECK((found != nullptr) == (expected != model.end()));
      if (found != nullptr) CHECK(found->slot == expected->second.slot && found->pass == expected->second.pass);
    }
  }
}

// Against a bucket of wide integers; rates change, slots come and go.
void relay_budget_as_model_seed_1() {
  SeededRandom random(kSeed);
  RelayBudget budget;
  RelayMember member{1, 10, 0, 1};
  uint64_t rate = 1'000'000;
  uint64_t now = 1;
  unsigned __int128 left = 0;
  uint64_t at = 0;
  bool is_new = true;
  uint32_t passed = 0;
  for (int i = 0; i < 100'000; i++) {
    now += random.below(random.below(500) == 0 ? 1'000'000'000 : 20);
    if (random.below(1'000) == 0) rate = random.below(2) == 0 ? random.below(1'000'000) : random.next() >> 11;
    if (random.below(2'000) == 0) {
      member.since++;
      is_new = true;
    }
    const size_t bytes = 13 + random.below(65'000);
    const unsigned __int128 most = static_cast<unsigned __int128>(std::max<uint64_t>(rate / 4, 65'536)) * 1'000;
    bool expected = false;
    if (rate > 0) {
      if (is_new) left = most;
      else left = std::min(most, left + static_cast<unsigned __int128>(now - at) * rate);
      is_new = false;
      at = now;
      expected = left >= bytes * 1'000;
      if (expected) left -= bytes * 1'000;
    }
    CHECK(budget.take(member, rate, bytes, now) == expected);
    passed += expected;
  }
  CHECK(passed > 10'000 && passed < 90'000);
}

void datagrams_leave_behind_their_header_and_with_their_ttl() {
  Udp from;
  Udp to;
  CHECK(from.open(0) == 0 && to.open(0) == 0);
  const int on = 1;
  CHECK(::setsockopt(to.fd(), IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on) == 0 || !to.is_dual_stack());
  CHECK(::setsockopt(to.fd(), IPPROTO_IP, IP_RECVTTL, &on, sizeof on) == 0);
  const Endpoint targets[] = {{kLoopback, to.port()}, {{0, 1}, to.port()}};
  for (const Endpoint& target : std::span(targets).first(to.is_dual_stack() ? 2 : 1)) {
    for (const uint8_t ttl : {0, 1, 7, 255}) {
      for (const bool is_relayed : {false, true}) {
        uint8_t bytes[] = {1, 2, 3};
        CHECK(from.send({bytes, sizeof bytes, {target, 0, is_relayed, {0x0102, 0x0304, 0x05060708}}, ttl}) == Udp::Sent::yes);
        uint8_t got[64];
        alignas(cmsghdr) uint8_t control[256];
        iovec place = {got, sizeof got};
        msghdr message = {};
        message.msg_iov = &place;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t length = ::recvmsg(to.fd(), &message, 0);
        const uint8_t header[] = {0x22, 'm', 's', 'h', 1, 2, 3, 4, 5, 6, 7, 8};
        CHECK(length == (is_relayed ? 15 : 3) && std::equal(bytes, bytes + 3, got + length - 3));
        CHECK(!is_relayed || std::equal(header, header + sizeof header, got));
        int seen = -1;
        for (cmsghdr* option = CMSG_FIRSTHDR(&message); option != nullptr; option = CMSG_NXTHDR(&message, option)) {
          const bool is_ttl = option->cmsg_level == IPPROTO_IP && option->cmsg_type == IP_TTL;
          const bool is_hop_limit = option->cmsg_level == IPPROTO_IPV6 && option->cmsg_type == IPV6_HOPLIMIT;
          if (is_ttl || is_hop_limit) std::memcpy(&seen, CMSG_DATA(option), sizeof seen);
        }
        CHECK(ttl == 0 ? seen >= 30 : seen == ttl);
      }
    }
  }
}

#endif

// While the pumps count.
uint64_t stats_of(Node& node, Counter counter) {
  return std::atomic_ref(node.stats[kCounterBlockWords + static_cast<size_t>(counter)]).load(std::memory_order_relaxed);
}

// A soft limit of 1,024 descriptors is for one engine with all its sockets.
void want_descriptors() {
  rlimit limit{};
  CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// One thread sends packets both ways, while control opens and closes sockets that they leave and come in by.
void sockets_open_and_close_under_traffic() {
  want_descriptors();
  Node a;
  Node b;
  publish(a, 1, {0, 1});
  publish(b, 0, {0, 1}, std::array<uint16_t, 1>{0});
  a.engine->set_ways(0, way_to(b));
  a.engine->set_ways(1, way_to(b));
  b.engine->set_ways(0, way_to(a));
  b.engine->set_ways(1, way_to(a));
  install(a, b, 0, 1);
  install(a, b, 1, 2);
  std::atomic<bool> is_done{false};
  std::array<Delivered, 2> delivered;
  std::atomic<uint64_t> arrived{0};
  std::thread traffic([&] {
    while (!is_done.load()) {
      for (uint8_t slot = 0; slot < 2; slot++) {
        const std::vector<uint8_t> there = packet_of(0, slot, 200, slot);
        const std::vector<uint8_t> back = packet_of(1, slot, 200, slot);
        [[maybe_unused]] ssize_t put = ::write(a.wire.get(), there.data(), there.size());
        put = ::write(b.wire.get(), back.data(), back.size());
      }
      delivered[0].read(b, 0);
      delivered[1].read(a, 1);
      arrived.store(delivered[0].count);
      std::this_thread::yield();
    }
  });
  SeededRandom random(kSeed);
  constexpr size_t kAll = kMaxSockets - 1;
  std::vector<uint8_t> probe = {0x21, 'm', 's', 'h'};
  for (int round = 0; round < 20 || arrived.load() < 100; round++) {
    const std::vector<uint16_t> opened = a.engine->open_sockets(round % 4 == 3 ? kAll : 1 + random.below(20));
    CHECK(!opened.empty() && opened[0] == 1);
    for (size_t i = 0; i < std::min<size_t>(opened.size(), 10); i++) {
      Way way = way_to(b).all[0];
      way.socket = opened[random.below(opened.size())];
      a.engine->set_ways(0, {2, {way, way_to(b).all[0]}});
      a.engine->send_datagram(way, probe, static_cast<uint8_t>(random.below(2) * 64));
      std::this_thread::yield();
    }
    a.engine->close_sockets(std::span(opened).first(opened.size() / 2));
    a.engine->close_sockets(opened);
    drain(a);
    drain(b);
  }
  is_done.store(true);
  traffic.join();
  const std::vector<uint16_t> none = a.engine->open_sockets(0);
  CHECK(none.empty() && a.engine->open_sockets(2).size() == 2);
  a.engine->stop();
  b.engine->stop();
  CHECK(delivered[0].count >= 100 && delivered[1].count > 0);
  CHECK(a.counter(Counter::udp_malformed) == 0 && b.counter(Counter::udp_malformed) == 0);
}

// a reaches b only by r, which control makes relay and not relay, while everybody's ways change.
void relaying_changes_under_traffic() {
  Node a;
  Node b;
  Node r;
  const RelayMember members[] = {{0, 10, 7, 0}, {1, 20, 8, 0}};
  Way by_relay = way_to(r).all[0];
  by_relay.is_relayed = true;
  by_relay.relay = {10, 20, 7};
  publish(a, 1, {0});
  publish(b, 0, {0});
  a.engine->set_ways(0, {1, {by_relay}});
  install(a, b, 0, 1);
  std::atomic<bool> is_done{false};
  Delivered delivered;
  std::thread traffic([&] {
    const std::vector<uint8_t> packet = packet_of(0, 0, 300, 0);
    while (!is_done.load()) {
      [[maybe_unused]] const ssize_t put = ::write(a.wire.get(), packet.data(), packet.size());
      delivered.read(b, 0);
      std::this_thread::yield();
    }
  });
  SeededRandom random(kSeed);
  const auto done = [&] { return stats_of(r, Counter::relayed_packets) > 200 && stats_of(r, Counter::relay_not_allowed) > 0; };
  for (int step = 0; step < 2'000 || (step < 2'000'000 && !done()); step++) {
    switch (random.below(8)) {
      case 0: publish(r, 1, {0}); break;
      case 1: r.engine->set_ways(1, {}); break;
      case 2: r.engine->set_relay({}, 0); break;
      case 3: a.engine->set_ways(0, {2, {by_relay, way_to(b).all[0]}}); break;
      case 4: a.engine->set_ways(0, {1, {by_relay}}); break;
      default:
        publish(r, 1, {0, 1});
        r.engine->set_ways(0, way_to(a));
        r.engine->set_ways(1, way_to(b));
        r.engine->set_relay(members, 1'000'000'000);
    }
    std::this_thread::yield();
    drain(b);
  }
  is_done.store(true);
  traffic.join();
  for (Node* node : {&a, &b, &r}) node->engine->stop();
  CHECK(done() && delivered.count > 100);
  CHECK(b.counter(Counter::udp_malformed) == 0 && b.counter(Counter::udp_not_authentic) == 0 && r.wakes.load() == 0);
}

constexpr Test kTests[] = {
    {"ways are never torn", ways_are_never_torn},
#ifndef MESH_ONLY_THREADS
    {"relay: passes on what it may and nothing else", relay_passes_on_what_it_may_and_nothing_else},
    {"relay: table as the model, seed 1", relay_table_as_model_seed_1},
    {"relay: budget as the model, seed 1", relay_budget_as_model_seed_1},
    {"datagrams leave behind their header and with their TTL", datagrams_leave_behind_their_header_and_with_their_ttl},
#endif
    {"sockets open and close under traffic", sockets_open_and_close_under_traffic},
    {"relaying changes under traffic", relaying_changes_under_traffic},
};

}  // namespace

std::span<const Test> way_tests() { return kTests; }
