#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "endpoint.h"
#include "limits.h"
#include "token_bucket.h"
#include "zeroed.h"

// Who datagrams come from, as far as their number is concerned: a stranger is an IPv4 address or an IPv6 /64, whatever its ports,
// a contact an address and a port.
namespace mesh {

using Source = uint64_t;

// A /64, or an IPv4 address below ff00::/8: multicast, which is nobody's source.
inline Source source_of(const Address& ip) { return is_ipv4_mapped(ip) ? uint64_t{0xff} << 56 | ip.low : ip.high; }

// A hash that nobody outside can steer. Twice, because one multiplication spreads sources that follow each other badly: under one
// key in 30, so many of 500,000 fell on each other that some passed for known.
class SourceHash {
 public:
  SourceHash();
  uint64_t operator()(Source source) const { return fold(fold(source ^ key_[0], key_[1]) ^ key_[1], key_[0]); }

 private:
  static uint64_t fold(uint64_t value, uint64_t key) {
    const auto product = static_cast<unsigned __int128>(value) * (key | 1);
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  std::array<uint64_t, 2> key_;
};

// A token bucket for each source. Bounded: when kMaxSources are known, a new one takes the place of the one that was quiet
// longest. One thread; allocates nothing after construction.
class SourceBuckets {
 public:
  explicit SourceBuckets(const Rate& rate) : rate_(rate) {}

  // Takes one of the source's tokens if there is one.
  bool take(Source source, uint64_t now);

  uint32_t size() const { return used_; }

 private:
  static constexpr uint32_t kHeads = 2 * kMaxSources;

  // Entries are numbered from 1, so that zeroed memory is an empty table. Entry 0 closes the ring of all by age: its
  // `newer` is the quietest source, its `older` the one heard last.
  struct Entry {
    Source source;
    TokenBucket bucket;
    uint32_t behind;  // next of the same head
    uint32_t older;
    uint32_t newer;
  };

  uint32_t& head_of(Source source) { return heads_[hash_(source) % kHeads]; }
  uint32_t find(Source source);
  uint32_t add(Source source);
  void unlink(uint32_t entry);
  void link_as_newest(uint32_t entry);

  const Rate rate_;
  const SourceHash hash_;
  Zeroed<uint32_t> heads_{kHeads};
  Zeroed<Entry> entries_{kMaxSources + 1};
  uint32_t used_ = 0;
};

// Strangers that were turned away lately. Under a flood everyone is, at first; but a peer comes again, within seconds and from
// where it was, and forged sources hardly ever do. A later one may take an earlier one's cell: at 50,000 a second, after 5 s, 1 in 5
// is forgotten. One thread.
class Knocks {
 public:
  // Whether the source was turned away less than kKnockAgainForMs ago; it is now, as far as this knows.
  bool is_again(Source source, uint64_t now) {
    const uint64_t hash = hash_(source);
    const uint32_t seconds = static_cast<uint32_t>(now / 1'000) & kSeconds;
    const uint32_t tag = (static_cast<uint32_t>(hash >> 32) | kUsed) & ~kSeconds;
    uint32_t& cell = cells_[hash % kCells];
    const bool is_known = (cell & ~kSeconds) == tag && ((seconds - cell) & kSeconds) <= kKnockAgainForMs / 1'000;
    cell = tag | seconds;
    return is_known;
  }

 private:
  static constexpr size_t kCells = 1 << 20;  // 4 MB, of which a quiet host touches nothing
  static constexpr uint32_t kSeconds = 0xffff;
  static constexpr uint32_t kUsed = 0x10000;  // so that no tag is 0

  const SourceHash hash_;
  Zeroed<uint32_t> cells_{kCells};
};

// Endpoints, ports included, that are or were some peer's within kContactForMs: control sets an endpoint when the peer answered
// from there, inbound moves a roaming one to where it authenticated something, and what JavaScript sends there keeps it. To
// pass for a contact, a forged source has to name both; one that was drawn by chance does in 1 of 100 for a mesh of 700.
// Control and inbound note, inbound asks.
class Contacts {
 public:
  using Key = uint64_t;

  // What stands for an endpoint: a hash that nobody outside can steer.
  Key key_of(const Endpoint& endpoint) const { return hash_(hash_(hash_(endpoint.ip.high) + endpoint.ip.low) + endpoint.port); }

  void note(Key key, uint64_t now) { at(key).store(seconds(now), std::memory_order_relaxed); }
  // A contact stays one; nothing else becomes one.
  void keep(Key key, uint64_t now) {
    if (holds(key, now)) note(key, now);
  }
  bool holds(Key key, uint64_t now) {
    const uint32_t noted = at(key).load(std::memory_order_relaxed);
    // Control may have noted it in a later second than the one that this batch began in.
    return noted != 0 && static_cast<int32_t>(seconds(now) - noted) < static_cast<int32_t>(kContactForMs / 1'000);
  }

 private:
  static constexpr size_t kCells = 1 << 16;

  static uint32_t seconds(uint64_t now) { return static_cast<uint32_t>(now / 1'000) + 1; }
  std::atomic<uint32_t>& at(Key key) { return cells_[hash_(key) % kCells]; }

  const SourceHash hash_;
  Zeroed<std::atomic<uint32_t>> cells_{kCells};
};

}  // namespace mesh
