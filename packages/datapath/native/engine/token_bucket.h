#pragma once

#include <cstdint>

namespace mesh {

// So many at once, so many a second in the long run.
struct Rate {
  uint32_t burst;
  uint32_t per_second;
};

// Counts what was taken and not yet given back, so a new one, or zeroed memory, is full; in thousandths of a token, so that
// a millisecond's share of any rate is a whole number.
class TokenBucket {
 public:
  // Takes one token if there is one. The same rate in every call; now, ms, never steps back.
  bool take(const Rate& rate, uint64_t now) {
    // Divided, not multiplied: no product that overflows after a year of quiet.
    const uint64_t quiet = now - at_;
    taken_ = quiet > taken_ / rate.per_second ? 0 : taken_ - quiet * rate.per_second;
    at_ = now;
    if (taken_ + kToken > uint64_t{rate.burst} * kToken) return false;
    taken_ += kToken;
    return true;
  }

 private:
  static constexpr uint64_t kToken = 1'000;

  uint64_t taken_ = 0;
  uint64_t at_ = 0;
};

}  // namespace mesh
