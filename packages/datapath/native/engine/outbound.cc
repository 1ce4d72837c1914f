// The way of a packet out, one batch at a time:
//
// 1. begin     a quiescent state, then this batch's table and time
// 2. serve     what control and inbound asked for: waiting packets, keepalives
// 3. read      TUN until it has nothing more, at most kBatch packets
// 4. route     check the IP header, destination -> peer -> session and ways; without one of them the packet waits
// 5. seal      header, padding, ChaCha20-Poly1305 in place: once, however many ways
// 6. send      UDP, by each of the peer's ways; when a socket's buffer is full, wait a little: TUN's queue is the right place
//              for packets to pile up
//
// Order is kept per peer: as long as one packet of a peer waits, newer ones queue behind it.

#include "outbound.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "clock.h"
#include "inner_packet.h"
#include "wire.h"

namespace mesh {
namespace {

// How long a full socket buffer is waited for: 4 MiB drain in 50 ms at 670 Mb/s, and a slower link must lose packets
// anyway so that senders slow down.
constexpr int kSendWaitMs = 10;
constexpr int kSendWaits = 5;

}  // namespace

Outbound::Outbound(Shared& shared)
    : shared_(shared),
      reader_(shared.quiescence.reader(0)),
      exceptions_(shared.exceptions.outbound()),
      staging_((shared.mtu + 63) / 64 * 64) {}

void Outbound::run() {
  while (!shared_.is_stopping.load()) {
    if (!pump()) wait();
  }
  reader_.offline();
}

bool Outbound::pump() {
  begin();
  shared_.work.take([this](WorkBoard::Kind kind, uint16_t slot) { serve(kind, slot); });
  for (size_t i = 0; i < kBatch; i++) packets_[i] = {slots_[i] + kTransportHeaderBytes, kSlotBytes - kTransportMinBytes};
  const auto [count, error] = shared_.tun.read(packets_);
  if (error != 0 && error != EAGAIN) shared_.fail(exceptions_, "TUN device", error);
  route(count);
  seal_and_send();
  return error == 0;
}

void Outbound::begin() {
  reader_.quiescent(shared_.quiescence);
  snapshot_ = shared_.snapshot.load();
  now_ = boot_ms();
}

void Outbound::wait() {
  reader_.offline();
  pollfd waits[2] = {{shared_.tun.fd(), POLLIN, 0}, {shared_.work.fd(), POLLIN, 0}};
  ::poll(waits, 2, -1);
  if (waits[1].revents != 0) shared_.work.clear_event();
}

void Outbound::serve(WorkBoard::Kind kind, uint16_t slot) {
  const Peer* peer = snapshot_->peer(slot);
  if (peer == nullptr) return;
  if (kind == WorkBoard::Kind::flush) {
    const Session* session = peer->sealing();
    shared_.stats.set(slot, Stamp::send_counter, session == nullptr ? 0 : session->send_counter);
    flush(*peer);
    return;
  }
  Session* session = usable_session(*peer);
  const Ways ways = peer->ways.load();
  if (session == nullptr || ways.count == 0) return;
  add(*peer, *session, {.slot = slots_[0], .length = 0, .ways = ways});
  seal_and_send();
}

void Outbound::route(size_t count) {
  for (const PacketView& packet : std::span(packets_).first(count)) {
    InnerPacket inner;
    if (!parse_inner(packet.bytes, packet.length, inner)) {
      shared_.stats.count(Writer::outbound, Counter::tun_malformed);
      continue;
    }
    const Peer* peer = snapshot_->peer(snapshot_->routes.find(inner.version, inner.destination));
    if (peer == nullptr) {
      shared_.stats.count(Writer::outbound, Counter::tun_no_route);
      continue;
    }
    Session* session = usable_session(*peer);
    const Ways ways = peer->ways.load();
    state_of(*peer);
    if (session == nullptr || ways.count == 0 || staging_.waiting(peer->slot) > 0) {
      stage(*peer, {packet.bytes, inner.length});
      if (session == nullptr) want_session(*peer);
      else if (ways.count > 0) shared_.work.ask(WorkBoard::Kind::flush, peer->slot);
      continue;
    }
    add(*peer, *session, {.slot = packet.bytes - kTransportHeaderBytes, .length = inner.length, .ways = ways});
  }
}

void Outbound::stage(const Peer& peer, std::span<const uint8_t> packet) {
  const uint32_t dropped = staging_.stage(peer.slot, packet, now_);
  if (dropped > 0) shared_.stats.count(Writer::outbound, Counter::tun_staged_overflow, dropped);
}

void Outbound::want_session(const Peer& peer) {
  PeerState& state = state_of(peer);
  if (state.wanted_at != 0 && now_ < state.wanted_at + kSessionWantedEveryMs) return;
  Exception* exception = exceptions_.reserve(ExceptionKind::session_wanted);
  if (exception == nullptr) {
    shared_.stats.count(Writer::outbound, Counter::exceptions_lost);
    return;
  }
  exception->slot = peer.slot;
  exceptions_.publish();
  state.wanted_at = now_;
}

// Sends what waits, one batch of it; for more it asks again, because sending may pass a quiescent state.
void Outbound::flush(const Peer& peer) {
  state_of(peer);
  if (staging_.waiting(peer.slot) == 0) return;
  const uint32_t stale = staging_.drop_older(peer.slot, now_ - std::min(now_, kStagedForMs));
  if (stale > 0) shared_.stats.count(Writer::outbound, Counter::tun_staged_overflow, stale);
  const Ways ways = peer.ways.load();
  while (staging_.waiting(peer.slot) > 0 && jobs_count_ < kBatch) {
    Session* session = usable_session(peer);
    if (session == nullptr) want_session(peer);
    if (session == nullptr || ways.count == 0) break;
    uint8_t* slot = slots_[jobs_count_];
    const size_t length = staging_.take(peer.slot, slot + kTransportHeaderBytes);
    add(peer, *session, {.slot = slot, .length = length, .ways = ways});
  }
  if (jobs_count_ == kBatch && staging_.waiting(peer.slot) > 0) shared_.work.ask(WorkBoard::Kind::flush, peer.slot);
  seal_and_send();
}

// Takes the next counter and stamps; an empty packet is a keepalive.
void Outbound::add(const Peer& peer, Session& session, const Job& job) {
  Job& added = jobs_[jobs_count_++] = job;
  added.session = &session;
  added.counter = session.send_counter++;
  shared_.stats.set(peer.slot, Stamp::send_counter, session.send_counter);
  shared_.stats.set(peer.slot, Stamp::authenticated_sent_at, now_);
  if (job.length > 0) {
    shared_.stats.set(peer.slot, Stamp::data_sent_at, now_);
    shared_.stats.add(peer.slot, Stamp::sent_bytes, job.length);
    shared_.stats.add(peer.slot, Stamp::sent_packets, 1);
  }
  shared_.note_traffic(exceptions_);
}

void Outbound::seal_and_send() {
  size_t count = 0;
  for (const Job& job : std::span(jobs_).first(jobs_count_)) {
    uint8_t* payload = job.slot + kTransportHeaderBytes;
    const size_t padding = padding_bytes(job.length, shared_.mtu);
    std::memset(payload + job.length, 0, padding);
    store_le<uint32_t>(job.slot, kTypeTransport);
    store_le<uint32_t>(job.slot + 4, job.session->remote_index);
    store_le<uint64_t>(job.slot + 8, job.counter);
    if (!job.session->send.seal(job.counter, payload, job.length + padding)) {
      shared_.stats.count(Writer::outbound, Counter::udp_send_errors);
      continue;
    }
    for (const Way& way : job.ways) datagrams_[count++] = {job.slot, kTransportMinBytes + job.length + padding, way};
  }
  jobs_count_ = 0;
  send(std::span(datagrams_).first(count));
}

// May pass a quiescent state: nothing looked up before may be used after.
void Outbound::send(std::span<const Datagram> datagrams) {
  int waits = 0;
  for (const Datagram& datagram : datagrams) {
    Udp::Sent sent = shared_.sockets.send(datagram);
    for (; sent == Udp::Sent::full && waits < kSendWaits && !shared_.is_stopping.load(); waits++) {
      wait_writable(datagram.way.socket);
      sent = shared_.sockets.send(datagram);
    }
    if (sent != Udp::Sent::yes) shared_.stats.count(Writer::outbound, Counter::udp_send_errors);
  }
}

// Offline meanwhile. A socket that control closes then ends the wait, or, when its descriptor is another's already, lengthens it.
void Outbound::wait_writable(uint16_t socket) {
  const Udp* found = shared_.sockets.find(socket);
  if (found == nullptr) return;
  pollfd writable{found->fd(), POLLOUT, 0};
  reader_.offline();
  ::poll(&writable, 1, kSendWaitMs);
  begin();
}

// As in WireGuard, a session past its time or its last counter counts as none.
Session* Outbound::usable_session(const Peer& peer) const {
  Session* session = peer.sealing();
  const bool is_usable = session != nullptr && now_ < session->expires_at && session->send_counter < kRejectAfterMessages;
  return is_usable ? session : nullptr;
}

// The slot's state, begun anew when it has a new peer: what waited for the old one is dropped.
Outbound::PeerState& Outbound::state_of(const Peer& peer) {
  PeerState& state = states_[peer.slot];
  if (state.id != peer.id) {
    staging_.drop_older(peer.slot, UINT64_MAX);
    state = {.id = peer.id, .wanted_at = 0};
  }
  return state;
}

}  // namespace mesh
