#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "endpoint.h"
#include "fd.h"

namespace mesh {

struct Datagram {
  uint8_t* bytes = nullptr;
  size_t length = 0;
  Endpoint peer;  // from or to
};

// One unconnected socket on every address. Any thread may send; one receives.
class Udp {
 public:
  // Both families where the host has IPv6, else IPv4. port 0: any. 0 or errno (EADDRINUSE: the port is taken).
  int open(uint16_t port);

  uint16_t port() const { return port_; }
  bool is_dual_stack() const { return family_ == AF_INET6; }

  // Fills slots in order, at most `length` bytes each, in one system call: at most kBatch. Stops when nothing waits.
  struct ReceiveResult {
    size_t count;
    int error;  // 0, EAGAIN when nothing more waits, or the socket's error
  };
  ReceiveResult receive(std::span<Datagram> slots);

  // Sends in order. A datagram that cannot be sent is skipped and counted; a full buffer stops.
  struct SendResult {
    size_t done;  // sent or skipped
    size_t skipped;
  };
  SendResult send(std::span<const Datagram> datagrams);

  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

 private:
  socklen_t encode(const Endpoint& endpoint, sockaddr_storage& to) const;

  Fd fd_;
  int family_ = AF_INET6;
  uint16_t port_ = 0;
};

}  // namespace mesh
