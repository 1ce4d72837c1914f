// The guard and what it is made of, at instants of the test's own.

#include <array>
#include <cstring>
#include <list>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "../blake2s.h"
#include "../cookie.h"
#include "../guard.h"
#include "../sources.h"
#include "../token_bucket.h"
#include "check.h"
#include "handshake.h"
#include "openssl.h"

using namespace mesh;

namespace {

constexpr uint64_t kSeed = 1;
constexpr uint64_t kStart = 1'000'000;

std::vector<uint8_t> from_hex(std::string_view text) {
  const auto digit = [](char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); };
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < text.size(); i += 2) bytes.push_back(static_cast<uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  return bytes;
}

// RFC 7693, appendix E: digests of four lengths over messages of six, plain and keyed, hashed again. One digest tells.
void blake2s_rfc7693_appendix_e() {
  const auto sequence = [](size_t length, uint32_t seed) {
    std::vector<uint8_t> bytes(length);
    uint32_t a = 0xdead4bad * seed;
    uint32_t b = 1;
    for (uint8_t& byte : bytes) {
      const uint32_t t = a + b;
      a = b;
      b = t;
      byte = static_cast<uint8_t>(t >> 24);
    }
    return bytes;
  };
  std::vector<uint8_t> all;
  for (const size_t digest_bytes : {16, 20, 28, 32}) {
    for (const size_t length : {0, 3, 64, 65, 255, 1024}) {
      const std::vector<uint8_t> message = sequence(length, static_cast<uint32_t>(length));
      const std::vector<uint8_t> key = sequence(digest_bytes, static_cast<uint32_t>(digest_bytes));
      std::vector<uint8_t> digest(digest_bytes);
      blake2s(digest, {}, message);
      all.insert(all.end(), digest.begin(), digest.end());
      blake2s(digest, key, message);
      all.insert(all.end(), digest.begin(), digest.end());
    }
  }
  std::vector<uint8_t> digest(kBlake2sBytes);
  blake2s(digest, {}, all);
  CHECK(digest == from_hex("6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"));
}

void mac_key_is_keyed_blake2s() {
  SeededRandom random(kSeed);
  for (size_t length = 1; length <= 300; length++) {
    std::vector<uint8_t> key(1 + random.below(kBlake2sBytes));
    std::vector<uint8_t> message(length);
    random.fill(key.data(), key.size());
    random.fill(message.data(), length);
    std::array<uint8_t, kMacBytes> expected;
    blake2s(expected, key, message);
    const Mac mac = MacKey(key).mac(message);
    CHECK(mac == expected && equals(mac, expected.data()));
    for (uint8_t& byte : expected) {
      byte ^= 1;
      CHECK(!equals(mac, expected.data()));
      byte ^= 1;
    }
  }
}

// draft-irtf-cfrg-xchacha-03, section 2.2.1.
void hchacha20_draft_vector() {
  const auto key = from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  const auto nonce = from_hex("000000090000004a0000000031415927");
  std::vector<uint8_t> out(kKeyBytes);
  hchacha20(key.data(), nonce.data(), out.data());
  CHECK(out == from_hex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"));
}

void token_bucket_as_model_seed_1() {
  SeededRandom random(kSeed);
  for (const Rate rate : {Rate{5, 20}, Rate{200, 100}, Rate{1, 1}, Rate{1'000, 1'000}}) {
    TokenBucket bucket;
    double tokens = rate.burst;
    uint64_t now = random.below(2) == 0 ? 0 : kStart;
    for (int i = 0; i < 20'000; i++) {
      const uint64_t quiet = random.below(4) > 0 ? 0 : random.below(random.below(50) == 0 ? 20'000 : 30);
      now += quiet;
      tokens = std::min<double>(rate.burst, tokens + static_cast<double>(quiet * rate.per_second) / 1'000);
      const bool expected = tokens > 0.999'999;  // thousandths, and a little for the binary fractions
      CHECK(bucket.take(rate, now) == expected);
      if (expected) tokens -= 1;
    }
    now += uint64_t{1} << 60;
    for (uint32_t i = 0; i < rate.burst; i++) CHECK(bucket.take(rate, now));
    CHECK(!bucket.take(rate, now));
  }
}

void a_source_is_an_ipv4_address_or_a_64() {
  CHECK(source_of(v4(0x0a000001, 1).ip) == source_of(v4(0x0a000001, 2).ip));
  CHECK(source_of(v4(0x0a000001).ip) != source_of(v4(0x0a000002).ip));
  CHECK(source_of({0x2001'0db8'0000'0001, 1}) == source_of({0x2001'0db8'0000'0001, UINT64_MAX}));
  CHECK(source_of({0x2001'0db8'0000'0001, 1}) != source_of({0x2001'0db8'0000'0002, 1}));
  CHECK(source_of({0x0a000001, 0}) != source_of(v4(0x0a000001).ip));
  CHECK(source_of({0, 1}) != source_of(v4(0).ip));
}

void source_buckets_as_model_seed_1() {
  SeededRandom random(kSeed);
  SourceBuckets buckets(kHandshakesPerSource);
  std::list<std::pair<Source, TokenBucket>> model;  // quietest first
  uint64_t now = kStart;
  const auto take = [&](Source source) {
    auto at = std::find_if(model.begin(), model.end(), [&](const auto& entry) { return entry.first == source; });
    if (at == model.end()) {
      if (model.size() == kMaxSources) model.pop_front();
      model.emplace_back(source, TokenBucket());
    } else {
      model.splice(model.end(), model, at);
    }
    const bool expected = model.back().second.take(kHandshakesPerSource, now);
    CHECK(buckets.take(source, now) == expected && buckets.size() == model.size());
  };
  for (int i = 0; i < 12'000; i++) {
    now += random.below(3);
    take(random.below(2) == 0 ? random.below(20) : random.below(6'000));
  }
  // One that used up its budget is forgotten with as many others after it, and begins anew.
  for (uint32_t i = 0; i < 2 * kHandshakesPerSource.burst; i++) take(7);
  for (Source source = 0; source < kMaxSources; source++) take(1'000'000 + source);
  CHECK(buckets.size() == kMaxSources);
  for (uint32_t i = 0; i < 2 * kHandshakesPerSource.burst; i++) take(7);
  take(1'000'000);
  take(1'000'001);
}

void contacts_last_three_minutes() {
  auto contacts = std::make_unique<Contacts>();
  CHECK(!contacts->holds(1, 0) && !contacts->holds(1, kStart));
  contacts->note(1, 0);
  CHECK(contacts->holds(1, 0) && contacts->holds(1, kContactForMs - 1) && !contacts->holds(1, kContactForMs));
  contacts->note(1, kStart + 999);
  CHECK(contacts->holds(1, kStart) && contacts->holds(1, kStart - 1));  // noted in the middle of a batch
  int by_chance = 0;
  for (Source source = 2; source < 10'000; source++) by_chance += contacts->holds(source, kStart);
  CHECK(by_chance < 10);
}

void knocks_are_known_again_for_a_while() {
  auto knocks = std::make_unique<Knocks>();
  for (const uint64_t at : {uint64_t{0}, kStart, kStart + 300'000}) {
    CHECK(!knocks->is_again(1, at) && knocks->is_again(1, at) && knocks->is_again(1, at + kKnockAgainForMs));
    CHECK(!knocks->is_again(1, at + 2 * kKnockAgainForMs + 2'000));
  }
  uint32_t by_chance = 0;
  for (Source source = 2; source < 500'000; source++) by_chance += knocks->is_again(source, kStart);
  // One in 32,768 of those that meet another's cell: 3 to be expected, and more than 25 once in 10^14 runs.
  CHECK(by_chance < 25);
}

// A guard with a key, what it says, and the last reply.
struct GuardRig {
  GuardRig() : guard(need_openssl(), *contacts) {}

  Guard::Judgement judge(const Endpoint& from, std::vector<uint8_t> bytes, const HandshakeKey* with) {
    const DatagramKind kind = demultiplex(bytes.data(), bytes.size());
    CHECK(kind == DatagramKind::handshake || kind == DatagramKind::control);
    return guard.judge(kind, {bytes.data(), bytes.size(), {.endpoint = from, .is_relayed = is_relayed}}, with, now, reply);
  }
  Guard::Judgement judge(const Endpoint& from, std::vector<uint8_t> bytes) { return judge(from, std::move(bytes), &key); }
  bool passes(const Endpoint& from, std::vector<uint8_t> bytes) { return judge(from, std::move(bytes)).verdict == Guard::Verdict::pass; }
  bool drops(const Endpoint& from, std::vector<uint8_t> bytes, Counter cause) {
    const auto [verdict, counter] = judge(from, std::move(bytes));
    return verdict == Guard::Verdict::drop && counter == cause;
  }
  bool asks_for_cookie(const Endpoint& from, std::vector<uint8_t> bytes) {
    const auto [verdict, counter] = judge(from, std::move(bytes));
    return verdict == Guard::Verdict::reply && counter == Counter::handshake_cookie_sent;
  }
  void overload() {
    while (judge(v4(9), handshake_message(1, key)).verdict == Guard::Verdict::pass) continue;
  }
  std::vector<uint8_t> with_cookie(uint8_t type, const Mac& cookie) const {
    std::vector<uint8_t> message = handshake_message(type, key);
    show_cookie(message, cookie);
    return message;
  }
  Mac cookie() const { return cookie_in(need_openssl(), key, reply); }

  const HandshakeKey key{1, kPublicKey};
  bool is_relayed = false;
  std::unique_ptr<Contacts> contacts = std::make_unique<Contacts>();
  Guard guard;
  uint64_t now = kStart;
  std::array<uint8_t, kCookieReplyBytes> reply{};
};

void guard_wants_mac1_of_its_key() {
  GuardRig rig;
  for (const uint8_t type : {1, 2}) {
    CHECK(rig.judge(v4(1), handshake_message(type, rig.key), nullptr).verdict == Guard::Verdict::drop);
    const std::vector<uint8_t> message = handshake_message(type, rig.key);
    CHECK(rig.passes(v4(1), message));
    for (size_t at = 4; at < message.size() - kMacBytes; at++) {
      std::vector<uint8_t> forged = message;
      forged[at] ^= 0x10;
      CHECK(rig.drops(v4(1), forged, Counter::handshake_not_for_us));
    }
  }
  constexpr std::array<uint8_t, kKeyBytes> kOther = {9};
  CHECK(rig.drops(v4(1), handshake_message(1, HandshakeKey(2, kOther)), Counter::handshake_not_for_us));
}

void guard_is_under_load_until_a_second_after_the_last_too_many() {
  GuardRig rig;
  for (uint32_t i = 0; i < kHandshakeLoad.burst; i++) CHECK(rig.passes(v4(i), handshake_message(1, rig.key)));
  CHECK(rig.asks_for_cookie(v4(1), handshake_message(1, rig.key)));
  rig.now += kUnderLoadForMs - 1;
  CHECK(rig.asks_for_cookie(v4(2), handshake_message(2, rig.key)));
  rig.now += 1;
  CHECK(rig.passes(v4(3), handshake_message(1, rig.key)));
  rig.overload();
  rig.now += kUnderLoadForMs / 2;
  rig.overload();
  const uint64_t last = rig.now;
  for (uint32_t i = 0; i < kHandshakeLoad.per_second / 2 + 1; i++) CHECK(rig.asks_for_cookie(v4(i), handshake_message(1, rig.key)));
  rig.now = last + kUnderLoadForMs - 1;
  CHECK(rig.asks_for_cookie(v4(1), handshake_message(1, rig.key)));
  rig.now = last + kUnderLoadForMs;
  CHECK(rig.passes(v4(1), handshake_message(1, rig.key)));
}

void a_cookie_is_good_for_one_address_and_port_and_two_minutes() {
  GuardRig rig;
  rig.overload();
  const uint64_t secret_at = rig.now;
  CHECK(rig.asks_for_cookie(v4(1), handshake_message(1, rig.key, 0xfeed)));
  CHECK(load_le<uint32_t>(rig.reply.data()) == kTypeCookieReply && load_le<uint32_t>(rig.reply.data() + 4) == 0xfeed);
  const Mac cookie = rig.cookie();
  for (const uint8_t type : {1, 2}) CHECK(rig.passes(v4(1), rig.with_cookie(type, cookie)));
  CHECK(rig.asks_for_cookie(v4(2), rig.with_cookie(1, cookie)) && rig.cookie() != cookie);
  CHECK(rig.asks_for_cookie(v4(1, 5001), rig.with_cookie(1, cookie)) && rig.cookie() != cookie);
  CHECK(rig.asks_for_cookie(v4(1), handshake_message(1, rig.key)) && rig.cookie() == cookie);
  std::vector<uint8_t> forged = rig.with_cookie(1, cookie);
  forged.back() ^= 1;
  CHECK(rig.asks_for_cookie(v4(1), forged));

  rig.now = secret_at + kCookieSecretForMs - 1;
  rig.overload();
  CHECK(rig.passes(v4(1), rig.with_cookie(1, cookie)));
  rig.now = secret_at + kCookieSecretForMs;
  rig.overload();
  CHECK(rig.asks_for_cookie(v4(1), rig.with_cookie(1, cookie)) && rig.cookie() != cookie);
  CHECK(rig.passes(v4(1), rig.with_cookie(1, rig.cookie())));

  const Mac before = rig.cookie();
  rig.guard.wipe();
  CHECK(rig.asks_for_cookie(v4(1), rig.with_cookie(1, before)) && rig.cookie() != before);
}

void cookie_replies_never_repeat_a_nonce() {
  GuardRig rig;
  std::set<std::vector<uint8_t>> nonces;
  for (int i = 0; i < 500; i++) {
    if (i % 100 == 0) rig.now += kCookieSecretForMs;
    rig.overload();
    CHECK(rig.asks_for_cookie(v4(1), handshake_message(1, rig.key)));
    CHECK(nonces.emplace(rig.reply.begin() + 8, rig.reply.begin() + 8 + kCookieNonceBytes).second);
  }
}

void guard_keeps_budgets_by_source() {
  GuardRig rig;
  rig.overload();
  CHECK(rig.asks_for_cookie(v4(1), handshake_message(1, rig.key)));
  const Mac cookie = rig.cookie();
  for (uint32_t i = 0; i < kHandshakesPerSource.burst; i++) CHECK(rig.passes(v4(1), rig.with_cookie(1, cookie)));
  CHECK(rig.drops(v4(1), rig.with_cookie(1, cookie), Counter::source_over_budget));
  const std::vector<uint8_t> probe = {0x21, 'm', 's', 'h'};
  std::vector<uint8_t> cookie_reply(kCookieReplyBytes);
  cookie_reply[0] = kTypeCookieReply;
  for (uint32_t i = 0; i < kDatagramsPerSource.burst; i++) CHECK(rig.passes(v4(1), i % 2 == 0 ? probe : cookie_reply));
  CHECK(rig.drops(v4(1), probe, Counter::source_over_budget) && rig.drops(v4(1), cookie_reply, Counter::source_over_budget));
  CHECK(rig.passes(v4(2), probe));
}

constexpr uint32_t kStrangersInTest = 50;
Endpoint stranger(uint32_t i) { return v4(0xc000'0300 + i); }

// So many datagrams each ms, each from another source, and what became of them so far.
struct Flood {
  void run(GuardRig& rig, const std::vector<uint8_t>& datagram, uint64_t milliseconds) {
    for (const uint64_t end = rig.now + milliseconds; rig.now < end; rig.now++) {
      for (uint64_t i = 0; i < per_ms; i++) {
        const Guard::Verdict verdict = rig.judge(v4(static_cast<uint32_t>(random.next() >> 32)), datagram).verdict;
        passed += verdict == Guard::Verdict::pass;
        answered += verdict == Guard::Verdict::reply;
      }
    }
    rig.now--;  // still in its last millisecond, the tokens of which are gone
  }

  const uint64_t per_ms;
  SeededRandom random{kSeed};
  uint64_t passed = 0;
  uint64_t answered = 0;
};

void a_flood_of_initiations_is_bounded_and_peers_get_in_seed_1() {
  GuardRig rig;
  const std::vector<uint8_t> initiation = handshake_message(1, rig.key);
  Flood flood{.per_ms = 10};
  flood.run(rig, initiation, 2'000);
  const uint64_t before_load = flood.passed;  // the burst, and what came back while it was used up
  CHECK(before_load <= kHandshakeLoad.burst + kHandshakeLoad.per_second / 10);
  CHECK(flood.answered <= kStrangers.burst + 2 * kStrangers.per_second + 100);
  // A contact is asked for a cookie at its first attempt, and in at its second.
  const Endpoint contact = v4(0xc0000201);
  rig.contacts->note(rig.contacts->key_of(contact), rig.now);
  CHECK(rig.asks_for_cookie(contact, initiation) && rig.passes(contact, rig.with_cookie(1, rig.cookie())));
  // Strangers are turned away, as all are. They come again after 5 s; most are remembered, and asked.
  uint32_t in = 0;
  for (uint32_t i = 0; i < kStrangersInTest; i++) in += rig.asks_for_cookie(stranger(i), initiation);
  CHECK(in < kStrangersInTest / 4);
  flood.run(rig, initiation, 5'000);
  in = 0;
  for (uint32_t i = 0; i < kStrangersInTest; i++) {
    in += rig.asks_for_cookie(stranger(i), initiation) && rig.passes(stranger(i), rig.with_cookie(1, rig.cookie()));
  }
  CHECK(in > kStrangersInTest / 2);
  CHECK(flood.passed == before_load);
  CHECK(flood.answered <= kStrangers.burst + kStrangersAgain.burst + 7 * (kStrangers.per_second + kStrangersAgain.per_second));
}

void a_flood_of_probes_is_bounded_and_peers_get_in_seed_1() {
  GuardRig rig;
  const std::vector<uint8_t> probe = {0x21, 'm', 's', 'h'};
  Flood flood{.per_ms = 50};
  flood.run(rig, probe, 2'000);
  CHECK(flood.answered == 0 && flood.passed <= kStrangers.burst + 2 * kStrangers.per_second + 100);
  const Endpoint contact = v4(0xc0000201);
  rig.contacts->note(rig.contacts->key_of(contact), rig.now);
  for (uint32_t i = 0; i < kDatagramsPerSource.burst; i++) CHECK(rig.passes(contact, probe));
  CHECK(rig.drops(contact, probe, Counter::source_over_budget));
  uint32_t in = 0;
  for (uint32_t i = 0; i < kStrangersInTest; i++) in += rig.passes(stranger(i), probe);
  CHECK(in < kStrangersInTest / 4);
  flood.run(rig, probe, 1'000);
  in = 0;
  for (uint32_t i = 0; i < kStrangersInTest; i++) in += rig.passes(stranger(i), probe);
  CHECK(in > kStrangersInTest / 2);
}

void nobody_uses_up_what_a_contact_needs() {
  GuardRig rig;
  const std::vector<uint8_t> probe = {0x21, 'm', 's', 'h'};
  for (const Endpoint& contact : {v4(0xc0000201), Endpoint{{0x2001'0db8'0000'0001, 1}, 5'000}}) {
    rig.contacts->note(rig.contacts->key_of(contact), rig.now);
    Endpoint neighbour = contact;  // behind the same NAT, or whoever forges the address without knowing the port
    neighbour.port++;
    Endpoint housemate = contact;  // in the same /64
    housemate.ip.low++;
    for (uint32_t i = 0; i < 4 * kDatagramsPerSource.burst; i++) {
      rig.judge(neighbour, probe);
      rig.judge(housemate, probe);
    }
    rig.overload();
    for (uint32_t i = 0; i < 4 * kHandshakesPerSource.burst; i++) {
      rig.judge(neighbour, handshake_message(1, rig.key));
      rig.judge(housemate, handshake_message(1, rig.key));
    }
    for (uint32_t i = 0; i < kDatagramsPerSource.burst; i++) CHECK(rig.passes(contact, probe));
    CHECK(rig.asks_for_cookie(contact, handshake_message(1, rig.key)));
    CHECK(rig.passes(contact, rig.with_cookie(1, rig.cookie())));
  }
}

void a_contact_is_answered_at_a_pace() {
  GuardRig rig;
  const Endpoint contact = v4(0xc0000201);
  rig.contacts->note(rig.contacts->key_of(contact), rig.now);
  rig.overload();
  for (uint32_t i = 0; i < kHandshakesPerSource.burst; i++) CHECK(rig.asks_for_cookie(contact, handshake_message(1, rig.key)));
  CHECK(rig.drops(contact, handshake_message(1, rig.key), Counter::source_over_budget));
}

void cookies_of_a_whole_prefix_open_a_bounded_number_of_handshakes() {
  GuardRig rig;
  rig.overload();
  uint32_t in = 0;
  for (uint64_t subnet = 0; subnet < 4 * kStrangersHandshakes.burst; subnet++) {
    const Endpoint from{{0x2001'0db8'0000'0000 + subnet, 1}, 5'000};
    if (rig.judge(from, handshake_message(1, rig.key)).verdict != Guard::Verdict::reply) continue;
    in += rig.passes(from, rig.with_cookie(1, rig.cookie()));
  }
  CHECK(in == kStrangersHandshakes.burst);
}

void guard_answers_nothing_that_was_relayed() {
  GuardRig rig;
  const std::vector<uint8_t> initiation = handshake_message(1, rig.key);
  const Endpoint contact = v4(0xc0000201);
  rig.is_relayed = true;
  CHECK(rig.passes(stranger(1), initiation));
  rig.is_relayed = false;
  rig.overload();
  rig.is_relayed = true;
  CHECK(rig.drops(stranger(1), initiation, Counter::source_over_budget));
  CHECK(rig.drops(contact, initiation, Counter::source_over_budget));
  rig.contacts->note(rig.contacts->key_of(contact), rig.now);
  for (uint32_t i = 0; i < kHandshakesPerSource.burst; i++) CHECK(rig.passes(contact, initiation));
  CHECK(rig.drops(contact, initiation, Counter::source_over_budget));
  std::vector<uint8_t> altered = initiation;
  altered[4] ^= 1;
  CHECK(rig.drops(contact, altered, Counter::handshake_not_for_us));
}

constexpr Test kTests[] = {
    {"BLAKE2s: RFC 7693, appendix E", blake2s_rfc7693_appendix_e},
    {"a MAC key is keyed BLAKE2s, seed 1", mac_key_is_keyed_blake2s},
    {"HChaCha20: the draft's vector", hchacha20_draft_vector},
    {"token bucket: as the model, seed 1", token_bucket_as_model_seed_1},
    {"a source is an IPv4 address or a /64", a_source_is_an_ipv4_address_or_a_64},
    {"source buckets: as the model, seed 1", source_buckets_as_model_seed_1},
    {"contacts last three minutes", contacts_last_three_minutes},
    {"nobody uses up what a contact needs", nobody_uses_up_what_a_contact_needs},
    {"a contact is answered at a pace", a_contact_is_answered_at_a_pace},
    {"cookies of a whole prefix open a bounded number of handshakes", cookies_of_a_whole_prefix_open_a_bounded_number_of_handshakes},
    {"knocks are known again for a while", knocks_are_known_again_for_a_while},
    {"guard: wants a MAC1 of its key", guard_wants_mac1_of_its_key},
    {"guard: under load until a second after the last too many", guard_is_under_load_until_a_second_after_the_last_too_many},
    {"a cookie is good for one address and port and two minutes", a_cookie_is_good_for_one_address_and_port_and_two_minutes},
    {"cookie replies never repeat a nonce", cookie_replies_never_repeat_a_nonce},
    {"guard: keeps budgets by source", guard_keeps_budgets_by_source},
    {"guard: answers nothing that was relayed", guard_answers_nothing_that_was_relayed},
    {"guard: a flood of initiations is bounded and peers get in, seed 1", a_flood_of_initiations_is_bounded_and_peers_get_in_seed_1},
    {"guard: a flood of probes is bounded and peers get in, seed 1", a_flood_of_probes_is_bounded_and_peers_get_in_seed_1},
};

}  // namespace

std::span<const Test> guard_tests() { return kTests; }
