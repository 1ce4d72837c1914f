#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Unaligned loads and stores. WireGuard's fields are little-endian, IP's are big-endian.
namespace mesh {

template <typename Word>
inline Word load_native(const uint8_t* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

constexpr uint16_t swap_bytes(uint16_t word) { return __builtin_bswap16(word); }
constexpr uint32_t swap_bytes(uint32_t word) { return __builtin_bswap32(word); }
constexpr uint64_t swap_bytes(uint64_t word) { return __builtin_bswap64(word); }

template <typename Word>
inline Word load_le(const uint8_t* from) {
  const Word word = load_native<Word>(from);
  return std::endian::native == std::endian::little ? word : swap_bytes(word);
}

template <typename Word>
inline Word load_be(const uint8_t* from) {
  const Word word = load_native<Word>(from);
  return std::endian::native == std::endian::big ? word : swap_bytes(word);
}

template <typename Word>
inline void store_le(uint8_t* to, Word word) {
  if (std::endian::native != std::endian::little) word = swap_bytes(word);
  std::memcpy(to, &word, sizeof word);
}

template <typename Word>
inline void store_be(uint8_t* to, Word word) {
  if (std::endian::native != std::endian::big) word = swap_bytes(word);
  std::memcpy(to, &word, sizeof word);
}

}  // namespace mesh
