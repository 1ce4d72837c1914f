#pragma once

#include <atomic>
#include <cstdint>

#include "aead.h"
#include "replay_window.h"
#include "zeroed.h"

namespace mesh {

struct Peer;

// One pair of transport keys. Made, published and freed by the control thread; fields marked otherwise belong to one
// pump from publication on.
struct Session {
  Session(const Evp& evp, const uint8_t* send_key, const uint8_t* receive_key)
      : send(evp, AeadKey::Direction::seal, send_key), receive(evp, AeadKey::Direction::open, receive_key) {}

  bool is_usable() const { return send.is_usable() && receive.is_usable(); }

  Peer* peer = nullptr;
  uint32_t local_index = 0;
  uint32_t remote_index = 0;
  bool is_initiator = false;
  uint64_t expires_at = 0;

  alignas(64) AeadKey send;         // outbound pump
  uint64_t send_counter = 0;        // outbound pump
  alignas(64) AeadKey receive;      // inbound pump
  ReplayWindow replay;              // inbound pump
  std::atomic<bool> confirmed{false};           // inbound sets it: the peer has used the keys
  std::atomic<Session*> next_in_bucket{nullptr};  // written by control
};

// Sessions by local index. Control inserts and removes, the inbound pump finds; a removed session may be freed after
// Quiescence::synchronize. Local indices are random, so the chains stay short: 3 sessions of each of MAX_PEERS give 0.75.
class SessionIndex {
 public:
  void insert(Session* session) {
    std::atomic<Session*>& bucket = bucket_of(session->local_index);
    session->next_in_bucket.store(bucket.load());
    bucket.store(session);
  }

  void remove(Session* session) {
    std::atomic<Session*>* link = &bucket_of(session->local_index);
    while (Session* at = link->load()) {
      if (at == session) {
        link->store(session->next_in_bucket.load());
        return;
      }
      link = &at->next_in_bucket;
    }
  }

  Session* find(uint32_t local_index) {
    Session* session = bucket_of(local_index).load();
    while (session != nullptr && session->local_index != local_index) session = session->next_in_bucket.load();
    return session;
  }

 private:
  static constexpr uint32_t kBuckets = 1 << 16;
  std::atomic<Session*>& bucket_of(uint32_t local_index) { return buckets_[local_index % kBuckets]; }

  Zeroed<std::atomic<Session*>> buckets_{kBuckets};
};

}  // namespace mesh
