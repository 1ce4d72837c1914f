#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"
#include "limits.h"

// UDP formats, as far as the engine must tell them apart.
//
//   first u32 (LE)   size       what                               goes to
//   1                148        handshake initiation               the guard, then JavaScript
//   2                92         handshake response                 the same
//   3                64         cookie reply                       the same
//   4                >= 32      transport data                     a session
//   0x21..23 'msh'   <= 1500    our probes (others are for later)  the guard, then JavaScript
//
// Initiations and responses end with mac1 and mac2, 16 B each.
//
// Transport data: type u32, receiver index u32, counter u64, sealed (padded inner packet), tag 16 B; all little-endian.
namespace mesh {

inline constexpr uint32_t kTypeCookieReply = 3;
inline constexpr uint32_t kTypeTransport = 4;

// handshake: with MACs. control: cookie replies and our own kinds.
enum class DatagramKind { transport, handshake, control, malformed };

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
  const uint32_t kind = word & 0xff;
  const bool is_ours = kind >= 0x21 && kind <= 0x23 && bytes[1] == 'm' && bytes[2] == 's' && bytes[3] == 'h';
  return kind_if(is_ours && length <= kDatagramMaxBytes, DatagramKind::control);
}

// Bytes of zeros to append so that lengths tell less: to the next multiple of 16, never beyond the MTU.
inline size_t padding_bytes(size_t length, size_t mtu) {
  const size_t last = length > mtu ? length % mtu : length;
  const size_t padded = (last + kPaddingMultiple - 1) / kPaddingMultiple * kPaddingMultiple;
  return (padded > mtu ? mtu : padded) - last;
}

}  // namespace mesh
