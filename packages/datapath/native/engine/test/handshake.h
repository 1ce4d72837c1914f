#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "../cookie.h"
#include "../guard.h"
#include "../inner_packet.h"

// Handshake messages as the guard sees them: right MACs around noise.

inline constexpr std::array<uint8_t, mesh::kKeyBytes> kPublicKey = {1, 2, 3, 4, 5, 6, 7, 8};

inline mesh::Endpoint v4(uint32_t address, uint16_t port = 5000) { return {{0, uint64_t{0xffff} << 32 | address}, port}; }

// type 1 or 2; signed for the key's owner
inline std::vector<uint8_t> handshake_message(uint8_t type, const mesh::HandshakeKey& key, uint32_t sender = 7) {
  std::vector<uint8_t> message(type == 1 ? mesh::kInitiationBytes : mesh::kResponseBytes, 0xaa);
  mesh::store_le<uint32_t>(message.data(), type);
  mesh::store_le(message.data() + 4, sender);
  std::fill(message.end() - 2 * mesh::kMacBytes, message.end(), 0);
  const mesh::Mac mac1 = key.mac1.mac(std::span(message).first(message.size() - 2 * mesh::kMacBytes));
  std::copy(mac1.begin(), mac1.end(), message.end() - 2 * mesh::kMacBytes);
  return message;
}

inline void show_cookie(std::vector<uint8_t>& message, const mesh::Mac& cookie) {
  const mesh::Mac mac2 = mesh::MacKey(cookie).mac(std::span(message).first(message.size() - mesh::kMacBytes));
  std::copy(mac2.begin(), mac2.end(), message.end() - mesh::kMacBytes);
}

// The cookie in a reply, not verified: sealing is an XOR, so sealing it again opens it.
inline mesh::Mac cookie_in(const mesh::Evp& evp, const mesh::HandshakeKey& key, std::span<const uint8_t> reply) {
  uint8_t subkey[mesh::kKeyBytes];
  mesh::hchacha20(key.cookie_reply.data(), reply.data() + 8, subkey);
  mesh::AeadKey opening(evp, mesh::AeadKey::Direction::seal, subkey);
  uint8_t bytes[2 * mesh::kMacBytes];
  std::memcpy(bytes, reply.data() + 32, mesh::kMacBytes);
  opening.seal(mesh::load_le<uint64_t>(reply.data() + 24), bytes, mesh::kMacBytes);
  mesh::Mac cookie;
  std::copy_n(bytes, cookie.size(), cookie.begin());
  return cookie;
}
