#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bytes.h"
#include "limits.h"
#include "way.h"

// UDP formats, as far as the engine must tell them apart.
//
//   first u32 (LE)   size       what                               goes to
//   1                148        handshake initiation               the guard, then JavaScript
//   2                92         handshake response                 the same
//   3                64         cookie reply                       the same
//   4                >= 32      transport data                     a session
//   0x21 'msh'       <= 1500    our probes                         the guard, then JavaScript
//   0x22 'msh'       >= 13      to be relayed                      another member (relay.cc)
//   0x23 'msh'       >= 13      relayed                            where what it carries goes
//
// Initiations and responses end with mac1 and mac2, 16 B each.
//
// Transport data: type u32, receiver index u32, counter u64, sealed (padded inner packet), tag 16 B; all little-endian.
//
// To be relayed, relayed: kind, from u16, to u16, pass u32 (0 when relayed), a datagram; big-endian.
namespace mesh {

inline constexpr uint8_t kToRelay[4] = {0x22, 'm', 's', 'h'};
inline constexpr uint8_t kFromRelay[4] = {0x23, 'm', 's', 'h'};

inline constexpr uint32_t kTypeCookieReply = 3;
inline constexpr uint32_t kTypeTransport = 4;

// handshake: with MACs. control: cookie replies and probes.
enum class DatagramKind { transport, handshake, control, to_relay, from_relay, malformed };

// What a relayed datagram never carries, whatever its length.
inline bool is_relay_kind(const uint8_t* bytes, size_t length) {
  return length >= 4 && (std::memcmp(bytes, kToRelay, 4) == 0 || std::memcmp(bytes, kFromRelay, 4) == 0);
}

inline DatagramKind demultiplex(const uint8_t* bytes, size_t length) {
  if (length < 4) return DatagramKind::malformed;
  const uint32_t word = load_le<uint32_t>(bytes);
  const auto kind_if = [](bool fits, DatagramKind kind) { return fits ? kind : DatagramKind::malformed; };
  switch (word) {
    case 1: return kind_if(length == kInitiationBytes, DatagramKind::handshake);
    case 2: return kind_if(length == kResponseBytes, DatagramKind::handshake);
    case kTypeCookieReply: return kind_if(length == kCookieReplyBytes, DatagramKind::control);
    case kTypeTransport: return kind_if(length >= kTransportMinBytes, DatagramKind::transport);
    default: break;
  }
  if (is_relay_kind(bytes, length)) {
    return kind_if(length > kRelayHeaderBytes, bytes[0] == kToRelay[0] ? DatagramKind::to_relay : DatagramKind::from_relay);
  }
  const bool is_probe = bytes[0] == 0x21 && std::memcmp(bytes + 1, kToRelay + 1, 3) == 0;
  return kind_if(is_probe && length <= kDatagramMaxBytes, DatagramKind::control);
}

inline void write_relay_header(uint8_t* bytes, const uint8_t (&kind)[4], const RelayHeader& header) {
  std::memcpy(bytes, kind, sizeof kind);
  store_be(bytes + 4, header.from);
  store_be(bytes + 6, header.to);
  store_be(bytes + 8, header.pass);
}

inline RelayHeader read_relay_header(const uint8_t* bytes) {
  return {load_be<uint16_t>(bytes + 4), load_be<uint16_t>(bytes + 6), load_be<uint32_t>(bytes + 8)};
}

// Bytes of zeros to append so that lengths tell less: to the next multiple of 16, never beyond the MTU.
inline size_t padding_bytes(size_t length, size_t mtu) {
  const size_t last = length > mtu ? length % mtu : length;
  const size_t padded = (last + kPaddingMultiple - 1) / kPaddingMultiple * kPaddingMultiple;
  return (padded > mtu ? mtu : padded) - last;
}

}  // namespace mesh
