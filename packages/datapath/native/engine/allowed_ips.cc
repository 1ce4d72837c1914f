#include "allowed_ips.h"

#include <algorithm>
#include <bit>

namespace mesh {
namespace {

uint32_t bit_at(const Address& address, uint32_t position) {
  if (position >= 128) return 0;
  return (position < 64 ? address.high >> (63 - position) : address.low >> (127 - position)) & 1;
}

uint32_t common_bits(const Address& a, const Address& b) {
  const uint64_t high = a.high ^ b.high;
  if (high != 0) return static_cast<uint32_t>(std::countl_zero(high));
  return 64 + static_cast<uint32_t>(std::countl_zero(a.low ^ b.low));
}

uint64_t mask(uint32_t bits) { return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : ~(UINT64_MAX >> bits); }

Address cut(const Address& address, uint32_t length) {
  return {address.high & mask(length), address.low & mask(length > 64 ? length - 64 : 0)};
}

}  // namespace

void AllowedIps::insert(uint8_t version, Address address, uint8_t length, uint16_t slot) {
  const Address prefix = cut(address, length);
  int32_t parent = kNone;
  uint32_t side = 0;
  int32_t at = roots_[version == 6];
  while (at != kNone) {
    const Node node = nodes_[static_cast<size_t>(at)];
    const uint32_t common = std::min({common_bits(node.prefix, prefix), uint32_t{node.length}, uint32_t{length}});
    if (common < node.length) {
      // The new prefix leaves the compressed path inside this node: a node goes in between.
      const bool is_above = common == length;
      const int32_t between = add(cut(prefix, common), static_cast<uint8_t>(common), is_above ? slot : kNone);
      link(version, between, bit_at(node.prefix, common), at);
      if (!is_above) link(version, between, bit_at(prefix, common), add(prefix, length, slot));
      link(version, parent, side, between);
      return;
    }
    if (node.length == length) {
      nodes_[static_cast<size_t>(at)].slot = slot;
      return;
    }
    parent = at;
    side = bit_at(prefix, node.length);
    at = node.children[side];
  }
  link(version, parent, side, add(prefix, length, slot));
}

int32_t AllowedIps::find(uint8_t version, const Address& address) const {
  int32_t best = kNone;
  int32_t at = roots_[version == 6];
  while (at != kNone) {
    const Node& node = nodes_[static_cast<size_t>(at)];
    if (common_bits(node.prefix, address) < node.length) break;
    if (node.slot != kNone) best = node.slot;
    at = node.children[bit_at(address, node.length)];
  }
  return best;
}

int32_t AllowedIps::add(const Address& prefix, uint8_t length, int32_t slot) {
  nodes_.push_back({.prefix = prefix, .slot = slot, .length = length});
  return static_cast<int32_t>(nodes_.size() - 1);
}

void AllowedIps::link(uint8_t version, int32_t parent, uint32_t side, int32_t child) {
  (parent == kNone ? roots_[version == 6] : nodes_[static_cast<size_t>(parent)].children[side]) = child;
}

}  // namespace mesh
