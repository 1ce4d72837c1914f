#pragma once

#include <atomic>
#include <cstdint>

#include "zeroed.h"

namespace mesh {

// A queue between one producer thread and one consumer thread; entries are written and read in place.
template <typename T>
class SpscRing {
 public:
  // capacity: a power of two
  explicit SpscRing(uint32_t capacity) : mask_(capacity - 1), entries_(capacity) {}

  // Producer: the entry to fill, or null when full; it is seen by the consumer after `publish`.
  T* reserve() {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) > mask_) return nullptr;
    return &entries_[tail & mask_];
  }
  void publish() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // Consumer: the oldest entry, or null; it may be overwritten after `release`.
  const T* front() const {
    const uint32_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return nullptr;
    return &entries_[head & mask_];
  }
  void release() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

 private:
  const uint32_t mask_;
  Zeroed<T> entries_;
  alignas(64) std::atomic<uint32_t> head_{0};
  alignas(64) std::atomic<uint32_t> tail_{0};
};

}  // namespace mesh
