#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "limits.h"
#include "zeroed.h"

namespace mesh {

// Packets that wait for a session or an endpoint: per peer first in, first out, at most kStagedPerPeer; over all at
// most kStagedInAll, where the oldest of any peer makes room. One thread only; allocates nothing after construction.
class Staging {
 public:
  // packet_bytes: the longest packet that can wait
  explicit Staging(size_t packet_bytes);

  // Adds a copy. Returns how many packets were dropped: older ones to make room, or this one when it is too long.
  uint32_t stage(uint16_t slot, std::span<const uint8_t> packet, uint64_t now);

  // Moves the slot's oldest packet to `to` (at least packet_bytes of room). Its length, or 0 when none waits.
  size_t take(uint16_t slot, uint8_t* to);

  // Drops the slot's packets staged before `at`. Returns how many.
  uint32_t drop_older(uint16_t slot, uint64_t at);

  uint32_t waiting(uint16_t slot) const { return queues_[slot].count; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Entry {
    uint64_t at;
    uint32_t length;
    uint32_t behind;  // next of the same slot
    uint32_t older;   // neighbours by age among all
    uint32_t newer;
    uint16_t slot;
  };
  struct Queue {
    uint32_t first;  // meaningless while count is 0
    uint32_t last;
    uint32_t count;
  };

  uint8_t* bytes_of(uint32_t entry) { return &packets_[entry * packet_bytes_]; }
  void drop_first(uint16_t slot);

  const size_t packet_bytes_;
  Zeroed<uint8_t> packets_;
  Zeroed<Entry> entries_;
  Zeroed<Queue> queues_;
  uint32_t free_ = kNone;    // chained by `behind`
  uint32_t unused_ = 0;      // entries from here on were never used
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
};

}  // namespace mesh
