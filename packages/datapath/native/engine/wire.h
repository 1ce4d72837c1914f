#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"
#include "limits.h"

// UDP formats, as far as the engine must tell them apart.
//
//   first u32 (LE)   size       what                               goes to
//   1                148        handshake initiation               JavaScript
//   2                92         handshake response                 JavaScript
//   3                64         cookie reply                       JavaScript
//   4                >= 32      transport data                     a session
//   0x21..23 'msh'   <= 1500    our probes and relay frames        JavaScript
//
// Transport data: type u32, receiver index u32, counter u64, sealed (padded inner packet), tag 16 B; all little-endian.
namespace mesh {

inline constexpr uint32_t kTypeTransport = 4;

enum class DatagramKind { transport, control, malformed };

inline DatagramKind demultiplex(const uint8_t* bytes, size_t length) {
  if (length < 4) return DatagramKind::malformed;
  const uint32_t word = load_le<uint32_t>(bytes);
  const auto control_if = [](bool fits) { return fits ? DatagramKind::control : DatagramKind::malformed; };
  switch (word) {
    case 1: return control_if(length == 148);
    case 2: return control_if(length == 92);
    case 3: return control_if(length == 64);
    case kTypeTransport: return length >= kTransportMinBytes ? DatagramKind::transport : DatagramKind::malformed;
    default: break;
  }
  const uint32_t kind = word & 0xff;
  const bool is_ours = kind >= 0x21 && kind <= 0x23 && bytes[1] == 'm' && bytes[2] == 's' && bytes[3] == 'h';
  return control_if(is_ours && length <= kDatagramMaxBytes);
}

// Bytes of zeros to append so that lengths tell less: to the next multiple of 16, never beyond the MTU.
inline size_t padding_bytes(size_t length, size_t mtu) {
  const size_t last = length > mtu ? length % mtu : length;
  const size_t padded = (last + kPaddingMultiple - 1) / kPaddingMultiple * kPaddingMultiple;
  return (padded > mtu ? mtu : padded) - last;
}

}  // namespace mesh
