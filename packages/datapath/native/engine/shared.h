#pragma once

#include <atomic>
#include <cstddef>
#include <string_view>

#include "exceptions.h"
#include "guard.h"
#include "peer.h"
#include "quiescence.h"
#include "relay.h"
#include "session.h"
#include "sockets.h"
#include "stats.h"
#include "tun.h"
#include "work_board.h"

namespace mesh {

// What the two pumps and the control thread share. Everything in it is safe to use from its documented threads.
struct Shared {
  Shared(const Waker& waker, uint64_t* stats_words, size_t mtu_in) : stats(stats_words), exceptions(waker), mtu(mtu_in) {}

  Tun tun;
  Sockets sockets;
  Stats stats;
  Exceptions exceptions;
  Quiescence quiescence;
  SessionIndex sessions;
  std::atomic<const Snapshot*> snapshot{nullptr};
  std::atomic<const HandshakeKey*> handshake_key{nullptr};  // null: no handshake message is for us
  std::atomic<const RelayTable*> relay{nullptr};  // null: it relays for nobody
  Contacts contacts;
  WorkBoard work;        // wakes outbound
  Fd inbound_event;      // wakes inbound
  std::atomic<bool> awaits_traffic{false};  // by JavaScript: the next packet is to be reported
  std::atomic<bool> is_stopping{false};
  std::atomic<bool> has_failed{false};
  const size_t mtu;

  void wake_inbound() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(inbound_event.get(), &one, sizeof one);  // fails only when already readable
  }

  // Ends both pumps at their next batch. Any thread.
  void stop() {
    is_stopping.store(true);
    work.wake();
    wake_inbound();
  }

  // A packet was sealed or opened, and its stamps are set. Called by the pump that owns the source.
  void note_traffic(Exceptions::Source& source) {
    if (!awaits_traffic.load(std::memory_order_relaxed)) return;
    if (source.reserve(ExceptionKind::traffic_resumed) == nullptr) return;  // the next packet tries again
    if (awaits_traffic.exchange(false)) source.publish();
  }

  // A device is unusable: report it once, then end both pumps. Called by the pump that owns the source.
  void fail(Exceptions::Source& source, std::string_view device, int error) {
    if (is_stopping.load() || has_failed.exchange(true)) return;
    if (Exception* exception = source.reserve(ExceptionKind::engine_failed)) {
      exception->slot = static_cast<uint32_t>(error);
      exception->length = static_cast<uint16_t>(device.copy(reinterpret_cast<char*>(exception->bytes), kDatagramMaxBytes));
      source.publish();
    }
    stop();
  }
};

}  // namespace mesh
