#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "inner_packet.h"

namespace mesh {

// Prefix to peer slot, longest prefix first: a path-compressed binary trie. Built by one thread, then read by any.
class AllowedIps {
 public:
  static constexpr int32_t kNone = -1;

  // version 4 or 6; length within the family's bits; bits beyond it are ignored. The same prefix again replaces.
  void insert(uint8_t version, Address address, uint8_t length, uint16_t slot);

  // The slot of the longest prefix that holds the address, or kNone.
  int32_t find(uint8_t version, const Address& address) const;

 private:
  struct Node {
    Address prefix;
    int32_t children[2] = {kNone, kNone};
    int32_t slot = kNone;
    uint8_t length = 0;
  };

  int32_t add(const Address& prefix, uint8_t length, int32_t slot);
  void link(uint8_t version, int32_t parent, uint32_t side, int32_t child);

  std::vector<Node> nodes_;
  int32_t roots_[2] = {kNone, kNone};
};

}  // namespace mesh
