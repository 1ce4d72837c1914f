#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "engine/bytes.h"
#include "engine/engine.h"

// Bytes that JavaScript packs and unpacks in addon-codec.ts. Numbers are little-endian unless it says otherwise. Decoders return
// false for what would not be safe to use; all else was checked before.
namespace mesh {

// Numbers of u16, each below `limit`.
inline bool decode_numbers(std::span<const uint8_t> packed, uint32_t limit, std::vector<uint16_t>& numbers) {
  for (size_t i = 0; i + 2 <= packed.size(); i += 2) {
    numbers.push_back(load_le<uint16_t>(&packed[i]));
    if (numbers.back() >= limit) return false;
  }
  return packed.size() % 2 == 0;
}

// Routes of {version u8, length u8, slot u16, address 16 B}; an IPv4 address fills the first 4 bytes.
inline bool decode_routes(std::span<const uint8_t> packed, std::vector<Route>& routes) {
  constexpr size_t kRouteBytes = 20;
  if (packed.size() % kRouteBytes != 0) return false;
  for (size_t i = 0; i < packed.size(); i += kRouteBytes) {
    const uint8_t* at = &packed[i];
    const bool is_v6 = at[0] == 6;
    routes.push_back({.version = at[0],
                      .length = at[1],
                      .slot = load_le<uint16_t>(at + 2),
                      .address = is_v6 ? address_v6(at + 4) : address_v4(at + 4)});
    const bool is_valid = (is_v6 || at[0] == 4) && at[1] <= (is_v6 ? 128 : 32) && routes.back().slot < kMaxPeers;
    if (!is_valid) return false;
  }
  return true;
}

// Ways, kMaxWays at most:
//
//   0  16 B  address, IPv4 mapped       18  u16  socket          24  u32  relay: pass
//   16 u16   port, big-endian           20  u16  relay: from     28  u8   1 when there is a relay, then 3 zeros
//                                       22  u16  relay: to
inline bool decode_ways(std::span<const uint8_t> packed, Ways& ways) {
  constexpr size_t kWayBytes = 32;
  if (packed.size() % kWayBytes != 0 || packed.size() / kWayBytes > kMaxWays) return false;
  for (size_t i = 0; i < packed.size(); i += kWayBytes) {
    const uint8_t* at = &packed[i];
    Way& way = ways.all[ways.count++];
    way.endpoint = {address_v6(at), load_be<uint16_t>(at + 16)};
    way.socket = load_le<uint16_t>(at + 18);
    way.is_relayed = at[28] != 0;
    way.relay = {load_le<uint16_t>(at + 20), load_le<uint16_t>(at + 22), load_le<uint32_t>(at + 24)};
  }
  return true;
}

// A relay's members of {slot u16, number u16, pass u32}.
inline bool decode_members(std::span<const uint8_t> packed, std::vector<RelayMember>& members) {
  constexpr size_t kMemberBytes = 8;
  if (packed.size() % kMemberBytes != 0 || packed.size() / kMemberBytes > kMaxPeers) return false;
  for (size_t i = 0; i < packed.size(); i += kMemberBytes) {
    const uint8_t* at = &packed[i];
    members.push_back({.slot = load_le<uint16_t>(at), .number = load_le<uint16_t>(at + 2), .pass = load_le<uint32_t>(at + 4)});
    if (members.back().slot >= kMaxPeers) return false;
  }
  return true;
}

// The bytes that it takes; 0: there is no room.
//
//   0   u32  bytes of this record, a multiple of 8       8   16 B  from: address      28  u32  slot
//   4   u8   ExceptionKind                               24  u16   from: port         32  u64  at, us
//   5   u8   1 when a relay brought it                   26  u16   payload bytes      40  u32  local index
//   6   u16  from: socket                                                             44  u16  relay: from
//                                                                                     46  u16  relay: to
//   48  payload: a datagram; for engine_failed the device's name, with its errno in place of the slot
inline size_t encode_exception(const Exception& exception, std::span<uint8_t> to) {
  constexpr size_t kHeadBytes = 48;
  const size_t size = (kHeadBytes + exception.length + 7) / 8 * 8;
  if (size > to.size()) return 0;
  uint8_t* at = to.data();
  std::memset(at, 0, kHeadBytes);
  store_le(at, static_cast<uint32_t>(size));
  at[4] = static_cast<uint8_t>(exception.kind);
  if (exception.kind == ExceptionKind::datagram) {
    const Way& from = exception.from;
    at[5] = from.is_relayed;
    store_le(at + 6, from.socket);
    store_be(at + 8, from.endpoint.ip.high);
    store_be(at + 16, from.endpoint.ip.low);
    store_le(at + 24, from.endpoint.port);
    store_le(at + 44, from.relay.from);
    store_le(at + 46, from.relay.to);
  }
  store_le(at + 26, exception.length);
  store_le(at + 28, exception.slot);
  store_le(at + 32, exception.at);
  if (exception.kind == ExceptionKind::session_confirmed) store_le(at + 40, exception.local_index);
  std::memcpy(at + kHeadBytes, exception.bytes, exception.length);
  return size;
}

}  // namespace mesh
