#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "aead.h"
#include "blake2s.h"
#include "endpoint.h"
#include "limits.h"

namespace mesh {

// HChaCha20 (draft-irtf-cfrg-xchacha-03, section 2.2): 32 B from a key of 32 B and a nonce of 16 B.
void hchacha20(const uint8_t* key, const uint8_t* nonce, uint8_t* out);

// Cookies of one handshake key (WireGuard whitepaper, sections 5.3 and 5.4.7): who shows one has been reached at the address
// and port that it sends from. Nothing is kept per cookie: it is a MAC of the source under a secret, which is replaced
// every kCookieSecretForMs. One thread; allocates nothing after construction.
class Cookies {
 public:
  explicit Cookies(const Evp& evp);
  ~Cookies() { wipe(); }
  Cookies(const Cookies&) = delete;
  Cookies& operator=(const Cookies&) = delete;

  // Cookie replies are sealed with it from now on: H("cookie--" || public key), 32 B.
  void set_key(std::span<const uint8_t> reply_key);

  // Whether the message ends with a MAC2 made with a cookie that `source` holds. False when it is zeros.
  bool is_shown(const Endpoint& source, std::span<const uint8_t> message, uint64_t now) const;

  // The answer to a message whose MAC1 is valid. False when it cannot be sealed.
  bool reply(const Endpoint& source, std::span<const uint8_t> message, uint64_t now, std::span<uint8_t, kCookieReplyBytes> reply);

  // Forgets the secret, and what it replied with.
  void wipe();

 private:
  bool is_fresh(uint64_t now) const { return has_secret_ && now - secret_at_ < kCookieSecretForMs; }
  bool renew(uint64_t now);
  bool begin_sealing();
  Mac cookie_of(const Endpoint& source) const;

  std::array<uint8_t, kKeyBytes> reply_key_{};
  MacKey secret_;
  uint64_t secret_at_ = 0;
  bool has_secret_ = false;
  // XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key made from the nonce's first 16 B, with its last 8 B as nonce. The
  // first 16 are random and last as long as the secret, the others count: no nonce comes twice, and a reply costs no HChaCha20.
  std::array<uint8_t, 16> nonce_start_{};
  uint64_t nonce_counter_ = 0;
  AeadKey sealing_;
};

}  // namespace mesh
