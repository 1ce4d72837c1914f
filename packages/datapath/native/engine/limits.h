#pragma once

#include <cstddef>
#include <cstdint>

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

// Mirrors MAX_PEERS and STAGED_PACKETS of the port; native.ts checks the first against the addon.
inline constexpr uint32_t kMaxPeers = 16'384;
inline constexpr uint32_t kStagedPerPeer = 128;
// Staged packets of all peers: 16 peers can be full at once, then the oldest of all goes. 2,048 x 1.5 KB = 3 MB.
inline constexpr uint32_t kStagedInAll = 2'048;
inline constexpr uint64_t kSessionWantedEveryMs = 1'000;

// Packets a pump handles between two quiescent states: long enough to amortise them, short enough (some 50 us)
// that a table swap, which waits for it, is not felt.
inline constexpr size_t kBatch = 32;
// A datagram can carry 65,535 bytes (fragments are reassembled before we see them); the rest is room for padding
// and tag. The odd stride spreads the slots over cache sets: at exactly 64 KiB all would compete for the same ones.
inline constexpr size_t kSlotBytes = 65'536 + 64;
inline constexpr size_t kSlotStride = 65'536 + 33 * 64;
inline constexpr int kSocketBufferBytes = 4 * 1024 * 1024;
// Largest datagram of our own kinds that is handed to JavaScript: one Ethernet frame.
inline constexpr size_t kDatagramMaxBytes = 1'500;
// Exceptions that can wait for JavaScript: while it is busy for 50 ms, 20,000 handshakes a second still fit.
inline constexpr uint32_t kDatagramsToJavaScript = 1'024;
inline constexpr uint32_t kEventsToJavaScript = 512;

}  // namespace mesh
