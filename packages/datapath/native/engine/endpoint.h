#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

#include "inner_packet.h"

namespace mesh {

// A UDP endpoint; IPv4 as ::ffff:a.b.c.d. Port 0: none.
struct Endpoint {
  Address ip;
  uint16_t port = 0;
};

inline bool is_ipv4_mapped(const Address& ip) { return ip.high == 0 && ip.low >> 32 == 0xffff; }

inline bool operator==(const Endpoint& a, const Endpoint& b) { return a.ip.high == b.ip.high && a.ip.low == b.ip.low && a.port == b.port; }

// An endpoint that any thread writes and reads: a seqlock whose data are atomics; the odd sequence is the writers' lock too.
// The readers' acquire loads of the data keep the second look at the sequence behind them (Boehm, "Can seqlocks get along
// with programming language memory models?", 2012), so no fence is needed.
class EndpointCell {
 public:
  // Waits for another writer, which has four stores to do.
  void store(const Endpoint& endpoint) {
    for (uint32_t tries = 1; !try_store(endpoint); tries++) {
      if (tries % 64 == 0) sched_yield();
    }
  }

  // False when another thread is writing, or has just written. Never waits.
  bool try_store(const Endpoint& endpoint) {
    uint32_t sequence = sequence_.load(std::memory_order_relaxed);
    if (sequence % 2 == 1 || !sequence_.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acquire)) return false;
    high_.store(endpoint.ip.high, std::memory_order_release);
    low_.store(endpoint.ip.low, std::memory_order_release);
    port_.store(endpoint.port, std::memory_order_release);
    sequence_.store(sequence + 2, std::memory_order_release);
    return true;
  }

  Endpoint load() const {
    for (uint32_t tries = 1;; tries++) {
      const uint32_t before = sequence_.load(std::memory_order_acquire);
      Endpoint endpoint;
      endpoint.ip.high = high_.load(std::memory_order_acquire);
      endpoint.ip.low = low_.load(std::memory_order_acquire);
      endpoint.port = port_.load(std::memory_order_acquire);
      if (before % 2 == 0 && sequence_.load(std::memory_order_relaxed) == before) return endpoint;
      if (tries % 64 == 0) sched_yield();  // the writer lost its core in the middle
    }
  }

 private:
  std::atomic<uint32_t> sequence_{0};
  std::atomic<uint16_t> port_{0};
  std::atomic<uint64_t> high_{0};
  std::atomic<uint64_t> low_{0};
};

}  // namespace mesh
