#pragma once

#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace mesh {

// The kernel's random generator, for at most 256 bytes: so much it gives at once and without fail (getrandom(2)).
inline void fill_random(std::span<uint8_t> bytes) {
  ssize_t got = -1;
  do got = ::getrandom(bytes.data(), bytes.size(), 0);
  while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(bytes.size())) std::abort();  // a kernel without getrandom: no secret can be made
}

}  // namespace mesh
