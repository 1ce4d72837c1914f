// Who may touch what:
//
//   control (this file)   makes, links, unlinks and frees peers, sessions, sockets and snapshots; the only writer of every link
//   outbound, inbound     follow links inside one batch; own their halves of a session; inbound confirms it
//
// Freeing is always: unlink, Quiescence::synchronize, delete.

#include "engine.h"

#include <signal.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "clock.h"

namespace mesh {
namespace {

constexpr size_t kStackBytes = 256 * 1024;

template <typename Pump>
void* run_pump(void* pump) {
  static_cast<Pump*>(pump)->run();
  return nullptr;
}

// Starts a thread that no signal is delivered to. 0 or errno.
int start_thread(pthread_t& thread, const char* name, void* (*run)(void*), void* argument) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  const int error = pthread_create(&thread, &attributes, run, argument);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) pthread_setname_np(thread, name);
  return error;
}

}  // namespace

Engine::Engine(const Waker& waker, uint64_t* stats_words, size_t mtu)
    : shared_(waker, stats_words, mtu), snapshot_(std::make_unique<Snapshot>()), peers_(kMaxPeers) {
  shared_.snapshot.store(snapshot_.get());
}

Engine::~Engine() { stop(); }

OpenFault Engine::open(const char* tun_name, uint16_t udp_port) {
  if (const OpenFault fault = open_aead(); fault.stage != OpenStage::none) return fault;
  if (const int error = shared_.sockets.open_first(udp_port); error != 0) return {OpenStage::udp, error};
  if (const int error = shared_.tun.open(tun_name); error != 0) return {OpenStage::tun, error};
  return start();
}

OpenFault Engine::open_with(Fd tun, uint16_t udp_port) {
  if (const OpenFault fault = open_aead(); fault.stage != OpenStage::none) return fault;
  if (const int error = shared_.sockets.open_first(udp_port); error != 0) return {OpenStage::udp, error};
  shared_.tun.adopt(std::move(tun));
  return start();
}

OpenFault Engine::open_aead() {
  evp_ = Evp::find();
  return evp_ == nullptr ? OpenFault{OpenStage::aead, ENOSYS} : OpenFault{};
}

OpenFault Engine::start() {
  shared_.inbound_event.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared_.inbound_event || !shared_.work.open()) return {OpenStage::threads, errno};
  outbound_ = std::make_unique<Outbound>(shared_);
  inbound_ = std::make_unique<Inbound>(shared_, *evp_);
  int error = start_thread(threads_[0], "mesh-out", run_pump<Outbound>, outbound_.get());
  if (error != 0) return {OpenStage::threads, error};
  threads_count_ = 1;
  error = start_thread(threads_[1], "mesh-in", run_pump<Inbound>, inbound_.get());
  if (error != 0) return {OpenStage::threads, error};
  threads_count_ = 2;
  return {};
}

void Engine::set_handshake_key(std::span<const uint8_t> public_key) {
  auto key = std::make_unique<const HandshakeKey>(++last_key_id_, public_key);
  shared_.handshake_key.store(key.get());
  shared_.quiescence.synchronize();
  handshake_key_ = std::move(key);
}

void Engine::publish(const Table& wanted) {
  auto table = std::make_unique<Snapshot>();
  std::vector<bool> stays(kMaxPeers);
  for (const uint16_t slot : wanted.slots) {
    stays[slot] = true;
    if (peers_[slot] == nullptr) peers_[slot] = std::make_unique<Peer>(slot, ++last_peer_id_);
    if (table->peers.size() <= slot) table->peers.resize(slot + 1u);
    table->peers[slot] = peer(slot);
  }
  for (const uint16_t slot : wanted.roaming) {
    if (table->roaming.size() <= slot) table->roaming.resize(slot + 1u);
    table->roaming[slot] = true;
  }
  for (const Route& route : wanted.routes) table->routes.insert(route.version, route.address, route.length, route.slot);

  shared_.snapshot.store(table.get());
  std::vector<std::unique_ptr<Peer>> gone;
  std::vector<Session*> retired;
  for (uint16_t slot = 0; slot < kMaxPeers; slot++) {
    if (peers_[slot] == nullptr || stays[slot]) continue;
    for (Session* session : {peers_[slot]->current.load(), peers_[slot]->next.load(), peers_[slot]->previous}) {
      retire(session, retired);
    }
    gone.push_back(std::move(peers_[slot]));
  }
  shared_.quiescence.synchronize();
  for (Session* session : retired) delete session;
  for (const auto& peer : gone) shared_.stats.clear(peer->slot);
  snapshot_ = std::move(table);
}

bool Engine::set_ways(uint16_t slot, const Ways& ways) {
  if (peer(slot) == nullptr) return false;
  peer(slot)->ways.store(ways);
  for (const Way& way : ways) shared_.contacts.note(shared_.contacts.key_of(way.endpoint), boot_ms());
  if (ways.count > 0) shared_.work.ask(WorkBoard::Kind::flush, slot);
  return true;
}

void Engine::set_relay(std::span<const RelayMember> members, uint64_t bytes_per_second) {
  std::vector<uint64_t> stays(kMaxPeers);
  if (relay_ != nullptr) {
    for (const RelayMember& member : relay_->members()) stays[member.slot] = member.since;
  }
  std::vector<RelayMember> all(members.begin(), members.end());
  for (RelayMember& member : all) member.since = stays[member.slot] != 0 ? stays[member.slot] : ++last_relay_stay_;
  auto table = std::make_unique<const RelayTable>(all, bytes_per_second);
  shared_.relay.store(table.get());
  shared_.quiescence.synchronize();
  relay_ = std::move(table);
}

// The three places a session can be in, and what an installed one does to the others, are WireGuard's (whitepaper 5.4.4
// and 6.3; wireguard-go's BeginSymmetricSession does the same): when both ends initiate at once, both keep both.
bool Engine::install(const SessionKeys& keys) {
  Peer* owner = peer(keys.slot);
  if (owner == nullptr || shared_.sessions.find(keys.local_index) != nullptr) return false;
  auto session = std::make_unique<Session>(*evp_, keys.send_key, keys.receive_key);
  if (!session->is_usable()) return false;
  session->peer = owner;
  session->local_index = keys.local_index;
  session->remote_index = keys.remote_index;
  session->is_initiator = keys.is_initiator;
  session->expires_at = keys.expires_at;

  settle(*owner);
  Session* added = session.release();
  shared_.sessions.insert(added);
  std::vector<Session*> retired;
  retire(owner->previous, retired);
  owner->previous = nullptr;
  Session* next = owner->next.load();
  if (keys.is_initiator) {
    Session* current = owner->current.load();
    owner->previous = next != nullptr ? next : current;
    if (next != nullptr) retire(current, retired);
    owner->current.store(added);
    owner->next.store(nullptr);
  } else {
    retire(next, retired);
    owner->next.store(added);
  }
  release(retired);
  shared_.work.ask(WorkBoard::Kind::flush, keys.slot);
  return true;
}

bool Engine::drop(uint32_t local_index) {
  Session* session = shared_.sessions.find(local_index);
  if (session == nullptr) return false;
  Peer& owner = *session->peer;
  settle(owner);
  if (owner.current.load() == session) owner.current.store(nullptr);
  if (owner.next.load() == session) owner.next.store(nullptr);
  if (owner.previous == session) owner.previous = nullptr;
  std::vector<Session*> retired;
  retire(session, retired);
  const uint16_t slot = owner.slot;
  release(retired);
  shared_.work.ask(WorkBoard::Kind::flush, slot);
  return true;
}

bool Engine::send_keepalive(uint16_t slot) {
  if (peer(slot) == nullptr) return false;
  shared_.work.ask(WorkBoard::Kind::keepalive, slot);
  return true;
}

void Engine::send_datagram(const Way& way, std::span<uint8_t> bytes, uint8_t ttl) {
  shared_.contacts.keep(shared_.contacts.key_of(way.endpoint), boot_ms());
  const Datagram datagram{bytes.data(), bytes.size(), way, ttl};
  if (shared_.sockets.send(datagram) != Udp::Sent::yes) shared_.stats.count(Writer::control, Counter::udp_send_errors);
}

std::vector<uint16_t> Engine::open_sockets(size_t count) {
  std::vector<uint16_t> opened = shared_.sockets.open_further(count);
  if (!opened.empty()) shared_.wake_inbound();
  return opened;
}

void Engine::close_sockets(std::span<const uint16_t> sockets) {
  std::vector<std::unique_ptr<Udp>> closing;
  for (const uint16_t number : sockets) {
    if (auto socket = shared_.sockets.unlink(number)) closing.push_back(std::move(socket));
  }
  if (!closing.empty()) shared_.quiescence.synchronize();
}

void Engine::stop() {
  if (threads_count_ > 0) shared_.stop();
  for (; threads_count_ > 0; threads_count_--) pthread_join(threads_[threads_count_ - 1], nullptr);
  // With them go copies of packets and the cookie secret.
  outbound_.reset();
  inbound_.reset();
  shared_.tun.close();
  shared_.sockets.close_all();
  publish({});
}

// Where inbound has confirmed `next`, moves it to its place.
void Engine::settle(Peer& peer) {
  Session* next = peer.next.load();
  if (next == nullptr || !next->confirmed.load(std::memory_order_acquire)) return;
  // `previous` is empty whenever `next` is not: installing a responder's session sees to it.
  peer.previous = peer.current.load();
  peer.current.store(next);
  peer.next.store(nullptr);
}

void Engine::retire(Session* session, std::vector<Session*>& retired) {
  if (session == nullptr) return;
  shared_.sessions.remove(session);
  retired.push_back(session);
}

void Engine::release(std::span<Session* const> retired) {
  if (retired.empty()) return;
  shared_.quiescence.synchronize();
  for (Session* session : retired) delete session;
}

}  // namespace mesh
