#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace mesh {

// Quiescent-state-based reclamation: how the control thread frees what a pump may still be reading.
//
// 1. A pump announces the epoch at the top of every batch (`quiescent`) and holds no shared pointer across that point;
//    before it sleeps it goes `offline`, holding none either.
// 2. Control unlinks an object, then calls `synchronize`: a new epoch, and a wait until every pump is offline or has
//    announced it. Nobody can reach the object any more, so it is freed.
//
// Why no pump is missed: the announcement, the loads of shared pointers after it, the unlinking store and the control
// thread's look at the announcement are all seq_cst. A pump that loaded the old pointer did so before the unlinking
// in the single total order; so its announcement, earlier still, is seen by control, and it is of an older epoch.
// No fences, so ThreadSanitizer understands all of it.
class Quiescence {
 public:
  class Reader {
   public:
    void quiescent(const Quiescence& owner) { seen_.store(owner.epoch_.load()); }
    void offline() { seen_.store(kOffline); }

   private:
    friend class Quiescence;
    alignas(64) std::atomic<uint64_t> seen_{kOffline};
  };

  static constexpr size_t kReaders = 2;

  Reader& reader(size_t i) { return readers_[i]; }

  // Control thread only. Waits at most for the batch that each pump is in: pumps never block while online.
  void synchronize() {
    const uint64_t target = epoch_.fetch_add(1) + 1;
    for (Reader& reader : readers_) {
      for (uint32_t spins = 0;; spins++) {
        const uint64_t seen = reader.seen_.load();
        if (seen == kOffline || seen >= target) break;
        if (spins < 64) {
          sched_yield();
        } else {
          const timespec pause{0, 50'000};
          nanosleep(&pause, nullptr);
        }
      }
    }
  }

 private:
  static constexpr uint64_t kOffline = 0;

  std::atomic<uint64_t> epoch_{1};
  std::array<Reader, kReaders> readers_;
};

}  // namespace mesh
