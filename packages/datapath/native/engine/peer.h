#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "allowed_ips.h"
#include "session.h"
#include "way.h"

namespace mesh {

// One peer, for as long as its slot stays in the table. Control owns it; pumps read what is atomic.
struct Peer {
  Peer(uint16_t slot_in, uint64_t id_in) : slot(slot_in), id(id_in) {}

  const uint16_t slot;
  const uint64_t id;  // unlike the slot, never used again
  WaysCell ways;  // written by control; by inbound too while the peer roams
  std::atomic<Session*> current{nullptr};
  std::atomic<Session*> next{nullptr};
  Session* previous = nullptr;  // control only: inbound reaches it by index

  // The session that seals, expired or not. `next` first: once it is confirmed it is current, whether or not control
  // has moved it there yet. Read in this order, because control fills `current` before it empties `next`.
  Session* sealing() const {
    Session* session = next.load();
    return session != nullptr && session->confirmed.load(std::memory_order_acquire) ? session : current.load();
  }
};

// An immutable table: which peers there are, which of them roam, and which addresses are whose. Swapped whole.
struct Snapshot {
  AllowedIps routes;
  std::vector<Peer*> peers;  // by slot; null where there is none
  std::vector<bool> roaming;  // by slot; empty when none does

  Peer* peer(int32_t slot) const {
    return slot >= 0 && static_cast<size_t>(slot) < peers.size() ? peers[static_cast<size_t>(slot)] : nullptr;
  }
  bool is_roaming(uint16_t slot) const { return slot < roaming.size() && roaming[slot]; }
};

}  // namespace mesh
