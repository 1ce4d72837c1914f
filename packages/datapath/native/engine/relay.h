#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "peer.h"
#include "stats.h"
#include "udp.h"
#include "zeroed.h"

namespace mesh {

struct RelayMember {
  uint16_t slot;
  uint16_t number;
  uint32_t pass;
  uint64_t since = 0;  // which stay of its slot among the members this is; no two have the same
};

// Whom this node relays for. Immutable; published by control.
class RelayTable {
 public:
  // No two members have a number or a slot in common.
  RelayTable(std::span<const RelayMember> members, uint64_t bytes_per_second);

  const RelayMember* find(uint16_t number) const {
    const size_t at = number < by_number_.size() ? by_number_[number] : 0;
    return at == 0 ? nullptr : &members_[at - 1];
  }
  std::span<const RelayMember> members() const { return members_; }
  uint64_t bytes_per_second() const { return bytes_per_second_; }

 private:
  std::vector<RelayMember> members_;
  std::vector<uint16_t> by_number_;  // 1 + index; 0: no member
  uint64_t bytes_per_second_;
};

// What one sender may still send. In thousandths of a byte, so that a millisecond's share of any rate is a whole number; as core's
// RateBucket. Zeroed memory is nobody's.
class RelayBudget {
 public:
  // now, ms, never steps back. False when there is not as much left: then nothing is taken.
  bool take(const RelayMember& member, uint64_t bytes_per_second, size_t bytes, uint64_t now);

 private:
  uint64_t since_ = 0;
  uint64_t left_ = 0;
  uint64_t at_ = 0;
};

// Passes on what members send each other; the rule is in relay.cc. Inbound pump only.
class Relay {
 public:
  // Null when it is to leave as it now is, by its way; else the name under which it is counted. It came as to_relay.
  std::optional<Counter> pass_on(Datagram& datagram, const RelayTable* table, const Snapshot& snapshot, uint64_t now);

 private:
  Zeroed<RelayBudget> budgets_{kMaxPeers};  // by slot
};

}  // namespace mesh
