#pragma once

#include <cstddef>
#include <cstdint>

#include "token_bucket.h"

// Part one is protocol (WireGuard whitepaper, sections 5.4 and 6), part two is this implementation.
namespace mesh {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kTransportHeaderBytes = 16;  // type u32, receiver index u32, counter u64
inline constexpr size_t kTransportMinBytes = kTransportHeaderBytes + kTagBytes;
inline constexpr size_t kPaddingMultiple = 16;
// 2^64 - 2^13 - 1: the counter never reaches the replay window's width from its end.
inline constexpr uint64_t kRejectAfterMessages = UINT64_MAX - (uint64_t{1} << 13);
// REKEY_ATTEMPT_TIME: when a handshake has been tried for so long, what waited for it is stale.
inline constexpr uint64_t kStagedForMs = 90'000;

// What a relay is told of a datagram, before it (core's wire/relay-header.ts).
inline constexpr size_t kRelayHeaderBytes = 12;

// Sizes of the messages with MACs, of cookie replies, and of their parts (section 5.4).
inline constexpr size_t kInitiationBytes = 148;
inline constexpr size_t kResponseBytes = 92;
inline constexpr size_t kCookieReplyBytes = 64;
inline constexpr size_t kCookieNonceBytes = 24;

// Mirrors MAX_PEERS and STAGED_PACKETS of the port; binding.cc checks the first, addon-codec.ts the layout it makes.
inline constexpr uint32_t kMaxPeers = 16'384;
inline constexpr uint32_t kStagedPerPeer = 128;
// Staged packets of all peers: 16 peers can be full at once, then the oldest of all goes. 2,048 x 1.5 KB = 3 MB.
inline constexpr uint32_t kStagedInAll = 2'048;
inline constexpr uint64_t kSessionWantedEveryMs = 1'000;
// Mirrors of MAX_WAYS, MAX_SOCKETS and RELAY_BURST, and of what a sender may send at once however slow its rate.
inline constexpr size_t kMaxWays = 2;
inline constexpr uint16_t kMaxSockets = 1 + 512;
inline constexpr uint64_t kRelayBurstMs = 250;
inline constexpr uint64_t kRelaySmallestBurstBytes = 64 * 1024;

// Mirrors of the port, where the reasons stand: HANDSHAKE_LOAD, UNDER_LOAD_FOR, HANDSHAKES_PER_SOURCE, DATAGRAMS_PER_SOURCE,
// MAX_SOURCES, COOKIE_SECRET_FOR; below STRANGERS, STRANGERS_AGAIN, STRANGERS_HANDSHAKES, KNOCK_AGAIN_FOR, CONTACT_FOR.
inline constexpr Rate kHandshakeLoad{200, 100};
inline constexpr uint64_t kUnderLoadForMs = 1'000;
inline constexpr Rate kHandshakesPerSource{5, 20};
inline constexpr Rate kDatagramsPerSource{200, 100};
inline constexpr uint32_t kMaxSources = 4'096;
inline constexpr uint64_t kCookieSecretForMs = 120'000;

inline constexpr Rate kStrangers{1'000, 250};
inline constexpr Rate kStrangersAgain{500, 500};
inline constexpr Rate kStrangersHandshakes{200, 200};
inline constexpr uint64_t kKnockAgainForMs = 15'000;
inline constexpr uint64_t kContactForMs = 180'000;

// Packets a pump handles between two quiescent states: long enough to amortise them, short enough (some 50 us)
// that a table swap, which waits for it, is not felt.
inline constexpr size_t kBatch = 32;
// A datagram can carry 65,535 bytes (fragments are reassembled before we see them); the rest is room for padding
// and tag. The odd stride spreads the slots over cache sets: at exactly 64 KiB all would compete for the same ones.
inline constexpr size_t kSlotBytes = 65'536 + 64;
inline constexpr size_t kSlotStride = 65'536 + 33 * 64;
// What may come without being for anyone before inbound takes it for a flood. Below, each datagram wakes it: a pause would be felt by
// the lone packet that comes next.
inline constexpr Rate kJunk{64, 5'000};
// How long inbound then sleeps after a batch in which nothing was for anyone: a flood costs 2,000 wake-ups a second and not
// one for every few datagrams, which was more than all the rest of it. The socket's buffer holds what comes meanwhile.
inline constexpr uint32_t kPauseAfterJunkUs = 500;
// And after one in which something was: packets come in bursts, so that what is between a flood's hardly waits.
inline constexpr uint32_t kPauseAmidJunkUs = 200;
inline constexpr int kSocketBufferBytes = 4 * 1024 * 1024;
// There can be hundreds of further sockets, and most of them wait for a probe or two.
inline constexpr int kFurtherSocketBufferBytes = 256 * 1024;
// Of a batch, for all further sockets: neither they nor the first can keep the other waiting.
inline constexpr size_t kFurtherShare = kBatch / 2;
// Largest datagram of our own kinds that is handed to JavaScript: one Ethernet frame.
inline constexpr size_t kDatagramMaxBytes = 1'500;
// Exceptions that can wait for JavaScript: while it is busy for 50 ms, 20,000 handshakes a second still fit.
inline constexpr uint32_t kDatagramsToJavaScript = 1'024;
inline constexpr uint32_t kEventsToJavaScript = 512;

}  // namespace mesh
