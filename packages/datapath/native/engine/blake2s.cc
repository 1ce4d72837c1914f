#include "blake2s.h"

#include <bit>
#include <cstring>
#include <utility>

#include "bytes.h"

namespace mesh {
namespace {

constexpr size_t kBlockBytes = 64;
constexpr size_t kRounds = 10;

using State = std::array<uint32_t, 8>;

// RFC 7693, sections 2.6 and 2.7.
constexpr State kIv = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
constexpr uint8_t kSigma[kRounds][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

inline void mix(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d, uint32_t x, uint32_t y) {
  a += b + x;
  d = std::rotr(d ^ a, 16);
  c += d;
  b = std::rotr(b ^ c, 12);
  a += b + y;
  d = std::rotr(d ^ a, 8);
  c += d;
  b = std::rotr(b ^ c, 7);
}

// The round is a template argument so that the message words are picked when this is compiled.
template <size_t Round>
inline void round(uint32_t (&v)[16], const uint32_t (&m)[16]) {
  constexpr const uint8_t(&s)[16] = kSigma[Round];
  mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
  mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
  mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
  mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
  mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
  mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
  mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
  mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
}

// total: bytes of key block and message up to the end of this block
void compress(State& state, const uint8_t* block, uint64_t total, bool is_last) {
  uint32_t m[16];
  for (size_t i = 0; i < 16; i++) m[i] = load_le<uint32_t>(block + 4 * i);
  uint32_t v[16];
  for (size_t i = 0; i < 8; i++) {
    v[i] = state[i];
    v[i + 8] = kIv[i];
  }
  v[12] ^= static_cast<uint32_t>(total);
  v[13] ^= static_cast<uint32_t>(total >> 32);
  if (is_last) v[14] = ~v[14];
  [&]<size_t... Round>(std::index_sequence<Round...>) { (round<Round>(v, m), ...); }(std::make_index_sequence<kRounds>());
  for (size_t i = 0; i < 8; i++) state[i] ^= v[i] ^ v[i + 8];
}

State begin(size_t digest_bytes, size_t key_bytes) {
  State state = kIv;
  state[0] ^= 0x0101'0000 ^ static_cast<uint32_t>(key_bytes << 8) ^ static_cast<uint32_t>(digest_bytes);
  return state;
}

void compress_key(State& state, std::span<const uint8_t> key, bool is_last) {
  uint8_t block[kBlockBytes] = {};
  std::memcpy(block, key.data(), key.size());
  compress(state, block, kBlockBytes, is_last);
  explicit_bzero(block, sizeof block);
}

// The whole message after `total` bytes; the last block, full or not, is compressed as such.
void finish(State& state, uint64_t total, std::span<const uint8_t> message) {
  while (message.size() > kBlockBytes) {
    compress(state, message.data(), total += kBlockBytes, false);
    message = message.subspan(kBlockBytes);
  }
  uint8_t block[kBlockBytes] = {};
  if (!message.empty()) std::memcpy(block, message.data(), message.size());
  compress(state, block, total + message.size(), true);
}

void write(const State& state, std::span<uint8_t> digest) {
  uint8_t all[kBlake2sBytes];
  for (size_t i = 0; i < state.size(); i++) store_le(all + 4 * i, state[i]);
  std::memcpy(digest.data(), all, digest.size());
}

}  // namespace

void blake2s(std::span<uint8_t> digest, std::span<const uint8_t> key, std::span<const uint8_t> message) {
  State state = begin(digest.size(), key.size());
  if (!key.empty()) compress_key(state, key, message.empty());
  if (key.empty() || !message.empty()) finish(state, key.empty() ? 0 : kBlockBytes, message);
  write(state, digest);
}

MacKey::MacKey(std::span<const uint8_t> key) : state_(begin(kMacBytes, key.size())) { compress_key(state_, key, false); }

MacKey::~MacKey() { explicit_bzero(state_.data(), sizeof state_); }

Mac MacKey::mac(std::span<const uint8_t> message) const {
  State state = state_;
  finish(state, kBlockBytes, message);
  Mac mac;
  write(state, mac);
  return mac;
}

}  // namespace mesh
