// The engine's rules, each against a slow and obvious model or the numbers of its specification.

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include "../allowed_ips.h"
#include "../exceptions.h"
#include "../inner_packet.h"
#include "../limits.h"
#include "../replay_window.h"
#include "../session.h"
#include "../staging.h"
#include "../wire.h"
#include "check.h"

using namespace mesh;

namespace {

constexpr uint64_t kSeed = 1;
constexpr int kRounds = 20'000;

bool accepts(ReplayWindow& window, uint64_t counter) {
  if (!window.may_accept(counter)) return false;
  window.commit(counter);
  return true;
}

void replay_window_edges() {
  ReplayWindow window;
  constexpr uint64_t kWidth = ReplayWindow::kWidth;
  CHECK(kWidth == 8128);
  CHECK(accepts(window, 0) && !accepts(window, 0));
  CHECK(accepts(window, 9) && accepts(window, 8) && !accepts(window, 8) && accepts(window, 1));
  CHECK(accepts(window, kWidth + 2) && accepts(window, 2) && !accepts(window, 2) && !accepts(window, 1));
  CHECK(accepts(window, 4 * kWidth) && accepts(window, 3 * kWidth) && !accepts(window, 3 * kWidth - 1));
  CHECK(!accepts(window, 0));
  // A jump over the whole ring forgets everything, the largest counter included.
  CHECK(accepts(window, kRejectAfterMessages - 1) && !accepts(window, kRejectAfterMessages - 1));
  CHECK(accepts(window, kRejectAfterMessages - 1 - kWidth) && !accepts(window, kRejectAfterMessages - 2 - kWidth));
  for (uint64_t i = 2; i < kWidth; i++) CHECK(accepts(window, kRejectAfterMessages - i));
}

void replay_window_looks_without_touching() {
  ReplayWindow window;
  CHECK(window.may_accept(1'000'000) && window.may_accept(1'000'000));
  CHECK(accepts(window, 5) && accepts(window, 4));
}

void replay_window_as_model_seed_1() {
  SeededRandom random(kSeed);
  ReplayWindow window;
  std::set<uint64_t> seen;
  uint64_t last = 0;
  for (int i = 0; i < 200'000; i++) {
    const uint64_t jump = random.below(100) == 0 ? random.below(20'000) : random.below(40);
    const uint64_t counter = random.below(3) == 0 ? last + jump : last - std::min(last, random.below(9'000));
    const bool expected = (counter > last || last - counter <= ReplayWindow::kWidth) && !seen.contains(counter);
    CHECK(accepts(window, counter) == expected);
    seen.insert(counter);
    last = std::max(last, counter);
  }
}

struct ModelRoute {
  uint8_t version;
  Address address;
  uint8_t length;
  uint16_t slot;
};

bool holds(const ModelRoute& route, uint8_t version, const Address& address) {
  if (route.version != version) return false;
  for (uint32_t bit = 0; bit < route.length; bit++) {
    const auto at = [bit](const Address& a) { return ((bit < 64 ? a.high : a.low) >> (63 - bit % 64)) & 1; };
    if (at(route.address) != at(address)) return false;
  }
  return true;
}

void allowed_ips_as_model_seed_1() {
  SeededRandom random(kSeed);
  for (int table = 0; table < 40; table++) {
    AllowedIps trie;
    std::vector<ModelRoute> routes;
    // Few distinct bits, so that prefixes nest, touch and repeat.
    const auto address_of = [&](uint8_t version) {
      Address address{random.next() & 0xe000'00f0'0000'0000u, version == 6 ? random.next() & 0xc000'0000'0000'0003u : 0};
      if (version == 4) address.high &= 0xffff'ffff'0000'0000u;
      return address;
    };
    for (uint64_t i = 0, count = random.below(120); i < count; i++) {
      const uint8_t version = random.below(2) == 0 ? 4 : 6;
      const auto length = static_cast<uint8_t>(random.below(version == 4 ? 33 : 129));
      routes.push_back({version, address_of(version), length, static_cast<uint16_t>(random.below(1000))});
      trie.insert(version, routes.back().address, length, routes.back().slot);
    }
    for (int i = 0; i < 2'000; i++) {
      const uint8_t version = random.below(2) == 0 ? 4 : 6;
      const Address address = address_of(version);
      int32_t expected = AllowedIps::kNone;
      int32_t longest = -1;
      for (const ModelRoute& route : routes) {
        if (!holds(route, version, address) || route.length < longest) continue;
        longest = route.length;  // of equal prefixes the last one given counts
        expected = route.slot;
      }
      CHECK(trie.find(version, address) == expected);
    }
  }
}

void allowed_ips_edges() {
  AllowedIps trie;
  CHECK(trie.find(4, {}) == AllowedIps::kNone);
  trie.insert(4, {}, 0, 1);
  CHECK(trie.find(4, {UINT64_MAX, 0}) == 1 && trie.find(6, {}) == AllowedIps::kNone);
  trie.insert(6, {1, 2}, 128, 2);
  trie.insert(6, {1, 0}, 64, 3);
  CHECK(trie.find(6, {1, 2}) == 2 && trie.find(6, {1, 3}) == 3 && trie.find(6, {2, 2}) == AllowedIps::kNone);
  trie.insert(6, {1, UINT64_MAX}, 64, 4);  // bits beyond the length are ignored, so this replaces
  CHECK(trie.find(6, {1, 3}) == 4);
}

std::vector<uint8_t> ip_packet(uint8_t version, size_t payload) {
  std::vector<uint8_t> packet((version == 4 ? 20 : 40) + payload);
  packet[0] = version == 4 ? 0x45 : 0x60;
  const size_t length = version == 4 ? packet.size() : payload;
  packet[version == 4 ? 2 : 4] = static_cast<uint8_t>(length >> 8);
  packet[version == 4 ? 3 : 5] = static_cast<uint8_t>(length);
  return packet;
}

void inner_packet_lengths() {
  for (const uint8_t version : {4, 6}) {
    std::vector<uint8_t> packet = ip_packet(version, 30);
    InnerPacket inner;
    for (size_t available = 0; available < packet.size(); available++) {
      const std::vector<uint8_t> cut(packet.begin(), packet.begin() + static_cast<long>(available));
      CHECK(!parse_inner(cut.data(), cut.size(), inner));
    }
    packet.push_back(0);  // padding
    CHECK(parse_inner(packet.data(), packet.size(), inner));
    CHECK(inner.length == packet.size() - 1 && inner.version == version);
  }
  std::vector<uint8_t> packet = ip_packet(4, 0);
  InnerPacket inner;
  CHECK(parse_inner(packet.data(), packet.size(), inner));
  packet[0] = 0x44;  // a header of 16 bytes
  CHECK(!parse_inner(packet.data(), packet.size(), inner));
  packet[0] = 0x46;  // a header longer than the packet
  CHECK(!parse_inner(packet.data(), packet.size(), inner));
  packet[0] = 0x55;
  CHECK(!parse_inner(packet.data(), packet.size(), inner));
}

void inner_packet_addresses() {
  std::vector<uint8_t> v4 = ip_packet(4, 0);
  for (uint8_t i = 0; i < 8; i++) v4[12 + i] = static_cast<uint8_t>(i + 1);
  InnerPacket inner;
  CHECK(parse_inner(v4.data(), v4.size(), inner));
  CHECK(inner.source.high == 0x01020304'00000000 && inner.destination.high == 0x05060708'00000000);
  std::vector<uint8_t> v6 = ip_packet(6, 0);
  for (uint8_t i = 0; i < 32; i++) v6[8 + i] = static_cast<uint8_t>(i + 1);
  CHECK(parse_inner(v6.data(), v6.size(), inner));
  CHECK(inner.source.high == 0x0102030405060708 && inner.source.low == 0x090a0b0c0d0e0f10);
  CHECK(inner.destination.high == 0x1112131415161718 && inner.destination.low == 0x191a1b1c1d1e1f20);
}

void parsers_survive_random_bytes_seed_1() {
  SeededRandom random(kSeed);
  for (int i = 0; i < kRounds; i++) {
    std::vector<uint8_t> bytes(random.below(80));
    random.fill(bytes.data(), bytes.size());
    if (!bytes.empty()) bytes[0] = static_cast<uint8_t>(random.below(2) == 0 ? 0x45 : 0x60);
    InnerPacket inner;
    if (parse_inner(bytes.data(), bytes.size(), inner)) CHECK(inner.length <= bytes.size() && inner.length >= 20);
    demultiplex(bytes.data(), bytes.size());
  }
}

void demultiplex_sizes() {
  const struct {
    std::array<uint8_t, 4> word;
    size_t first, last;  // lengths that fit
    DatagramKind kind;
  } kinds[] = {
      {{1, 0, 0, 0}, 148, 148, DatagramKind::handshake},   {{2, 0, 0, 0}, 92, 92, DatagramKind::handshake},
      {{3, 0, 0, 0}, 64, 64, DatagramKind::control},       {{4, 0, 0, 0}, 32, SIZE_MAX, DatagramKind::transport},
      {{0x21, 'm', 's', 'h'}, 4, 1500, DatagramKind::control}, {{0x22, 'm', 's', 'h'}, 13, SIZE_MAX, DatagramKind::to_relay},
      {{0x23, 'm', 's', 'h'}, 13, SIZE_MAX, DatagramKind::from_relay}, {{0x20, 'm', 's', 'h'}, 1, 0, DatagramKind::malformed},
      {{0x24, 'm', 's', 'h'}, 1, 0, DatagramKind::malformed},  {{0x21, 'm', 's', 'H'}, 1, 0, DatagramKind::malformed},
      {{1, 0, 0, 1}, 1, 0, DatagramKind::malformed},           {{4, 1, 0, 0}, 1, 0, DatagramKind::malformed},
      {{0, 0, 0, 0}, 1, 0, DatagramKind::malformed},           {{5, 0, 0, 0}, 1, 0, DatagramKind::malformed},
  };
  for (const auto& [word, first, last, kind] : kinds) {
    for (size_t length = 0; length <= 1600; length++) {
      std::vector<uint8_t> bytes(length);
      std::copy_n(word.begin(), std::min(length, word.size()), bytes.begin());
      CHECK(demultiplex(bytes.data(), length) == (length >= first && length <= last ? kind : DatagramKind::malformed));
    }
  }
}

void padding_stays_within_mtu() {
  for (size_t length = 0; length <= 1420; length++) {
    const size_t padded = length + padding_bytes(length, 1420);
    CHECK(padded <= 1420 && padded < length + 16 && (padded % 16 == 0 || padded == 1420));
  }
  CHECK(padding_bytes(1420, 1420) == 0 && padding_bytes(1415, 1420) == 5 && padding_bytes(1401, 1420) == 7);
  CHECK(padding_bytes(1430, 1420) == 6);  // beyond the MTU: as wireguard-go, by the rest
}

void session_index_finds_what_is_there() {
  // Only links are looked at: the sessions need no keys.
  const Evp evp{.cipher_fetch = nullptr, .cipher_free = nullptr, .ctx_new = [] { return static_cast<evp_cipher_ctx_st*>(nullptr); },
                .ctx_free = nullptr, .ctx_ctrl = nullptr, .encrypt_init = nullptr, .encrypt_update = nullptr, .encrypt_final = nullptr,
                .decrypt_init = nullptr, .decrypt_update = nullptr, .decrypt_final = nullptr, .chacha20_poly1305 = nullptr};
  const uint8_t key[kKeyBytes] = {};
  SessionIndex index;
  std::vector<std::unique_ptr<Session>> sessions;
  for (uint32_t i = 0; i < 300; i++) {  // three in every bucket
    sessions.push_back(std::make_unique<Session>(evp, key, key));
    sessions.back()->local_index = (i % 100) + (i / 100) * 65'536;
    index.insert(sessions.back().get());
  }
  SeededRandom random(kSeed);
  std::set<size_t> removed;
  while (removed.size() < sessions.size()) {
    const size_t at = random.below(sessions.size());
    if (removed.insert(at).second) index.remove(sessions[at].get());
    for (size_t i = 0; i < sessions.size(); i++) {
      CHECK(index.find(sessions[i]->local_index) == (removed.contains(i) ? nullptr : sessions[i].get()));
    }
  }
  CHECK(index.find(0) == nullptr);
}

void staging_as_model_seed_1() {
  SeededRandom random(kSeed);
  Staging staging(64);
  struct Waiting {
    uint16_t slot;
    uint64_t id;
  };
  std::deque<Waiting> model;  // by age
  const auto count_of = [&](uint16_t slot) {
    uint32_t count = 0;
    for (const Waiting& waiting : model) count += waiting.slot == slot;
    return count;
  };
  const auto first_of = [&](uint16_t slot) {
    auto at = model.begin();
    while (at != model.end() && at->slot != slot) at++;
    return at;
  };
  for (uint64_t id = 1; id <= kRounds; id++) {
    const auto slot = static_cast<uint16_t>(random.below(24) * 700);
    if (random.below(8) > 0) {
      const size_t length = 8 + random.below(57);
      std::vector<uint8_t> packet(length, static_cast<uint8_t>(id));
      std::memcpy(packet.data(), &id, sizeof id);
      uint32_t expected = 0;
      if (count_of(slot) == kStagedPerPeer) {
        model.erase(first_of(slot));
        expected = 1;
      } else if (model.size() == kStagedInAll) {
        model.pop_front();
        expected = 1;
      }
      model.push_back({slot, id});
      CHECK(staging.stage(slot, packet, id) == expected);
    } else if (random.below(200) == 0) {
      const uint64_t before = id - random.below(id);
      uint32_t expected = 0;
      for (auto at = first_of(slot); at != model.end() && at->id < before; at = first_of(slot)) {
        model.erase(at);
        expected++;
      }
      CHECK(staging.drop_older(slot, before) == expected);
    } else {
      uint8_t out[64];
      uint64_t got = 0;
      const auto first = first_of(slot);
      const size_t length = staging.take(slot, out);
      CHECK((length > 0) == (first != model.end()));
      if (length == 0) continue;
      std::memcpy(&got, out, sizeof got);
      CHECK(got == first->id && (length == 8 || out[length - 1] == static_cast<uint8_t>(got)));
      model.erase(first);
    }
    CHECK(staging.waiting(slot) == count_of(slot));
  }
  CHECK(model.size() > kStagedInAll / 2);  // it did fill up
  const std::vector<uint8_t> too_long(65);
  CHECK(staging.stage(1, too_long, 1) == 1 && staging.waiting(1) == 0);
}

void exceptions_in_order_and_bounded() {
  int wakes = 0;
  auto exceptions = std::make_unique<Exceptions>(Waker{[](void* context) { ++*static_cast<int*>(context); }, &wakes});
  Exceptions::Source* const sources[] = {&exceptions->outbound(), &exceptions->inbound(), &exceptions->datagrams()};
  constexpr uint32_t kRoom = 2 * kEventsToJavaScript + kDatagramsToJavaScript;
  uint32_t lost = 0;
  for (uint32_t i = 1; i <= 2 * kRoom; i++) {
    Exceptions::Source& source = *sources[i % 3];
    Exception* exception = source.reserve(ExceptionKind::session_wanted);
    if (exception == nullptr) {
      lost++;
      continue;
    }
    exception->slot = i;
    source.publish();
  }
  CHECK(wakes == 1 && lost == kRoom);
  uint32_t taken = 0;
  uint32_t last = 0;
  const auto take = [&](const Exception& exception) {
    CHECK(exception.slot > last);
    last = exception.slot;
    taken++;
  };
  exceptions->drain([&](const Exception& exception) {
    if (taken == 10) return false;
    take(exception);
    return true;
  });
  CHECK(wakes == 2);  // some were left
  exceptions->drain([&](const Exception& exception) {
    take(exception);
    return true;
  });
  CHECK(taken == kRoom && wakes == 2);
}

constexpr Test kTests[] = {
    {"replay window: edges", replay_window_edges},
    {"replay window: looks without touching", replay_window_looks_without_touching},
    {"replay window: as the model, seed 1", replay_window_as_model_seed_1},
    {"allowed IPs: as the model, seed 1", allowed_ips_as_model_seed_1},
    {"allowed IPs: edges", allowed_ips_edges},
    {"inner packet: lengths, every truncation", inner_packet_lengths},
    {"inner packet: addresses", inner_packet_addresses},
    {"parsers survive random bytes, seed 1", parsers_survive_random_bytes_seed_1},
    {"demultiplex: kinds and sizes", demultiplex_sizes},
    {"padding stays within the MTU", padding_stays_within_mtu},
    {"session index finds what is there", session_index_finds_what_is_there},
    {"staging: as the model, seed 1", staging_as_model_seed_1},
    {"exceptions: in order, bounded, one wake-up", exceptions_in_order_and_bounded},
};

}  // namespace

std::span<const Test> rules_tests() { return kTests; }
