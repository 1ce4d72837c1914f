#include "cookie.h"

#include <bit>
#include <cstring>

#include "bytes.h"
#include "random.h"
#include "wire.h"

namespace mesh {
namespace {

constexpr uint8_t kNoKey[kKeyBytes] = {};

void quarter_round(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d) {
  a += b;
  d = std::rotl(d ^ a, 16);
  c += d;
  b = std::rotl(b ^ c, 12);
  a += b;
  d = std::rotl(d ^ a, 8);
  c += d;
  b = std::rotl(b ^ c, 7);
}

}  // namespace

void hchacha20(const uint8_t* key, const uint8_t* nonce, uint8_t* out) {
  uint32_t x[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};  // "expand 32-byte k"
  for (size_t i = 0; i < 8; i++) x[4 + i] = load_le<uint32_t>(key + 4 * i);
  for (size_t i = 0; i < 4; i++) x[12 + i] = load_le<uint32_t>(nonce + 4 * i);
  for (int i = 0; i < 10; i++) {
    for (size_t column = 0; column < 4; column++) quarter_round(x[column], x[4 + column], x[8 + column], x[12 + column]);
    for (size_t diagonal = 0; diagonal < 4; diagonal++) {
      quarter_round(x[diagonal], x[4 + (diagonal + 1) % 4], x[8 + (diagonal + 2) % 4], x[12 + (diagonal + 3) % 4]);
    }
  }
  for (size_t i = 0; i < 4; i++) {
    store_le(out + 4 * i, x[i]);
    store_le(out + 16 + 4 * i, x[12 + i]);
  }
  explicit_bzero(x, sizeof x);
}

Cookies::Cookies(const Evp& evp) : sealing_(evp, AeadKey::Direction::seal, kNoKey) {}

void Cookies::set_key(std::span<const uint8_t> reply_key) {
  std::memcpy(reply_key_.data(), reply_key.data(), kKeyBytes);
  if (has_secret_) has_secret_ = begin_sealing();
}

bool Cookies::is_shown(const Endpoint& source, std::span<const uint8_t> message, uint64_t now) const {
  if (!is_fresh(now)) return false;
  const auto before = message.first(message.size() - kMacBytes);
  // Zeros stand for no cookie (section 5.4.4), as in most of a flood: four blocks of BLAKE2s less.
  if (equals(Mac{}, before.data() + before.size())) return false;
  return equals(MacKey(cookie_of(source)).mac(before), before.data() + before.size());
}

bool Cookies::reply(const Endpoint& source, std::span<const uint8_t> message, uint64_t now, std::span<uint8_t, kCookieReplyBytes> reply) {
  if (!is_fresh(now) && !renew(now)) return false;
  const uint64_t counter = nonce_counter_++;
  uint8_t* nonce = reply.data() + 8;
  uint8_t* sealed = nonce + kCookieNonceBytes;
  store_le(reply.data(), kTypeCookieReply);
  std::memcpy(reply.data() + 4, message.data() + 4, 4);  // its sender index
  std::memcpy(nonce, nonce_start_.data(), nonce_start_.size());
  store_le(nonce + nonce_start_.size(), counter);
  const Mac cookie = cookie_of(source);
  std::memcpy(sealed, cookie.data(), cookie.size());
  return sealing_.seal(counter, sealed, cookie.size(), message.last(2 * kMacBytes).first(kMacBytes));
}

bool Cookies::renew(uint64_t now) {
  std::array<uint8_t, kKeyBytes> secret;
  fill_random(secret);
  secret_ = MacKey(secret);
  explicit_bzero(secret.data(), secret.size());
  secret_at_ = now;
  has_secret_ = begin_sealing();
  return has_secret_;
}

bool Cookies::begin_sealing() {
  std::array<uint8_t, kKeyBytes> key;
  fill_random(nonce_start_);
  nonce_counter_ = 0;
  hchacha20(reply_key_.data(), nonce_start_.data(), key.data());
  const bool can_seal = sealing_.rekey(key.data());
  explicit_bzero(key.data(), key.size());
  return can_seal;
}

void Cookies::wipe() {
  secret_ = MacKey();
  sealing_.rekey(kNoKey);
  has_secret_ = false;
}

// Over address and port: a cookie that one host behind a NAT was given is no good to another.
Mac Cookies::cookie_of(const Endpoint& source) const {
  uint8_t bytes[18];
  store_be(bytes, source.ip.high);
  store_be(bytes + 8, source.ip.low);
  store_be(bytes + 16, source.port);
  return secret_.mac(bytes);
}

}  // namespace mesh
