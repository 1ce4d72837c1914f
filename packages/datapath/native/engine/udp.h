#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "fd.h"
#include "way.h"

namespace mesh {

struct Datagram {
  uint8_t* bytes = nullptr;
  size_t length = 0;
  Way way;          // by which it came or is to go; the relay's header is not among the bytes
  uint8_t ttl = 0;  // so many routers may forward it; 0: the host's default
};

// One unconnected socket on every address. Any thread may send; one receives.
class Udp {
 public:
  // Both families where the host has IPv6, else IPv4. port 0: any. 0 or errno (EADDRINUSE: the port is taken).
  int open(uint16_t port, int receive_buffer_bytes = kSocketBufferBytes);

  uint16_t port() const { return port_; }
  bool is_dual_stack() const { return family_ == AF_INET6; }

  // Fills slots in order, at most `length` bytes each, in one system call: at most kBatch. Stops when nothing waits. Of their ways it
  // sets the endpoint.
  struct ReceiveResult {
    size_t count;
    int error;  // 0, EAGAIN when nothing more waits, or the socket's error
  };
  ReceiveResult receive(std::span<Datagram> slots);

  // impossible: never, full: not now. To the way's endpoint, behind the relay's header where it has one.
  enum class Sent { yes, impossible, full };
  Sent send(const Datagram& datagram);

  int fd() const { return fd_.get(); }

 private:
  socklen_t encode(const Endpoint& endpoint, sockaddr_storage& to) const;

  Fd fd_;
  int family_ = AF_INET6;
  uint16_t port_ = 0;
};

}  // namespace mesh
