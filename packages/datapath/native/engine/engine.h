#pragma once

#include <pthread.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inbound.h"
#include "outbound.h"
#include "shared.h"

namespace mesh {

struct Route {
  uint8_t version;  // 4 or 6
  uint8_t length;
  uint16_t slot;
  Address address;
};

struct SessionKeys {
  uint16_t slot;
  uint32_t local_index;
  uint32_t remote_index;
  const uint8_t* send_key;     // kKeyBytes each
  const uint8_t* receive_key;
  bool is_initiator;
  uint64_t expires_at;
};

enum class OpenStage { none, aead, udp, tun, threads };
struct OpenFault {
  OpenStage stage = OpenStage::none;
  int error = 0;  // errno
};

// The engine as the control thread sees it. One thread calls everything here; all of it returns at once, publish,
// install, drop and stop after at most one batch of each pump.
class Engine {
 public:
  // stats_words: kStatsWords words of zeros, alive until the engine is destroyed
  Engine(const Waker& waker, uint64_t* stats_words, size_t mtu);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Opens the devices and starts the pumps.
  OpenFault open(const char* tun_name, uint16_t udp_port);
  // The same with descriptors that were opened elsewhere: one packet per read and write.
  OpenFault open_with(Fd tun, uint16_t udp_port);

  uint16_t udp_port() const { return shared_.sockets.first().port(); }
  bool is_dual_stack() const { return shared_.sockets.first().is_dual_stack(); }

  // Whose handshakes come through from now on: an X25519 public key, kKeyBytes.
  void set_handshake_key(std::span<const uint8_t> public_key);

  // slots must name every slot that a route uses and every roaming one, each below kMaxPeers.
  struct Table {
    std::span<const uint16_t> slots;
    std::span<const uint16_t> roaming;
    std::span<const Route> routes;
  };
  void publish(const Table& table);

  // The next four: false when there is no such peer (or, for install, when the index is in use).
  bool set_ways(uint16_t slot, const Ways& ways);
  bool install(const SessionKeys& keys);
  bool send_keepalive(uint16_t slot);
  bool drop(uint32_t local_index);

  // The next packet that is sealed or opened is reported, once.
  void await_traffic() { shared_.awaits_traffic.store(true); }

  // No two members have a number or a slot in common; slots below kMaxPeers. Budgets go on for slots that stay.
  void set_relay(std::span<const RelayMember> members, uint64_t bytes_per_second);

  // ttl: so many routers may forward it; 0: the host's default.
  void send_datagram(const Way& way, std::span<uint8_t> bytes, uint8_t ttl);

  // Numbers of the sockets that could be opened.
  std::vector<uint16_t> open_sockets(size_t count);
  // Unknown ones and the first are ignored.
  void close_sockets(std::span<const uint16_t> sockets);

  template <typename Take>
  void drain_exceptions(Take&& take) {
    shared_.exceptions.drain(take);
  }

  // Joins the pumps, wipes the keys, closes the devices. Idempotent.
  void stop();

 private:
  OpenFault open_aead();
  OpenFault start();
  Peer* peer(uint16_t slot) { return peers_[slot].get(); }
  static void settle(Peer& peer);
  void release(std::span<Session* const> retired);
  void retire(Session* session, std::vector<Session*>& retired);

  Shared shared_;
  const Evp* evp_ = nullptr;
  std::unique_ptr<Outbound> outbound_;
  std::unique_ptr<Inbound> inbound_;
  pthread_t threads_[2] = {};
  size_t threads_count_ = 0;
  std::unique_ptr<const Snapshot> snapshot_;
  std::unique_ptr<const HandshakeKey> handshake_key_;
  std::unique_ptr<const RelayTable> relay_;
  std::vector<std::unique_ptr<Peer>> peers_;  // by slot
  uint64_t last_peer_id_ = 0;
  uint64_t last_key_id_ = 0;
  uint64_t last_relay_stay_ = 0;
};

}  // namespace mesh
