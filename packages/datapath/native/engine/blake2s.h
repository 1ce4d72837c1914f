#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mesh {

inline constexpr size_t kBlake2sBytes = 32;  // longest digest, longest key
inline constexpr size_t kMacBytes = 16;

// BLAKE2s (RFC 7693) of one message. digest: 1 to 32 bytes, whose number is part of the hash; key: 0 to 32 bytes.
// Time depends on the lengths alone.
void blake2s(std::span<uint8_t> digest, std::span<const uint8_t> key, std::span<const uint8_t> message);

using Mac = std::array<uint8_t, kMacBytes>;

// WireGuard's Mac(key, message) (whitepaper, section 5.4): keyed BLAKE2s with a digest of 16 bytes. The key's own block
// is compressed once, when the key is set: a third of the work of a MAC1.
class MacKey {
 public:
  MacKey() = default;
  explicit MacKey(std::span<const uint8_t> key);
  ~MacKey();

  Mac mac(std::span<const uint8_t> message) const;  // of at least one byte

 private:
  std::array<uint32_t, 8> state_{};
};

// In a time that does not depend on where they differ.
inline bool equals(const Mac& one, const uint8_t* other) {
  uint32_t difference = 0;
  for (size_t i = 0; i < kMacBytes; i++) difference |= one[i] ^ other[i];
  return difference == 0;
}

}  // namespace mesh
