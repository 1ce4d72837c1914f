#pragma once

#include <cstddef>
#include <cstdint>

#include "limits.h"
#include "zeroed.h"

namespace mesh {

// kBatch buffers for one datagram or packet each. Only pages that traffic touches cost memory.
class PacketSlots {
 public:
  uint8_t* operator[](size_t i) { return bytes_.data() + i * kSlotStride; }

 private:
  Zeroed<uint8_t> bytes_{kBatch * kSlotStride};
};

}  // namespace mesh
