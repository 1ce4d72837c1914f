#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "limits.h"

// Counters and per-peer stamps, in memory that JavaScript reads at any time. Every word has one writing thread.
//
//   words 0..71      three blocks of 24 counters: written by outbound pump, inbound pump, control thread; add them up
//   words 72..       one record of 16 words (128 B) per slot: 0..7 written by outbound, 8..15 by inbound
//
// Mirrored by addon-codec.ts; binding.cc checks the total size.
namespace mesh {

enum class Counter : uint32_t {  // order of DATAPATH_COUNTERS in the port
  udp_malformed,
  udp_unknown_session,
  udp_not_authentic,
  udp_replayed,
  udp_expired_session,
  udp_source_not_allowed,
  udp_inner_malformed,
  udp_send_errors,
  tun_malformed,
  tun_no_route,
  tun_staged_overflow,
  tun_write_errors,
  exceptions_lost,
  handshake_not_for_us,
  handshake_cookie_sent,
  source_over_budget,
  relayed_packets,
  relayed_bytes,
  relay_not_allowed,
  relay_no_way,
  relay_over_limit,
};

enum class Writer : uint32_t { outbound, inbound, control };

inline constexpr size_t kCounterBlockWords = 24;
inline constexpr size_t kRecordWords = 16;
inline constexpr size_t kRecordsAt = 3 * kCounterBlockWords;
inline constexpr size_t kStatsWords = kRecordsAt + kMaxPeers * kRecordWords;

enum class Stamp : uint32_t {
  sent_bytes = 0,
  sent_packets = 1,
  data_sent_at = 2,
  authenticated_sent_at = 3,
  send_counter = 4,
  received_bytes = 8,
  received_packets = 9,
  data_received_at = 10,
  authenticated_received_at = 11,
};

class Stats {
 public:
  // words: kStatsWords of them, zeroed, alive for as long as this object
  explicit Stats(uint64_t* words) : words_(words) {}

  void count(Writer writer, Counter counter, uint64_t n = 1) {
    add(static_cast<size_t>(writer) * kCounterBlockWords + static_cast<size_t>(counter), n);
  }
  void add(uint16_t slot, Stamp stamp, uint64_t n) { add(word_of(slot, stamp), n); }
  void set(uint16_t slot, Stamp stamp, uint64_t value) { at(word_of(slot, stamp)).store(value, std::memory_order_relaxed); }

  // Control thread, when no pump can reach the peer.
  void clear(uint16_t slot) {
    for (size_t i = 0; i < kRecordWords; i++) at(kRecordsAt + slot * kRecordWords + i).store(0, std::memory_order_relaxed);
  }

 private:
  static size_t word_of(uint16_t slot, Stamp stamp) { return kRecordsAt + slot * kRecordWords + static_cast<size_t>(stamp); }
  std::atomic_ref<uint64_t> at(size_t word) { return std::atomic_ref<uint64_t>(words_[word]); }
  void add(size_t word, uint64_t n) {
    const auto cell = at(word);
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  uint64_t* words_;
};

}  // namespace mesh
