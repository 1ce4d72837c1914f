#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

struct evp_cipher_st;
struct evp_cipher_ctx_st;
struct ossl_lib_ctx_st;
struct ossl_param_st;

namespace mesh {

// OpenSSL's EVP as found in this process (the node binary exports it); never linked. These symbols keep their shape
// from OpenSSL 3.0 on, and no other is used.
struct Evp {
  evp_cipher_st* (*cipher_fetch)(ossl_lib_ctx_st*, const char*, const char*);
  void (*cipher_free)(evp_cipher_st*);
  evp_cipher_ctx_st* (*ctx_new)();
  void (*ctx_free)(evp_cipher_ctx_st*);
  int (*ctx_ctrl)(evp_cipher_ctx_st*, int, int, void*);
  int (*encrypt_init)(evp_cipher_ctx_st*, const evp_cipher_st*, const uint8_t*, const uint8_t*, const ossl_param_st*);
  int (*encrypt_update)(evp_cipher_ctx_st*, uint8_t*, int*, const uint8_t*, int);
  int (*encrypt_final)(evp_cipher_ctx_st*, uint8_t*, int*);
  int (*decrypt_init)(evp_cipher_ctx_st*, const evp_cipher_st*, const uint8_t*, const uint8_t*, const ossl_param_st*);
  int (*decrypt_update)(evp_cipher_ctx_st*, uint8_t*, int*, const uint8_t*, int);
  int (*decrypt_final)(evp_cipher_ctx_st*, uint8_t*, int*);

  evp_cipher_st* chacha20_poly1305;

  // Resolved once per process; null when a symbol or the cipher is missing.
  static const Evp* find();
};

// ChaCha20-Poly1305 (RFC 8439) with WireGuard's nonce: 4 zero bytes, then the counter, little-endian. One thread at
// a time. The key lives in the EVP context, which wipes it when freed.
class AeadKey {
 public:
  enum class Direction { seal, open };

  AeadKey(const Evp& evp, Direction direction, const uint8_t* key);
  AeadKey(const AeadKey&) = delete;
  AeadKey& operator=(const AeadKey&) = delete;
  ~AeadKey();

  bool is_usable() const { return ctx_ != nullptr; }

  // From now on with another key. Allocates nothing.
  bool rekey(const uint8_t* key);

  // Encrypts in place and writes the tag to bytes[length .. length + 16). What is added is authenticated too.
  bool seal(uint64_t counter, uint8_t* bytes, size_t length, std::span<const uint8_t> added = {});
  // Decrypts bytes[0 .. length) in place if the tag at bytes[length .. length + 16) fits; else the bytes are garbage.
  bool open(uint64_t counter, uint8_t* bytes, size_t length);

 private:
  bool init(const evp_cipher_st* cipher, const uint8_t* key);

  const Evp& evp_;
  const Direction direction_;
  evp_cipher_ctx_st* ctx_;
};

}  // namespace mesh
