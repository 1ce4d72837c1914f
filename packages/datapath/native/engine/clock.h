#pragma once

#include <cstdint>
#include <ctime>

namespace mesh {

// Milliseconds of CLOCK_BOOTTIME: goes on during suspend, never steps back. Served by the vDSO, some 25 ns.
inline uint64_t boot_ms() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

}  // namespace mesh
