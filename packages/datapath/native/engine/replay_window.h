#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace mesh {

// RFC 6479 with 8,192 bits in 64-bit words; one word is always being cleared, so 8,128 counters back are accepted.
// One thread only.
class ReplayWindow {
 public:
  static constexpr uint64_t kWords = 128;
  static constexpr uint64_t kWidth = (kWords - 1) * 64;

  // Whether the counter can still be accepted. Changes nothing: it runs before the packet is known to be authentic.
  bool may_accept(uint64_t counter) const {
    if (counter > last_) return true;
    if (last_ - counter > kWidth) return false;
    return (words_[(counter / 64) % kWords] & bit(counter)) == 0;
  }

  // Marks an authentic packet's counter as seen. Only after may_accept said yes.
  void commit(uint64_t counter) {
    if (counter > last_) {
      const uint64_t newer = std::min(counter / 64 - last_ / 64, kWords);
      for (uint64_t i = 1; i <= newer; i++) words_[(last_ / 64 + i) % kWords] = 0;
      last_ = counter;
    }
    words_[(counter / 64) % kWords] |= bit(counter);
  }

 private:
  static constexpr uint64_t bit(uint64_t counter) { return uint64_t{1} << (counter % 64); }

  uint64_t last_ = 0;
  std::array<uint64_t, kWords> words_{};
};

}  // namespace mesh
