#include "udp.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "bytes.h"
#include "limits.h"
#include "wire.h"

namespace mesh {
namespace {

uint16_t to_network(uint16_t port) { return htons(port); }

void set_option(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); }

// The FORCE form passes rmem_max and wmem_max, but needs CAP_NET_ADMIN.
void set_buffer(int fd, int forced, int plain, int size) {
  if (::setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0) set_option(fd, SOL_SOCKET, plain, size);
}

Endpoint decode(const sockaddr_storage& from) {
  Endpoint endpoint;
  if (from.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    endpoint.ip.low = uint64_t{0xffff} << 32 | ntohl(v4.sin_addr.s_addr);
    endpoint.port = ntohs(v4.sin_port);
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
    endpoint.ip = address_v6(v6.sin6_addr.s6_addr);
    endpoint.port = ntohs(v6.sin6_port);
  }
  return endpoint;
}

}  // namespace

int Udp::open(uint16_t port, int receive_buffer_bytes) {
  constexpr int kType = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  family_ = AF_INET6;
  Fd fd(::socket(AF_INET6, kType, 0));
  if (!fd && errno == EAFNOSUPPORT) {
    family_ = AF_INET;
    fd.reset(::socket(AF_INET, kType, 0));
  }
  if (!fd) return errno;
  if (family_ == AF_INET6) {
    set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
    set_option(fd.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT);
  }
  // WANT: what exceeds the path's MTU leaves in fragments instead of failing.
  set_option(fd.get(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT);
  set_buffer(fd.get(), SO_RCVBUFFORCE, SO_RCVBUF, receive_buffer_bytes);
  set_buffer(fd.get(), SO_SNDBUFFORCE, SO_SNDBUF, kSocketBufferBytes);

  sockaddr_storage address{};
  socklen_t length = 0;
  if (family_ == AF_INET6) {
    auto& any = reinterpret_cast<sockaddr_in6&>(address);
    any.sin6_family = AF_INET6;
    any.sin6_port = to_network(port);
    length = sizeof any;
  } else {
    auto& any = reinterpret_cast<sockaddr_in&>(address);
    any.sin_family = AF_INET;
    any.sin_port = to_network(port);
    length = sizeof any;
  }
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return errno;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return errno;
  port_ = decode(address).port;
  fd_ = std::move(fd);
  return 0;
}

Udp::ReceiveResult Udp::receive(std::span<Datagram> slots) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> places;
  std::array<sockaddr_storage, kBatch> from;
  const size_t room = std::min(slots.size(), kBatch);
  for (size_t i = 0; i < room; i++) {
    places[i] = {slots[i].bytes, slots[i].length};
    messages[i].msg_hdr = {.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &places[i], .msg_iovlen = 1,
                           .msg_control = nullptr, .msg_controllen = 0, .msg_flags = 0};
  }
  int got = -1;
  do got = ::recvmmsg(fd_.get(), messages.data(), static_cast<unsigned>(room), MSG_DONTWAIT, nullptr);
  while (got < 0 && errno == EINTR);
  if (got < 0) return {0, errno};
  const auto count = static_cast<size_t>(got);
  for (size_t i = 0; i < count; i++) {
    slots[i].length = messages[i].msg_len;
    slots[i].way.endpoint = decode(from[i]);
  }
  // What stopped it early, an error included, shows at the next call.
  return {count, count < slots.size() ? EAGAIN : 0};
}

Udp::Sent Udp::send(const Datagram& datagram) {
  sockaddr_storage to{};
  const socklen_t to_length = encode(datagram.way.endpoint, to);
  if (to_length == 0) return Sent::impossible;
  ssize_t put = -1;
  if (!datagram.way.is_relayed && datagram.ttl == 0) {
    do put = ::sendto(fd_.get(), datagram.bytes, datagram.length, MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&to), to_length);
    while (put < 0 && errno == EINTR);
  } else {
    // The header from here and the datagram from where it was sealed: one datagram can leave behind two headers.
    uint8_t header[kRelayHeaderBytes];
    if (datagram.way.is_relayed) write_relay_header(header, kToRelay, datagram.way.relay);
    iovec parts[2] = {{header, sizeof header}, {datagram.bytes, datagram.length}};
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = {};
    const bool has_ttl = datagram.ttl != 0;
    msghdr message = {.msg_name = &to, .msg_namelen = to_length, .msg_iov = datagram.way.is_relayed ? parts : parts + 1,
                      .msg_iovlen = datagram.way.is_relayed ? 2u : 1u, .msg_control = has_ttl ? control : nullptr,
                      .msg_controllen = has_ttl ? sizeof control : 0, .msg_flags = 0};
    if (has_ttl) {
      // An IPv4 target is IPv4 also on a socket of both families: it takes IPv4's option, and ignores IPv6's.
      const bool is_v4 = is_ipv4_mapped(datagram.way.endpoint.ip);
      cmsghdr* const option = CMSG_FIRSTHDR(&message);
      option->cmsg_level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
      option->cmsg_type = is_v4 ? IP_TTL : IPV6_HOPLIMIT;
      option->cmsg_len = CMSG_LEN(sizeof(int));
      const int ttl = datagram.ttl;
      std::memcpy(CMSG_DATA(option), &ttl, sizeof ttl);
    }
    do put = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
  }
  if (put >= 0) return Sent::yes;
  return errno == EAGAIN ? Sent::full : Sent::impossible;
}

// 0 when the socket cannot reach the endpoint's family.
socklen_t Udp::encode(const Endpoint& endpoint, sockaddr_storage& to) const {
  if (family_ == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = to_network(endpoint.port);
    store_be(v6.sin6_addr.s6_addr, endpoint.ip.high);
    store_be(v6.sin6_addr.s6_addr + 8, endpoint.ip.low);
    return sizeof v6;
  }
  if (!is_ipv4_mapped(endpoint.ip)) return 0;
  auto& v4 = reinterpret_cast<sockaddr_in&>(to);
  v4.sin_family = AF_INET;
  v4.sin_port = to_network(endpoint.port);
  v4.sin_addr.s_addr = htonl(static_cast<uint32_t>(endpoint.ip.low));
  return sizeof v4;
}

}  // namespace mesh
