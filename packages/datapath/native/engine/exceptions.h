#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "limits.h"
#include "spsc_ring.h"
#include "way.h"

namespace mesh {

enum class ExceptionKind : uint8_t { datagram, session_wanted, session_confirmed, engine_failed, traffic_resumed };

// What only JavaScript can decide. Which fields hold something depends on the kind; see DatapathException in the port.
struct Exception {
  uint64_t sequence;
  uint64_t at;  // us
  Way from;
  uint32_t slot;  // engine_failed: errno
  uint32_t local_index;
  uint16_t length;
  ExceptionKind kind;
  uint8_t bytes[kDatagramMaxBytes];  // a datagram; engine_failed: the device
};

// How the engine says that exceptions wait. Called from the pumps; must not block.
struct Waker {
  void (*wake)(void* context);
  void* context;
};

// Rings to JavaScript, and one wake-up for however many exceptions. Datagrams have a ring of their own: a flood of them
// fills it, and sessions are still wanted and confirmed.
class Exceptions {
 public:
  explicit Exceptions(const Waker& waker) : waker_(waker) {}

  // The producing end of one ring; each is used by one pump.
  class Source {
   public:
    Source(Exceptions& owner, uint32_t capacity) : owner_(owner), ring_(capacity) {}

    // The exception to fill in, or null when the ring is full; `publish` makes it seen.
    Exception* reserve(ExceptionKind kind) {
      Exception* exception = ring_.reserve();
      if (exception == nullptr) return nullptr;
      exception->kind = kind;
      exception->length = 0;
      exception->sequence = owner_.sequence_.fetch_add(1, std::memory_order_relaxed);
      return exception;
    }
    void publish() {
      ring_.publish();
      owner_.wake();
    }

   private:
    friend class Exceptions;
    Exceptions& owner_;
    SpscRing<Exception> ring_;
  };

  Source& outbound() { return sources_[0]; }
  Source& inbound() { return sources_[1]; }
  Source& datagrams() { return sources_[2]; }  // inbound's too

  // Control thread: hands exceptions to `take` in the order they happened until it returns false (that one stays)
  // or none is left. When some stay, the wake-up is repeated.
  template <typename Take>
  void drain(Take&& take) {
    wake_is_pending_.exchange(false);
    while (SpscRing<Exception>* ring = oldest()) {
      if (!take(*ring->front())) {
        wake();
        return;
      }
      ring->release();
    }
  }

 private:
  SpscRing<Exception>* oldest() {
    SpscRing<Exception>* oldest = nullptr;
    for (Source& source : sources_) {
      const Exception* front = source.ring_.front();
      if (front != nullptr && (oldest == nullptr || front->sequence < oldest->front()->sequence)) oldest = &source.ring_;
    }
    return oldest;
  }

  // The exchange follows the producer's publish, and drain clears the flag before it looks: no exception stays unseen.
  void wake() {
    if (!wake_is_pending_.exchange(true)) waker_.wake(waker_.context);
  }

  const Waker waker_;
  std::atomic<bool> wake_is_pending_{false};
  std::atomic<uint64_t> sequence_{0};
  std::array<Source, 3> sources_{{{*this, kEventsToJavaScript}, {*this, kEventsToJavaScript}, {*this, kDatagramsToJavaScript}}};
};

}  // namespace mesh
