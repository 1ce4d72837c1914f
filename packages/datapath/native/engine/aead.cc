#include "aead.h"

#include <dlfcn.h>

#include "bytes.h"
#include "limits.h"

namespace mesh {
namespace {

constexpr int kGetTag = 0x10;  // EVP_CTRL_AEAD_GET_TAG
constexpr int kSetTag = 0x11;  // EVP_CTRL_AEAD_SET_TAG

template <typename Function>
bool resolve(Function& function, const char* name) {
  void* symbol = ::dlsym(RTLD_DEFAULT, name);
  static_assert(sizeof function == sizeof symbol);
  std::memcpy(&function, &symbol, sizeof symbol);
  return symbol != nullptr;
}

bool resolve_all(Evp& evp) {
  const bool found = resolve(evp.cipher_fetch, "EVP_CIPHER_fetch") && resolve(evp.cipher_free, "EVP_CIPHER_free") &&
                     resolve(evp.ctx_new, "EVP_CIPHER_CTX_new") && resolve(evp.ctx_free, "EVP_CIPHER_CTX_free") &&
                     resolve(evp.ctx_ctrl, "EVP_CIPHER_CTX_ctrl") &&
                     resolve(evp.encrypt_init, "EVP_EncryptInit_ex2") &&
                     resolve(evp.encrypt_update, "EVP_EncryptUpdate") &&
                     resolve(evp.encrypt_final, "EVP_EncryptFinal_ex") &&
                     resolve(evp.decrypt_init, "EVP_DecryptInit_ex2") &&
                     resolve(evp.decrypt_update, "EVP_DecryptUpdate") &&
                     resolve(evp.decrypt_final, "EVP_DecryptFinal_ex");
  if (!found) return false;
  evp.chacha20_poly1305 = evp.cipher_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  return evp.chacha20_poly1305 != nullptr;
}

struct Nonce {
  explicit Nonce(uint64_t counter) { store_le(bytes + 4, counter); }
  uint8_t bytes[12] = {};
};

}  // namespace

const Evp* Evp::find() {
  static Evp evp{};
  static const bool is_complete = resolve_all(evp);
  return is_complete ? &evp : nullptr;
}

AeadKey::AeadKey(const Evp& evp, Direction direction, const uint8_t* key)
    : evp_(evp), direction_(direction), ctx_(evp.ctx_new()) {
  if (ctx_ == nullptr || init(evp.chacha20_poly1305, key)) return;
  evp.ctx_free(ctx_);
  ctx_ = nullptr;
}

AeadKey::~AeadKey() {
  if (ctx_ != nullptr) evp_.ctx_free(ctx_);
}

bool AeadKey::rekey(const uint8_t* key) { return ctx_ != nullptr && init(nullptr, key); }

bool AeadKey::init(const evp_cipher_st* cipher, const uint8_t* key) {
  return (direction_ == Direction::seal ? evp_.encrypt_init : evp_.decrypt_init)(ctx_, cipher, key, nullptr, nullptr) == 1;
}

bool AeadKey::seal(uint64_t counter, uint8_t* bytes, size_t length, std::span<const uint8_t> added) {
  const Nonce nonce(counter);
  int written = 0;
  if (evp_.encrypt_init(ctx_, nullptr, nullptr, nonce.bytes, nullptr) != 1) return false;
  if (!added.empty() && evp_.encrypt_update(ctx_, nullptr, &written, added.data(), static_cast<int>(added.size())) != 1) return false;
  if (length > 0 && evp_.encrypt_update(ctx_, bytes, &written, bytes, static_cast<int>(length)) != 1) return false;
  return evp_.encrypt_final(ctx_, bytes + length, &written) == 1 &&
         evp_.ctx_ctrl(ctx_, kGetTag, static_cast<int>(kTagBytes), bytes + length) == 1;
}

bool AeadKey::open(uint64_t counter, uint8_t* bytes, size_t length) {
  const Nonce nonce(counter);
  int written = 0;
  uint8_t nothing[kTagBytes];
  if (evp_.decrypt_init(ctx_, nullptr, nullptr, nonce.bytes, nullptr) != 1) return false;
  if (evp_.ctx_ctrl(ctx_, kSetTag, static_cast<int>(kTagBytes), bytes + length) != 1) return false;
  if (length > 0 && evp_.decrypt_update(ctx_, bytes, &written, bytes, static_cast<int>(length)) != 1) return false;
  return evp_.decrypt_final(ctx_, nothing, &written) == 1;
}

}  // namespace mesh
