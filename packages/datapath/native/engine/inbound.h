#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "guard.h"
#include "packet_slots.h"
#include "shared.h"
#include "token_bucket.h"

namespace mesh {

// UDP to TUN, on a thread of its own. See inbound.cc for the flow.
class Inbound {
 public:
  Inbound(Shared& shared, const Evp& evp);

  // Returns when the engine stops.
  void run();

  // One batch. False when the sockets have nothing more to give.
  bool pump();

 private:
  struct Move {
    Peer* peer;
    Way to;
  };

  void wait();
  size_t receive();
  bool take(Datagram& datagram, PacketView& packet);
  void pass_on(Datagram& datagram);
  void judge(DatagramKind kind, const Datagram& datagram);
  void hand_over(const Datagram& datagram);
  bool open(const Datagram& datagram, PacketView& packet);
  void authenticated(Session& session, const Way& from, bool is_data);
  void roam(Peer& peer, const Way& from);
  void confirm(Session& session);
  bool is_deliverable(const Peer& sender, PacketView& packet);
  void follow_moves();
  void store_moves();
  void ask_for_arrived();
  void send(std::span<const Datagram> datagrams);
  bool refuse(Counter cause);

  Shared& shared_;
  Quiescence::Reader& reader_;
  Exceptions::Source& events_;
  Exceptions::Source& handed_over_;
  PacketSlots slots_;
  std::array<Datagram, kBatch> datagrams_;
  std::array<PacketView, kBatch> packets_;
  Guard guard_;
  Relay relay_;
  std::array<Datagram, kBatch> relayed_;
  size_t relayed_count_ = 0;
  std::array<std::array<uint8_t, kCookieReplyBytes>, kBatch> reply_bytes_;
  std::array<Datagram, kBatch> replies_;
  size_t replies_count_ = 0;
  std::array<Move, kBatch> moves_;
  size_t moves_count_ = 0;
  std::array<uint16_t, kBatch> arrived_;
  size_t arrived_count_ = 0;
  const HandshakeKey* handshake_key_ = nullptr;  // this and the next: until the next quiescent state
  const Snapshot* snapshot_ = nullptr;
  uint64_t now_us_ = 0;
  uint64_t now_ = 0;  // the same in ms
  bool has_more_ = false;
  uint32_t errors_in_a_row_ = 0;
  size_t useful_ = 0;  // datagrams of the last batch that were for someone
  bool is_flooded_ = false;
  TokenBucket junk_;  // for all others
};

}  // namespace mesh
