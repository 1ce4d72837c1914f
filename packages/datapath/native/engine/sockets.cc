#include "sockets.h"

#include <algorithm>
#include <cerrno>

namespace mesh {

int Sockets::open_first(uint16_t port) {
  if (const int error = first_.open(port); error != 0) return error;
  further_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!further_) return errno;
  by_number_[0].store(&first_);
  return 0;
}

size_t Sockets::receive_further(std::span<Datagram> slots) const {
  std::array<epoll_event, kFurtherShare> ready;
  const int count = ::epoll_wait(further_.get(), ready.data(), static_cast<int>(std::min(slots.size(), ready.size())), 0);
  size_t filled = 0;
  for (int i = 0; i < count && filled < slots.size(); i++) {
    const auto number = static_cast<uint16_t>(ready[static_cast<size_t>(i)].data.u32);
    Udp* socket = find(number);
    if (socket == nullptr) continue;
    // What stopped it, an error included, shows at the next call or is gone then.
    const size_t received = socket->receive(slots.subspan(filled)).count;
    for (Datagram& datagram : slots.subspan(filled, received)) datagram.way.socket = number;
    filled += received;
  }
  return filled;
}

std::vector<uint16_t> Sockets::open_further(size_t count) {
  std::vector<uint16_t> opened;
  for (uint16_t number = 1; number < kMaxSockets && opened.size() < count; number++) {
    if (find(number) != nullptr) continue;
    auto socket = std::make_unique<Udp>();
    if (socket->open(0, kFurtherSocketBufferBytes) != 0) break;
    epoll_event event{.events = EPOLLIN, .data = {.u32 = number}};
    if (::epoll_ctl(further_.get(), EPOLL_CTL_ADD, socket->fd(), &event) != 0) break;
    by_number_[number].store(socket.release());
    opened.push_back(number);
  }
  further_count_.fetch_add(static_cast<uint32_t>(opened.size()));
  return opened;
}

std::unique_ptr<Udp> Sockets::unlink(uint16_t socket) {
  if (socket == 0 || find(socket) == nullptr) return nullptr;
  std::unique_ptr<Udp> unlinked(by_number_[socket].exchange(nullptr));
  ::epoll_ctl(further_.get(), EPOLL_CTL_DEL, unlinked->fd(), nullptr);
  further_count_.fetch_sub(1);
  return unlinked;
}

void Sockets::close_all() {
  for (uint16_t number = 1; number < kMaxSockets; number++) unlink(number);
  by_number_[0].store(nullptr);
  first_ = Udp();
  further_.reset();
}

}  // namespace mesh
