#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "endpoint.h"
#include "limits.h"

namespace mesh {

// Whom a relayed datagram is from and for; the pass is 0 from the relay on.
struct RelayHeader {
  uint16_t from = 0;
  uint16_t to = 0;
  uint32_t pass = 0;
};

inline bool operator==(const RelayHeader& a, const RelayHeader& b) { return a.from == b.from && a.to == b.to && a.pass == b.pass; }

// How a datagram travels: straight, or by way of a member that relays it; and by which of our sockets.
struct Way {
  Endpoint endpoint;  // the other end of the first hop
  uint16_t socket = 0;
  bool is_relayed = false;
  RelayHeader relay{};  // if so
};

inline bool operator==(const Way& a, const Way& b) {
  return a.endpoint == b.endpoint && a.socket == b.socket && a.is_relayed == b.is_relayed && a.relay == b.relay;
}

// Where one peer's packets go: by each of these at once, or nowhere.
struct Ways {
  uint32_t count = 0;
  std::array<Way, kMaxWays> all;

  const Way* begin() const { return all.data(); }
  const Way* end() const { return all.data() + count; }
  // The first, when it is straight.
  const Way* straight() const { return count > 0 && !all[0].is_relayed ? &all[0] : nullptr; }
};

// The ways of one peer, which any thread writes and reads: a seqlock whose data are atomics; the odd sequence is the writers' lock
// too. The readers' acquire loads of the data keep the second look at the sequence behind them (Boehm, "Can seqlocks get along
// with programming language memory models?", 2012), so no fence is needed.
class WaysCell {
 public:
  // Waits for another writer, which has a few stores to do.
  void store(const Ways& ways) {
    for (uint32_t tries = 1; !try_store(ways); tries++) {
      if (tries % 64 == 0) sched_yield();
    }
  }

  // False when another thread is writing, or has just written. Never waits.
  bool try_store(const Ways& ways) {
    uint32_t sequence = sequence_.load(std::memory_order_relaxed);
    if (sequence % 2 == 1 || !sequence_.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acquire)) return false;
    count_.store(ways.count, std::memory_order_release);
    for (size_t i = 0; i < ways.count; i++) put(words_[i], ways.all[i]);
    sequence_.store(sequence + 2, std::memory_order_release);
    return true;
  }

  Ways load() const {
    for (uint32_t tries = 1;; tries++) {
      const uint32_t before = sequence_.load(std::memory_order_acquire);
      Ways ways;
      ways.count = count_.load(std::memory_order_acquire);
      for (size_t i = 0; i < ways.count; i++) ways.all[i] = get(words_[i]);
      if (before % 2 == 0 && sequence_.load(std::memory_order_relaxed) == before) return ways;
      if (tries % 64 == 0) sched_yield();  // the writer lost its core in the middle
    }
  }

 private:
  struct Words {
    std::atomic<uint64_t> high{0};
    std::atomic<uint64_t> low{0};
    std::atomic<uint64_t> port_and_socket{0};  // port u16, socket u16, is_relayed u1
    std::atomic<uint64_t> relay{0};            // from u16, to u16, pass u32
  };

  static void put(Words& words, const Way& way) {
    words.high.store(way.endpoint.ip.high, std::memory_order_release);
    words.low.store(way.endpoint.ip.low, std::memory_order_release);
    words.port_and_socket.store(way.endpoint.port | uint64_t{way.socket} << 16 | uint64_t{way.is_relayed} << 32, std::memory_order_release);
    words.relay.store(way.relay.from | uint64_t{way.relay.to} << 16 | uint64_t{way.relay.pass} << 32, std::memory_order_release);
  }
  static Way get(const Words& words) {
    Way way;
    way.endpoint.ip.high = words.high.load(std::memory_order_acquire);
    way.endpoint.ip.low = words.low.load(std::memory_order_acquire);
    const uint64_t port_and_socket = words.port_and_socket.load(std::memory_order_acquire);
    const uint64_t relay = words.relay.load(std::memory_order_acquire);
    way.endpoint.port = static_cast<uint16_t>(port_and_socket);
    way.socket = static_cast<uint16_t>(port_and_socket >> 16);
    way.is_relayed = (port_and_socket >> 32 & 1) != 0;
    way.relay = {static_cast<uint16_t>(relay), static_cast<uint16_t>(relay >> 16), static_cast<uint32_t>(relay >> 32)};
    return way;
  }

  std::atomic<uint32_t> sequence_{0};
  std::atomic<uint32_t> count_{0};
  std::array<Words, kMaxWays> words_;
};

}  // namespace mesh
