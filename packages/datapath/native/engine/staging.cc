#include "staging.h"

#include <cstring>

namespace mesh {

Staging::Staging(size_t packet_bytes)
    : packet_bytes_(packet_bytes), packets_(packet_bytes * kStagedInAll), entries_(kStagedInAll), queues_(kMaxPeers) {}

uint32_t Staging::stage(uint16_t slot, std::span<const uint8_t> packet, uint64_t now) {
  if (packet.size() > packet_bytes_) return 1;
  uint32_t dropped = 0;
  if (queues_[slot].count == kStagedPerPeer) {
    drop_first(slot);
    dropped = 1;
  } else if (free_ == kNone && unused_ == kStagedInAll) {
    drop_first(entries_[oldest_].slot);
    dropped = 1;
  }
  const uint32_t at = free_ != kNone ? free_ : unused_++;
  Entry& entry = entries_[at];
  if (free_ != kNone) free_ = entry.behind;
  entry = {.at = now, .length = static_cast<uint32_t>(packet.size()), .behind = kNone, .older = newest_, .newer = kNone, .slot = slot};
  std::memcpy(bytes_of(at), packet.data(), packet.size());
  (newest_ == kNone ? oldest_ : entries_[newest_].newer) = at;
  newest_ = at;
  Queue& queue = queues_[slot];
  (queue.count == 0 ? queue.first : entries_[queue.last].behind) = at;
  queue.last = at;
  queue.count++;
  return dropped;
}

size_t Staging::take(uint16_t slot, uint8_t* to) {
  if (queues_[slot].count == 0) return 0;
  const uint32_t first = queues_[slot].first;
  const size_t length = entries_[first].length;
  std::memcpy(to, bytes_of(first), length);
  drop_first(slot);
  return length;
}

uint32_t Staging::drop_older(uint16_t slot, uint64_t at) {
  uint32_t dropped = 0;
  while (queues_[slot].count > 0 && entries_[queues_[slot].first].at < at) {
    drop_first(slot);
    dropped++;
  }
  return dropped;
}

void Staging::drop_first(uint16_t slot) {
  Queue& queue = queues_[slot];
  const uint32_t at = queue.first;
  Entry& entry = entries_[at];
  queue.first = entry.behind;
  queue.count--;
  (entry.older == kNone ? oldest_ : entries_[entry.older].newer) = entry.newer;
  (entry.newer == kNone ? newest_ : entries_[entry.newer].older) = entry.older;
  entry.behind = free_;
  free_ = at;
}

}  // namespace mesh
