#include "tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace mesh {

int Tun::open(const char* name) {
  ifreq request{};
  if (std::strlen(name) >= sizeof request.ifr_name || std::strchr(name, '%') != nullptr) return EINVAL;
  Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return errno;
  // EXCL: never attach to a device that someone else made persistent.
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
  std::strcpy(request.ifr_name, name);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return errno;
  fd_ = std::move(fd);
  return 0;
}

Tun::ReadResult Tun::read(std::span<PacketView> slots) {
  size_t count = 0;
  while (count < slots.size()) {
    const ssize_t got = ::read(fd_.get(), slots[count].bytes, slots[count].length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {count, errno};
    slots[count++].length = static_cast<size_t>(got);
  }
  return {count, 0};
}

size_t Tun::write(std::span<const PacketView> packets) {
  size_t refused = 0;
  for (const PacketView& packet : packets) {
    ssize_t put = 0;
    do put = ::write(fd_.get(), packet.bytes, packet.length);
    while (put < 0 && errno == EINTR);
    refused += put != static_cast<ssize_t>(packet.length);
  }
  return refused;
}

}  // namespace mesh
