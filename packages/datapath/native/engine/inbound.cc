// The way of a packet in, one batch at a time:
//
// 1. a quiescent state, then this batch's table and handshake key
// 2. receive        UDP until it has nothing more, at most kBatch datagrams, some of them by further sockets; then this batch's time
// 3. demultiplex    by the first four bytes: transport data goes on to 5. What was relayed to us goes on as what it carries; what
//                   asks to be relayed is passed on, and that is all (relay.cc)
// 4. judge          handshakes and probes: the guard lets them through to JavaScript, drops them or answers with a cookie
// 5. open           index -> session, its time, replay window (a look), ChaCha20-Poly1305 in place, replay window (for good)
// 6. authenticated  stamps; a responder's first packet confirms its session; a roaming peer moves to where this came from,
//                   unless a relay brought it
// 7. deliverable    cut to the inner packet's length; its source must lead to the sender
// 8. follow moves   ways of peers that roamed, before anyone here can answer them; a peer's last packet in the batch counts
// 9. write          TUN; then what is relayed leaves, then the cookie replies; what a full socket does not take is lost
//
// Whatever fails a step is counted under one name and forgotten. When much of that comes, a batch is followed by a pause (limits.h).

#include "inbound.h"

#include <poll.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "clock.h"
#include "inner_packet.h"
#include "wire.h"

namespace mesh {
namespace {

// A socket reports passing errors (ICMP, memory) one receive at a time; so many without one datagram is a broken socket.
constexpr uint32_t kErrorsUntilBroken = 1'000;

}  // namespace

Inbound::Inbound(Shared& shared, const Evp& evp)
    : shared_(shared),
      reader_(shared.quiescence.reader(1)),
      events_(shared.exceptions.inbound()),
      handed_over_(shared.exceptions.datagrams()),
      guard_(evp, shared.contacts) {}

void Inbound::run() {
  while (!shared_.is_stopping.load()) {
    if (!pump()) wait();
  }
  reader_.offline();
}

bool Inbound::pump() {
  reader_.quiescent(shared_.quiescence);
  snapshot_ = shared_.snapshot.load();
  handshake_key_ = shared_.handshake_key.load();
  const size_t received = receive();
  now_us_ = boot_us();
  now_ = now_us_ / 1'000;

  size_t count = 0;
  useful_ = 0;
  for (Datagram& datagram : std::span(datagrams_).first(received)) count += take(datagram, packets_[count]);
  is_flooded_ = false;
  for (size_t i = useful_; i < received; i++) is_flooded_ |= !junk_.take(kJunk, now_);
  follow_moves();
  const size_t refused = shared_.tun.write(std::span(packets_).first(count));
  if (refused > 0) shared_.stats.count(Writer::inbound, Counter::tun_write_errors, refused);
  send(std::span(relayed_).first(std::exchange(relayed_count_, 0)));
  send(std::span(replies_).first(std::exchange(replies_count_, 0)));
  return has_more_;
}

void Inbound::wait() {
  reader_.offline();
  if (is_flooded_) {
    const timespec pause{0, (useful_ > 0 ? kPauseAmidJunkUs : kPauseAfterJunkUs) * 1'000};
    ::nanosleep(&pause, nullptr);
  }
  // Who opens the first of the further sockets wakes us, so that the next wait is for them, too.
  const bool has_further = shared_.sockets.has_further();
  pollfd waits[3] = {{shared_.sockets.first().fd(), POLLIN, 0}, {shared_.inbound_event.get(), POLLIN, 0}, {shared_.sockets.further_fd(), POLLIN, 0}};
  ::poll(waits, has_further ? 3 : 2, -1);
  if (waits[1].revents == 0) return;
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(shared_.inbound_event.get(), &count, sizeof count);
}

size_t Inbound::receive() {
  for (size_t i = 0; i < kBatch; i++) datagrams_[i] = {slots_[i], kSlotBytes, {}};
  const bool has_further = shared_.sockets.has_further();
  const size_t by_further = has_further ? shared_.sockets.receive_further(std::span(datagrams_).first(kFurtherShare)) : 0;
  const auto [by_first, error] = shared_.sockets.first().receive(std::span(datagrams_).subspan(by_further));
  errors_in_a_row_ = by_first > 0 || error == EAGAIN ? 0 : errors_in_a_row_ + 1;
  if (errors_in_a_row_ == kErrorsUntilBroken) shared_.fail(events_, "UDP socket", error);
  has_more_ = error != EAGAIN || by_further == kFurtherShare;
  return by_further + by_first;
}

// True when `packet` is to be delivered.
bool Inbound::take(Datagram& datagram, PacketView& packet) {
  DatagramKind kind = demultiplex(datagram.bytes, datagram.length);
  if (kind == DatagramKind::from_relay) {
    datagram.way.is_relayed = true;
    datagram.way.relay = read_relay_header(datagram.bytes);
    datagram.bytes += kRelayHeaderBytes;
    datagram.length -= kRelayHeaderBytes;
    kind = demultiplex(datagram.bytes, datagram.length);
    if (kind == DatagramKind::to_relay) return refuse(Counter::udp_malformed);
  }
  switch (kind) {
    case DatagramKind::malformed:
    case DatagramKind::from_relay: return refuse(Counter::udp_malformed);  // in another
    case DatagramKind::to_relay: pass_on(datagram); return false;
    case DatagramKind::handshake:
    case DatagramKind::control: judge(kind, datagram); return false;
    case DatagramKind::transport: return open(datagram, packet);
  }
  return false;
}

void Inbound::pass_on(Datagram& datagram) {
  if (const std::optional<Counter> cause = relay_.pass_on(datagram, shared_.relay.load(), *snapshot_, now_)) {
    refuse(*cause);
    return;
  }
  useful_++;
  shared_.stats.count(Writer::inbound, Counter::relayed_packets);
  shared_.stats.count(Writer::inbound, Counter::relayed_bytes, datagram.length - kRelayHeaderBytes);
  relayed_[relayed_count_++] = datagram;
}

void Inbound::judge(DatagramKind kind, const Datagram& datagram) {
  std::array<uint8_t, kCookieReplyBytes>& reply = reply_bytes_[replies_count_];
  const auto [verdict, cause] = guard_.judge(kind, datagram, handshake_key_, now_, reply);
  if (verdict == Guard::Verdict::pass) {
    useful_++;
    hand_over(datagram);
    return;
  }
  refuse(cause);
  if (verdict == Guard::Verdict::reply) replies_[replies_count_++] = {reply.data(), reply.size(), datagram.way};
}

void Inbound::hand_over(const Datagram& datagram) {
  Exception* exception = handed_over_.reserve(ExceptionKind::datagram);
  if (exception == nullptr) {
    refuse(Counter::exceptions_lost);
    return;
  }
  exception->from = datagram.way;
  exception->at = now_us_;
  exception->length = static_cast<uint16_t>(datagram.length);
  std::memcpy(exception->bytes, datagram.bytes, datagram.length);
  handed_over_.publish();
}

// True when `packet` is to be delivered.
bool Inbound::open(const Datagram& datagram, PacketView& packet) {
  Session* session = shared_.sessions.find(load_le<uint32_t>(datagram.bytes + 4));
  if (session == nullptr) return refuse(Counter::udp_unknown_session);
  const uint64_t counter = load_le<uint64_t>(datagram.bytes + 8);
  if (now_ >= session->expires_at || counter >= kRejectAfterMessages) return refuse(Counter::udp_expired_session);
  if (!session->replay.may_accept(counter)) return refuse(Counter::udp_replayed);
  packet = {datagram.bytes + kTransportHeaderBytes, datagram.length - kTransportMinBytes};
  if (!session->receive.open(counter, packet.bytes, packet.length)) return refuse(Counter::udp_not_authentic);
  session->replay.commit(counter);
  authenticated(*session, datagram.way, packet.length > 0);
  return packet.length > 0 && is_deliverable(*session->peer, packet);
}

void Inbound::authenticated(Session& session, const Way& from, bool is_data) {
  Peer& peer = *session.peer;
  useful_++;
  shared_.stats.set(peer.slot, Stamp::authenticated_received_at, now_);
  if (is_data) shared_.stats.set(peer.slot, Stamp::data_received_at, now_);
  shared_.note_traffic(events_);
  if (snapshot_->is_roaming(peer.slot) && !from.is_relayed) roam(peer, from);
  const bool confirms = !session.is_initiator && !session.confirmed.load(std::memory_order_relaxed) && peer.next.load() == &session;
  if (!confirms) return;
  // From here on what waited can leave: to where the peer is now, and under this session.
  store_moves();
  confirm(session);
  ask_for_arrived();
}

void Inbound::roam(Peer& peer, const Way& from) {
  const bool follows_last = moves_count_ > 0 && moves_[moves_count_ - 1].peer == &peer;
  if (!follows_last) moves_count_++;
  moves_[moves_count_ - 1] = {&peer, from};
}

// It stays unconfirmed until JavaScript can be told: the next packet tries again.
void Inbound::confirm(Session& session) {
  Exception* exception = events_.reserve(ExceptionKind::session_confirmed);
  if (exception == nullptr) {
    refuse(Counter::exceptions_lost);
    return;
  }
  session.confirmed.store(true, std::memory_order_release);
  exception->slot = session.peer->slot;
  exception->local_index = session.local_index;
  events_.publish();
  shared_.work.ask(WorkBoard::Kind::flush, session.peer->slot);
}

bool Inbound::is_deliverable(const Peer& sender, PacketView& packet) {
  InnerPacket inner;
  if (!parse_inner(packet.bytes, packet.length, inner)) return refuse(Counter::udp_inner_malformed);
  if (snapshot_->peer(snapshot_->routes.find(inner.version, inner.source)) != &sender) {
    return refuse(Counter::udp_source_not_allowed);
  }
  packet.length = inner.length;
  shared_.stats.add(sender.slot, Stamp::received_bytes, inner.length);
  shared_.stats.add(sender.slot, Stamp::received_packets, 1);
  return true;
}

void Inbound::follow_moves() {
  store_moves();
  ask_for_arrived();
}

// Where control is setting ways at this moment, the peer's next packet moves it.
void Inbound::store_moves() {
  for (const Move& move : std::span(moves_).first(moves_count_)) {
    const Ways before = move.peer->ways.load();
    const bool is_there = before.count == 1 && before.all[0] == move.to;
    if (is_there || !move.peer->ways.try_store({1, {move.to}})) continue;
    shared_.contacts.note(shared_.contacts.key_of(move.to.endpoint), now_);
    if (before.count == 0) arrived_[arrived_count_++] = move.peer->slot;
  }
  moves_count_ = 0;
}

// What waited for a way of theirs leaves.
void Inbound::ask_for_arrived() {
  for (const uint16_t slot : std::span(arrived_).first(arrived_count_)) shared_.work.ask(WorkBoard::Kind::flush, slot);
  arrived_count_ = 0;
}

void Inbound::send(std::span<const Datagram> datagrams) {
  for (const Datagram& datagram : datagrams) {
    if (shared_.sockets.send(datagram) != Udp::Sent::yes) shared_.stats.count(Writer::inbound, Counter::udp_send_errors);
  }
}

bool Inbound::refuse(Counter cause) {
  shared_.stats.count(Writer::inbound, cause);
  return false;
}

}  // namespace mesh
