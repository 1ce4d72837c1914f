// Everything that reads bytes from outside, fed with random, truncated, lengthened and bit-flipped ones from a seed. The
// sanitizers find what reads or writes where it should not; the checks here find what lets through what it should not.

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "../allowed_ips.h"
#include "../guard.h"
#include "../inbound.h"
#include "../inner_packet.h"
#include "../session.h"
#include "../shared.h"
#include "../wire.h"
#include "check.h"
#include "handshake.h"
#include "openssl.h"

using namespace mesh;

namespace {

constexpr uint64_t kSeed = 1;
constexpr size_t kMtu = 1420;
constexpr uint32_t kIndex = 0x0102'0304;
constexpr Address kLoopback{0, 0xffff'7f00'0001};
// Of two members of a relay, and the first one's pass.
constexpr uint16_t kNumber = 0x0a0b;
constexpr uint16_t kOtherNumber = 0xfffe;
constexpr uint32_t kPass = 0xfedc'ba98;

// A copy at the very end of its own allocation, so that reading one byte more is seen.
class Exactly {
 public:
  explicit Exactly(std::span<const uint8_t> bytes) : bytes_(new uint8_t[bytes.size()]), length_(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), bytes_.get());
  }
  uint8_t* data() { return bytes_.get(); }
  size_t size() const { return length_; }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  size_t length_;
};

// Bytes that are almost right: one of the samples, changed in one of five ways, or not at all.
std::vector<uint8_t> mutate(SeededRandom& random, const std::vector<std::vector<uint8_t>>& samples) {
  std::vector<uint8_t> bytes = samples[random.below(samples.size())];
  switch (random.below(6)) {
    case 0: break;
    case 1: bytes.resize(random.below(bytes.size() + 1)); break;
    case 2: bytes.resize(bytes.size() + 1 + random.below(40), static_cast<uint8_t>(random.next() >> 32)); break;
    case 3:
      for (uint64_t flips = 1 + random.below(3); flips > 0 && !bytes.empty(); flips--) {
        bytes[random.below(bytes.size())] ^= static_cast<uint8_t>(1 << random.below(8));
      }
      break;
    case 4:
      if (bytes.size() > 4) random.fill(bytes.data() + 4, bytes.size() - 4);
      break;
    default:
      bytes.resize(random.below(2'000));
      random.fill(bytes.data(), bytes.size());
  }
  return bytes;
}

std::vector<uint8_t> inner_packet(uint8_t version, size_t payload) {
  std::vector<uint8_t> packet((version == 4 ? 20 : 40) + payload, 0x11);
  const auto length = static_cast<uint16_t>(version == 4 ? packet.size() : payload);
  packet[0] = version == 4 ? 0x45 : 0x60;
  store_be(packet.data() + (version == 4 ? 2 : 4), length);
  packet[12] = 10;
  return packet;
}

void fuzz_demultiplex_and_guard_seed_1() {
  SeededRandom random(kSeed);
  const Evp& evp = need_openssl();
  auto contacts = std::make_unique<Contacts>();
  Guard guard(evp, *contacts);
  const HandshakeKey key(1, kPublicKey);
  std::vector<std::vector<uint8_t>> samples = {handshake_message(1, key), handshake_message(2, key), std::vector<uint8_t>(64),
                                               {0x21, 'm', 's', 'h', 1, 2, 3}, std::vector<uint8_t>(1'500, 7)};
  samples[2][0] = kTypeCookieReply;
  std::copy_n(samples[3].begin(), 4, samples[4].begin());
  const std::set<std::vector<uint8_t>> signed_before_mac2 = {
      {samples[0].begin(), samples[0].end() - kMacBytes}, {samples[1].begin(), samples[1].end() - kMacBytes}};
  uint64_t now = 1;
  uint32_t passed = 0;
  std::array<uint8_t, kCookieReplyBytes> reply;
  for (int i = 0; i < 250'000; i++) {
    now += random.below(random.below(1'000) == 0 ? 200'000 : 40);
    Exactly bytes(mutate(random, samples));
    const DatagramKind kind = demultiplex(bytes.data(), bytes.size());
    if (kind != DatagramKind::handshake && kind != DatagramKind::control) continue;
    const Endpoint from = random.below(2) == 0 ? v4(static_cast<uint32_t>(random.below(6'000)))
                                               : Endpoint{{random.next(), random.next()}, static_cast<uint16_t>(random.next())};
    if (random.below(50) == 0) contacts->note(contacts->key_of(from), now);
    const bool has_key = random.below(100) > 0;
    const bool is_relayed = random.below(4) == 0;
    const auto [verdict, cause] = guard.judge(kind, {bytes.data(), bytes.size(), {.endpoint = from, .is_relayed = is_relayed}}, has_key ? &key : nullptr, now, reply);
    passed += verdict == Guard::Verdict::pass;
    CHECK(!is_relayed || verdict != Guard::Verdict::reply);
    if (kind != DatagramKind::handshake) continue;
    // Only what was signed gets anywhere.
    const bool is_signed = has_key && signed_before_mac2.contains({bytes.data(), bytes.data() + bytes.size() - kMacBytes});
    CHECK(is_signed == (verdict != Guard::Verdict::drop || cause != Counter::handshake_not_for_us));
  }
  CHECK(passed > 1'000);
}

void fuzz_inner_packet_and_table_seed_1() {
  SeededRandom random(kSeed);
  const std::vector<std::vector<uint8_t>> samples = {inner_packet(4, 0), inner_packet(4, 33), inner_packet(6, 0), inner_packet(6, 1'380)};
  auto table = std::make_unique<AllowedIps>();
  uint32_t found = 0;
  for (int i = 0; i < 250'000; i++) {
    if (i % 10'000 == 0) table = std::make_unique<AllowedIps>();
    if (i % 10 == 0) {
      const uint8_t version = random.below(2) == 0 ? 4 : 6;
      const auto length = static_cast<uint8_t>(random.below(version == 4 ? 33 : 129));
      table->insert(version, {random.below(4) == 0 ? random.next() : uint64_t{10} << 56, random.next()}, length,
                    static_cast<uint16_t>(random.below(kMaxPeers)));
    }
    Exactly bytes(mutate(random, samples));
    InnerPacket inner;
    if (!parse_inner(bytes.data(), bytes.size(), inner)) continue;
    CHECK(inner.length >= 20 && inner.length <= bytes.size() && (inner.version == 4 || inner.version == 6));
    const int32_t slot = table->find(inner.version, inner.source);
    CHECK(slot == AllowedIps::kNone || (slot >= 0 && slot < static_cast<int32_t>(kMaxPeers)));
    found += slot != AllowedIps::kNone;
  }
  CHECK(found > 1'000);
}

// The whole inbound pump, driven by hand over loopback: what comes out of it was sealed, whole, new, and from an allowed source.
void fuzz_inbound_seed_1() {
  SeededRandom random(kSeed);
  const Evp& evp = need_openssl();
  std::vector<uint64_t> stats(kStatsWords);
  auto shared = std::make_unique<Shared>(Waker{[](void*) {}, nullptr}, stats.data(), kMtu);
  int pair[2];
  CHECK(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
  const Fd wire(pair[0]);
  shared->tun.adopt(Fd(pair[1]));
  CHECK(shared->sockets.open_first(0) == 0 && shared->work.open());
  const HandshakeKey handshake_key(1, kPublicKey);
  shared->handshake_key.store(&handshake_key);
  const uint8_t key[kKeyBytes] = {7};
  Peer peer(0, 1);
  Session session(evp, key, key);
  session.peer = &peer;
  session.local_index = kIndex;
  session.is_initiator = true;
  session.expires_at = UINT64_MAX;
  shared->sessions.insert(&session);
  Snapshot table;
  table.peers = {&peer};
  table.roaming = {true};
  table.routes.insert(4, {uint64_t{10} << 56, 0}, 8, 0);
  shared->snapshot.store(&table);
  Inbound inbound(*shared, evp);

  Udp sender;
  Udp receiver;
  CHECK(sender.open(0) == 0 && receiver.open(0) == 0);
  const Way to = {{kLoopback, shared->sockets.first().port()}};
  Peer other(1, 2);
  other.ways.store({1, {Way{{kLoopback, receiver.port()}}}});
  table.peers.push_back(&other);
  const RelayMember members[] = {{0, kNumber, kPass, 1}, {1, kOtherNumber, 2, 2}};
  const RelayTable relay(members, UINT64_MAX >> 11);
  shared->relay.store(&relay);
  std::array<Datagram, 4> kept;
  std::vector<uint8_t> room(kept.size() * kSlotBytes);
  AeadKey sealing(evp, AeadKey::Direction::seal, key);
  const std::vector<std::vector<uint8_t>> inner = {inner_packet(4, 12), inner_packet(4, 700), inner_packet(6, 8), {}};
  std::vector<std::vector<uint8_t>> samples = {handshake_message(1, handshake_key), handshake_message(2, handshake_key)};
  uint64_t counter = 0;
  uint64_t intact = 0;
  uint64_t delivered = 0;
  uint64_t relayed = 0;
  const auto behind_header = [&](const uint8_t(&kind)[4], const RelayHeader& header, const std::vector<uint8_t>& carried) {
    std::vector<uint8_t> bytes(kRelayHeaderBytes);
    write_relay_header(bytes.data(), kind, header);
    bytes.insert(bytes.end(), carried.begin(), carried.end());
    return bytes;
  };
  const auto sealed = [&](const std::vector<uint8_t>& packet, uint64_t at) {
    std::vector<uint8_t> bytes(kTransportMinBytes + packet.size());
    store_le<uint32_t>(bytes.data(), kTypeTransport);
    store_le(bytes.data() + 4, kIndex);
    store_le(bytes.data() + 8, at);
    std::copy(packet.begin(), packet.end(), bytes.begin() + kTransportHeaderBytes);
    CHECK(sealing.seal(at, bytes.data() + kTransportHeaderBytes, packet.size()));
    return bytes;
  };
  const auto take = [&] {
    while (inbound.pump()) continue;
    uint8_t out[2'048];
    for (ssize_t got; (got = ::read(wire.get(), out, sizeof out)) > 0; delivered++) {
      CHECK(got >= 20 && out[0] >> 4 == 4 && out[12] == 10 && static_cast<size_t>(got) == load_be<uint16_t>(out + 2));
    }
    shared->exceptions.drain([](const Exception& exception) {
      CHECK(exception.kind != ExceptionKind::datagram || exception.from.relay.pass == 0 || exception.from.is_relayed);
      return true;
    });
    // What was passed on was asked for by the one who may, and carries nothing of a relay's.
    for (size_t got = kept.size(); got == kept.size(); relayed += got) {
      for (size_t i = 0; i < kept.size(); i++) kept[i] = {room.data() + i * kSlotBytes, kSlotBytes, {}};
      got = receiver.receive(kept).count;
      for (const Datagram& datagram : std::span(kept).first(got)) {
        const RelayHeader header = read_relay_header(datagram.bytes);
        CHECK(demultiplex(datagram.bytes, datagram.length) == DatagramKind::from_relay);
        CHECK(header == (RelayHeader{kNumber, kOtherNumber, 0}));
        CHECK(!is_relay_kind(datagram.bytes + kRelayHeaderBytes, datagram.length - kRelayHeaderBytes));
      }
    }
  };
  constexpr int kBatches = 4'000;
  for (int batch = 0; batch < kBatches; batch++) {
    for (int i = 0; i < 16; i++) {
      samples.resize(2);
      // Sealed packets with something wrong inside are authentic all the same.
      samples.push_back(sealed(random.below(2) == 0 ? inner[random.below(inner.size())] : mutate(random, inner), counter++));
      // Some of them relayed, some to be relayed, and some of either twice.
      const RelayHeader header{kNumber, kOtherNumber, kPass};
      if (random.below(3) == 0) samples[2] = behind_header(kFromRelay, {kOtherNumber, kNumber, 0}, samples[2]);
      if (random.below(4) == 0) samples.push_back(behind_header(kToRelay, header, samples[random.below(samples.size())]));
      if (random.below(40) == 0) samples.push_back(behind_header(kFromRelay, header, samples[random.below(samples.size())]));
      std::vector<uint8_t> bytes = mutate(random, samples);
      if (random.below(20) == 0) bytes = sealed(inner[0], counter - std::min<uint64_t>(counter, random.below(20'000)));
      if (random.below(200) == 0) bytes = sealed(inner[0], kRejectAfterMessages + random.below(1 << 13));
      if (bytes.size() > 9'000) bytes.resize(9'000);
      CHECK(sender.send({bytes.data(), bytes.size(), to}) == Udp::Sent::yes);
    }
    const std::vector<uint8_t> whole = sealed(inner[1], counter++);
    std::vector<uint8_t> copy = whole;
    CHECK(sender.send({copy.data(), copy.size(), to}) == Udp::Sent::yes);
    intact++;
    take();
  }
  CHECK(delivered >= intact);
  CHECK(peer.ways.load().count == 1 && peer.ways.load().all[0].endpoint.port == sender.port());
  CHECK(relayed > 1'000);
  const auto count = [&](Counter name) { return stats[kCounterBlockWords + static_cast<size_t>(name)]; };
  for (const Counter name : {Counter::udp_malformed, Counter::udp_unknown_session, Counter::udp_not_authentic, Counter::udp_replayed,
                             Counter::udp_expired_session, Counter::udp_source_not_allowed, Counter::udp_inner_malformed,
                             Counter::handshake_not_for_us, Counter::relayed_packets, Counter::relayed_bytes, Counter::relay_not_allowed}) {
    CHECK(count(name) > 0);
  }
  shared->sessions.remove(&session);
}

constexpr Test kTests[] = {
    {"fuzz: demultiplex and guard, 250,000 inputs, seed 1", fuzz_demultiplex_and_guard_seed_1},
    {"fuzz: inner packet and table, 250,000 inputs, seed 1", fuzz_inner_packet_and_table_seed_1},
    {"fuzz: inbound, 64,000 datagrams, seed 1", fuzz_inbound_seed_1},
};

}  // namespace

std::span<const Test> fuzz_tests() { return kTests; }
