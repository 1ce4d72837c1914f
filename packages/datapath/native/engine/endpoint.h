#pragma once

#include <cstdint>

#include "inner_packet.h"

namespace mesh {

// A UDP endpoint; IPv4 as ::ffff:a.b.c.d.
struct Endpoint {
  Address ip;
  uint16_t port = 0;
};

inline bool is_ipv4_mapped(const Address& ip) { return ip.high == 0 && ip.low >> 32 == 0xffff; }

inline bool operator==(const Endpoint& a, const Endpoint& b) { return a.ip.high == b.ip.high && a.ip.low == b.ip.low && a.port == b.port; }

}  // namespace mesh
