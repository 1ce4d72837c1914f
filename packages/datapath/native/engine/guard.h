#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "blake2s.h"
#include "cookie.h"
#include "sources.h"
#include "stats.h"
#include "udp.h"
#include "wire.h"

namespace mesh {

// What the guard needs of our X25519 public key (32 B). Immutable; published by control.
struct HandshakeKey {
  HandshakeKey(uint64_t id_in, std::span<const uint8_t> public_key);

  const uint64_t id;  // never used again, unlike the address
  MacKey mac1;
  std::array<uint8_t, kKeyBytes> cookie_reply;
};

// Which datagrams that are no transport data JavaScript gets to see; the rule is in guard.cc. Inbound pump only, but for
// `contacts`, which is shared with control. Allocates nothing after construction.
class Guard {
 public:
  Guard(const Evp& evp, Contacts& contacts) : contacts_(contacts), cookies_(evp) {}

  enum class Verdict { pass, drop, reply };
  struct Judgement {
    Verdict verdict;
    Counter cause;  // of all but pass
  };

  // Forgets the cookie secret.
  void wipe() { cookies_.wipe(); }

  // kind: handshake or control, as demultiplex said. key: null until there is one. Verdict `reply`: `reply` is filled and
  // goes back the way the datagram came; never when that was by a relay.
  Judgement judge(DatagramKind kind, const Datagram& datagram, const HandshakeKey* key, uint64_t now,
                  std::span<uint8_t, kCookieReplyBytes> reply);

 private:
  Judgement judge_handshake(const Datagram& datagram, const HandshakeKey* key, uint64_t now, std::span<uint8_t, kCookieReplyBytes> reply);
  bool is_under_load(uint64_t now);

  // One kind of what strangers ask for, and those of them who come again after they were turned away.
  struct StrangersShare {
    TokenBucket first;
    TokenBucket again;
    Knocks knocks;

    bool take(Source source, const Rate& rate, uint64_t now);
  };

  Contacts& contacts_;
  SourceBuckets handshakes_{kHandshakesPerSource};
  SourceBuckets datagrams_{kDatagramsPerSource};
  SourceBuckets contacts_handshakes_{kHandshakesPerSource};
  SourceBuckets contacts_datagrams_{kDatagramsPerSource};
  Cookies cookies_;
  uint64_t key_id_ = 0;
  uint64_t under_load_until_ = 0;
  TokenBucket load_;
  TokenBucket strangers_handshakes_;
  StrangersShare strangers_datagrams_;
  StrangersShare strangers_cookies_;
};

}  // namespace mesh
