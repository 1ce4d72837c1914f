#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "limits.h"
#include "udp.h"

namespace mesh {

// The first socket, which is there as long as the engine, and further ones, which control opens and closes. Pumps find them by
// number, inside one batch: what control unlinked may be closed after Quiescence::synchronize.
class Sockets {
 public:
  // 0 or errno.
  int open_first(uint16_t port);

  Udp& first() { return first_; }
  const Udp& first() const { return first_; }
  // Null: there is none of that number.
  Udp* find(uint16_t socket) const { return socket < kMaxSockets ? by_number_[socket].load() : nullptr; }

  Udp::Sent send(const Datagram& datagram) const {
    Udp* socket = find(datagram.way.socket);
    return socket == nullptr ? Udp::Sent::impossible : socket->send(datagram);
  }

  bool has_further() const { return further_count_.load() > 0; }
  // Readable while a further socket is.
  int further_fd() const { return further_.get(); }
  // Inbound: receives by further sockets in turn, as Udp::receive. How many slots are filled.
  size_t receive_further(std::span<Datagram> slots) const;

  // Control: opens so many, as far as they can be had, and returns their numbers, the lowest free ones.
  std::vector<uint16_t> open_further(size_t count);
  // Control: from now on nobody finds it. Null when there is none, or it is the first.
  std::unique_ptr<Udp> unlink(uint16_t socket);
  // Control, without pumps.
  void close_all();

 private:
  Udp first_;
  Fd further_;  // epoll, of all further sockets, level-triggered
  std::atomic<uint32_t> further_count_{0};
  std::array<std::atomic<Udp*>, kMaxSockets> by_number_{};
};

}  // namespace mesh
