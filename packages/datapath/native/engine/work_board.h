#pragma once

#include <sys/eventfd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "fd.h"
#include "limits.h"

namespace mesh {

// What other threads ask the outbound pump to do: a bit per peer and kind, so asking never fails, never allocates, and
// asking twice is asking once. The descriptor wakes the pump.
class WorkBoard {
 public:
  enum class Kind : uint32_t { flush, keepalive };

  bool open() {
    event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return static_cast<bool>(event_);
  }

  void ask(Kind kind, uint16_t slot) {
    bits_[static_cast<size_t>(kind)][slot / 64].fetch_or(uint64_t{1} << (slot % 64));
    if (!is_pending_.exchange(true)) wake();
  }

  void wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(event_.get(), &one, sizeof one);  // fails only when already readable
  }

  // Outbound pump: calls run(kind, slot) for everything asked so far; for one kind in slot order, flushes first.
  template <typename Run>
  void take(Run&& run) {
    if (!is_pending_.load(std::memory_order_relaxed) || !is_pending_.exchange(false)) return;
    for (const Kind kind : {Kind::flush, Kind::keepalive}) {
      for (size_t word = 0; word < kWords; word++) {
        std::atomic<uint64_t>& asked = bits_[static_cast<size_t>(kind)][word];
        if (asked.load(std::memory_order_relaxed) == 0) continue;
        for (uint64_t bits = asked.exchange(0); bits != 0; bits &= bits - 1) {
          run(kind, static_cast<uint16_t>(word * 64 + static_cast<size_t>(std::countr_zero(bits))));
        }
      }
    }
  }

  int fd() const { return event_.get(); }
  void clear_event() {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(event_.get(), &count, sizeof count);
  }

 private:
  static constexpr size_t kWords = kMaxPeers / 64;

  Fd event_;
  std::atomic<bool> is_pending_{false};
  std::array<std::array<std::atomic<uint64_t>, kWords>, 2> bits_{};
};

}  // namespace mesh
