// What becomes of a datagram that is no transport data, size and type being right:
//
//   initiation, response   1. MAC1 made with our public key?                      no: handshake_not_for_us
//                          2. HANDSHAKE_LOAD has a token?                         no: under load for UNDER_LOAD_FOR
//                          3. not under load?                                     pass
//                          4. MAC2 made with a cookie of its source?              no: cookie reply, handshake_cookie_sent
//                             of a relayed one, for which we know no way back,
//                             not asked for when the relay is a contact           no: source_over_budget
//                          5. HANDSHAKES_PER_SOURCE has a token?                  no: source_over_budget; yes: pass
//   cookie reply, ours     6. DATAGRAMS_PER_SOURCE has a token?                   no: source_over_budget; yes: pass
//
// Contacts (sources.h) and strangers are counted apart from each other, so that no stranger can use up what a peer needs: a contact
// by address and port, also for its cookie replies; a stranger by its source. Strangers besides share budgets in 4, 5 and 6,
// beyond which they count as source_over_budget. Each budget has a table of its own: forged sources push only each other out.
//
// The same as core's engine/handshake-guard.ts.
//
// What a flood costs at most, by kind: wrong MAC1: two blocks of BLAKE2s. Right MAC1, forged sources: the same and strangers'
// cookie replies. Our own kinds, forged sources: a look into two tables, and strangers' datagrams for JavaScript. A peer from an
// unknown address gets in when it comes again: see Knocks.

#include "guard.h"

#include <cstring>

namespace mesh {
namespace {

// H(label || public key), with labels of 8 characters (whitepaper, section 5.4).
std::array<uint8_t, kBlake2sBytes> labelled(const char* label, std::span<const uint8_t> public_key) {
  uint8_t bytes[8 + kKeyBytes];
  std::memcpy(bytes, label, 8);
  std::memcpy(bytes + 8, public_key.data(), kKeyBytes);
  std::array<uint8_t, kBlake2sBytes> hash;
  blake2s(hash, {}, bytes);
  return hash;
}

constexpr Guard::Judgement kPass{Guard::Verdict::pass, Counter{}};
constexpr Guard::Judgement drop(Counter cause) { return {Guard::Verdict::drop, cause}; }

}  // namespace

HandshakeKey::HandshakeKey(uint64_t id_in, std::span<const uint8_t> public_key)
    : id(id_in), mac1(labelled("mac1----", public_key)), cookie_reply(labelled("cookie--", public_key)) {}

Guard::Judgement Guard::judge(DatagramKind kind, const Datagram& datagram, const HandshakeKey* key, uint64_t now,
                              std::span<uint8_t, kCookieReplyBytes> reply) {
  if (kind == DatagramKind::handshake) return judge_handshake(datagram, key, now, reply);
  const Contacts::Key contact = contacts_.key_of(datagram.way.endpoint);
  if (contacts_.holds(contact, now)) {
    return contacts_datagrams_.take(contact, now) ? kPass : drop(Counter::source_over_budget);
  }
  const Source source = source_of(datagram.way.endpoint.ip);
  if (!datagrams_.take(source, now)) return drop(Counter::source_over_budget);
  return strangers_datagrams_.take(source, kStrangers, now) ? kPass : drop(Counter::source_over_budget);
}

Guard::Judgement Guard::judge_handshake(const Datagram& datagram, const HandshakeKey* key, uint64_t now,
                                        std::span<uint8_t, kCookieReplyBytes> reply) {
  const std::span<const uint8_t> message(datagram.bytes, datagram.length);
  const auto before_mac1 = message.first(message.size() - 2 * kMacBytes);
  if (key == nullptr || !equals(key->mac1.mac(before_mac1), before_mac1.data() + before_mac1.size())) {
    return drop(Counter::handshake_not_for_us);
  }
  if (key->id != key_id_) {
    key_id_ = key->id;
    cookies_.set_key(key->cookie_reply);
  }
  if (!is_under_load(now)) return kPass;
  const Contacts::Key contact = contacts_.key_of(datagram.way.endpoint);
  const bool is_contact = contacts_.holds(contact, now);
  const Source source = source_of(datagram.way.endpoint.ip);
  const bool is_relayed = datagram.way.is_relayed;
  if (is_contact ? !contacts_handshakes_.take(contact, now) : is_relayed) return drop(Counter::source_over_budget);
  if (is_relayed) return kPass;
  if (cookies_.is_shown(datagram.way.endpoint, message, now)) {
    const bool passes = is_contact || (handshakes_.take(source, now) && strangers_handshakes_.take(kStrangersHandshakes, now));
    return passes ? kPass : drop(Counter::source_over_budget);
  }
  if (!is_contact && !strangers_cookies_.take(source, kStrangers, now)) return drop(Counter::source_over_budget);
  if (!cookies_.reply(datagram.way.endpoint, message, now, reply)) return drop(Counter::source_over_budget);
  return {Verdict::reply, Counter::handshake_cookie_sent};
}

// Takes a token for every message with a valid MAC1, under load or not.
bool Guard::is_under_load(uint64_t now) {
  if (!load_.take(kHandshakeLoad, now)) under_load_until_ = now + kUnderLoadForMs;
  return now < under_load_until_;
}

bool Guard::StrangersShare::take(Source source, const Rate& rate, uint64_t now) {
  if (first.take(rate, now)) return true;
  return knocks.is_again(source, now) && again.take(kStrangersAgain, now);
}

}  // namespace mesh
