#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "packet_slots.h"
#include "shared.h"
#include "staging.h"

namespace mesh {

// TUN to UDP, on a thread of its own. See outbound.cc for the flow.
class Outbound {
 public:
  explicit Outbound(Shared& shared);

  // Returns when the engine stops.
  void run();

  // One batch. False when TUN has nothing more to give.
  bool pump();

 private:
  // A packet with everything that sealing it takes. The session is used in the batch that looked it up.
  struct Job {
    Session* session = nullptr;
    uint64_t counter = 0;
    uint8_t* slot = nullptr;  // room for the header, then the packet
    size_t length = 0;        // of the packet
    Ways ways;
  };
  struct PeerState {
    uint64_t id;         // whose state this is
    uint64_t wanted_at;  // last session-wanted
  };

  void begin();
  void wait();
  void serve(WorkBoard::Kind kind, uint16_t slot);
  void route(size_t count);
  void stage(const Peer& peer, std::span<const uint8_t> packet);
  void want_session(const Peer& peer);
  void flush(const Peer& peer);
  void add(const Peer& peer, Session& session, const Job& job);
  void seal_and_send();
  void send(std::span<const Datagram> datagrams);
  void wait_writable(uint16_t socket);
  Session* usable_session(const Peer& peer) const;
  PeerState& state_of(const Peer& peer);

  Shared& shared_;
  Quiescence::Reader& reader_;
  Exceptions::Source& exceptions_;
  Staging staging_;
  Zeroed<PeerState> states_{kMaxPeers};
  PacketSlots slots_;
  std::array<PacketView, kBatch> packets_;
  std::array<Job, kBatch> jobs_;
  std::array<Datagram, kBatch * kMaxWays> datagrams_;
  size_t jobs_count_ = 0;
  const Snapshot* snapshot_ = nullptr;  // until the next quiescent state
  uint64_t now_ = 0;
};

}  // namespace mesh
