#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"

namespace mesh {

// An address as the first bits of a 128-bit number, most significant first; IPv4 fills the upper 32.
struct Address {
  uint64_t high = 0;
  uint64_t low = 0;
};

struct InnerPacket {
  uint8_t version = 0;  // 4 or 6
  uint32_t length = 0;  // by the IP header; at most what there is
  Address source;
  Address destination;
};

inline Address address_v4(const uint8_t* bytes) { return {uint64_t{load_be<uint32_t>(bytes)} << 32, 0}; }
inline Address address_v6(const uint8_t* bytes) { return {load_be<uint64_t>(bytes), load_be<uint64_t>(bytes + 8)}; }

// False unless the bytes begin with a whole IPv4 (RFC 791) or IPv6 (RFC 8200) packet. Bytes after it are padding.
// No jumbograms (RFC 2675): a payload length of 0 is an empty payload.
inline bool parse_inner(const uint8_t* bytes, size_t available, InnerPacket& packet) {
  if (available < 20) return false;
  packet.version = bytes[0] >> 4;
  if (packet.version == 4) {
    const uint32_t header = (bytes[0] & 15u) * 4;
    packet.length = load_be<uint16_t>(bytes + 2);
    packet.source = address_v4(bytes + 12);
    packet.destination = address_v4(bytes + 16);
    return header >= 20 && packet.length >= header && packet.length <= available;
  }
  if (packet.version == 6 && available >= 40) {
    packet.length = 40u + load_be<uint16_t>(bytes + 4);
    packet.source = address_v6(bytes + 8);
    packet.destination = address_v6(bytes + 24);
    return packet.length <= available;
  }
  return false;
}

}  // namespace mesh
