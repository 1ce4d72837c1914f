#pragma once

#include <cstdint>
#include <ctime>

namespace mesh {

// Microseconds of CLOCK_BOOTTIME: goes on during suspend, never steps back. Served by the vDSO, some 25 ns.
inline uint64_t boot_us() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000;
}

// The same in milliseconds, in which all rules count.
inline uint64_t boot_ms() { return boot_us() / 1'000; }

}  // namespace mesh
