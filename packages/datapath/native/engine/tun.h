#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fd.h"

namespace mesh {

// Where one packet is put or taken from.
struct PacketView {
  uint8_t* bytes = nullptr;
  size_t length = 0;
};

// A layer-3 device. The reading and the writing end may be used by two threads.
class Tun {
 public:
  // Makes the device; it vanishes with the descriptor. 0 or errno: EBUSY when the name is in use, EPERM without
  // CAP_NET_ADMIN, ENOENT or ENODEV when the kernel has no TUN driver.
  int open(const char* name);
  // A descriptor that gives and takes one packet per call.
  void adopt(Fd fd) { fd_ = std::move(fd); }

  // Fills slots in order, at most `length` bytes each, and sets their lengths. Stops when nothing waits.
  struct ReadResult {
    size_t count;
    int error;  // 0, EAGAIN when nothing more waits, or why the device is unusable
  };
  ReadResult read(std::span<PacketView> slots);

  // Returns how many packets the device refused (it is down, say).
  size_t write(std::span<const PacketView> packets);

  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

 private:
  Fd fd_;
};

}  // namespace mesh
