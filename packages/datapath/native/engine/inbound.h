#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "packet_slots.h"
#include "shared.h"

namespace mesh {

// UDP to TUN, on a thread of its own. See inbound.cc for the flow.
class Inbound {
 public:
  explicit Inbound(Shared& shared);

  // Returns when the engine stops.
  void run();

 private:
  bool pump();
  void wait();
  void hand_over(const Datagram& datagram);
  bool open(const Datagram& datagram, PacketView& packet);
  void authenticated(Session& session, bool is_data);
  bool is_deliverable(const Peer& sender, PacketView& packet);
  bool refuse(Counter cause);

  Shared& shared_;
  Quiescence::Reader& reader_;
  Exceptions::Source& events_;
  Exceptions::Source& handed_over_;
  PacketSlots slots_;
  std::array<Datagram, kBatch> datagrams_;
  std::array<PacketView, kBatch> packets_;
  const Snapshot* snapshot_ = nullptr;  // until the next quiescent state
  uint64_t now_ = 0;
  uint32_t errors_in_a_row_ = 0;
};

}  // namespace mesh
