// throw-datagrams ADDRESS PORT PER_SECOND SECONDS PAYLOAD_HEX
//
// Sends the payload as UDP over IPv4, each time from another forged address and port, at an even pace, and prints how many
// it sent. Needs CAP_NET_RAW.

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

namespace {

constexpr size_t kBatch = 64;
constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kPause = kSecond / 1'000;

uint64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec);
}

// xorshift64*
uint64_t next_random() {
  static uint64_t state = 0x9e3779b97f4a7c15;
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1d;
}

// Any unicast address but those of this host's loopback and of the lab (198.18.0.0/15).
uint32_t forged_address() {
  for (;;) {
    const auto address = static_cast<uint32_t>(next_random() >> 32);
    const uint32_t top = address >> 24;
    if (top >= 1 && top < 224 && top != 127 && top != 198) return address;
  }
}

struct Packet {
  std::vector<uint8_t> bytes;
  iovec place;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 6) return 2;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if (inet_pton(AF_INET, arguments[1], &to.sin_addr) != 1) return 2;
  const auto port = static_cast<uint16_t>(std::atoi(arguments[2]));
  const auto per_second = static_cast<uint64_t>(std::atoll(arguments[3]));
  const auto seconds = static_cast<uint64_t>(std::atoll(arguments[4]));
  const size_t payload = std::strlen(arguments[5]) / 2;

  std::array<Packet, kBatch> packets;
  std::array<mmsghdr, kBatch> messages{};
  for (size_t i = 0; i < kBatch; i++) {
    Packet& packet = packets[i];
    packet.bytes.resize(sizeof(iphdr) + sizeof(udphdr) + payload);
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.tot_len = htons(static_cast<uint16_t>(packet.bytes.size()));
    ip.ttl = 64;
    ip.protocol = IPPROTO_UDP;
    ip.daddr = to.sin_addr.s_addr;
    udphdr udp{};
    udp.uh_dport = htons(port);
    udp.uh_ulen = htons(static_cast<uint16_t>(sizeof udp + payload));  // no checksum: RFC 768 allows it
    std::memcpy(packet.bytes.data(), &ip, sizeof ip);
    std::memcpy(packet.bytes.data() + sizeof ip, &udp, sizeof udp);
    for (size_t at = 0; at < payload; at++) {
      unsigned value = 0;
      if (std::sscanf(arguments[5] + 2 * at, "%2x", &value) != 1) return 2;
      packet.bytes[sizeof ip + sizeof udp + at] = static_cast<uint8_t>(value);
    }
    packet.place = {packet.bytes.data(), packet.bytes.size()};
    messages[i].msg_hdr.msg_name = &to;
    messages[i].msg_hdr.msg_namelen = sizeof to;
    messages[i].msg_hdr.msg_iov = &packet.place;
    messages[i].msg_hdr.msg_iovlen = 1;
  }

  const int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (fd < 0) {
    std::perror("raw socket");
    return 1;
  }
  const uint64_t started_at = now();
  uint64_t sent = 0;
  for (;;) {
    const uint64_t elapsed = now() - started_at;
    if (elapsed >= seconds * kSecond) break;
    // What is due and could not be sent in time is not made up for in one burst.
    const uint64_t due = elapsed * per_second / kSecond;
    if (due > sent + per_second / 10) sent = due - per_second / 10;
    while (sent < due) {
      const size_t batch = std::min<uint64_t>(kBatch, due - sent);
      for (size_t i = 0; i < batch; i++) {
        const uint32_t source = htonl(forged_address());
        const auto source_port = htons(static_cast<uint16_t>(1'024 + next_random() % 60'000));
        std::memcpy(packets[i].bytes.data() + 12, &source, sizeof source);
        std::memcpy(packets[i].bytes.data() + sizeof(iphdr), &source_port, sizeof source_port);
      }
      const int put = sendmmsg(fd, messages.data(), static_cast<unsigned>(batch), 0);
      sent += put > 0 ? static_cast<uint64_t>(put) : batch;
    }
    const timespec pause{0, static_cast<long>(kPause)};
    nanosleep(&pause, nullptr);
  }
  std::printf("%llu\n", static_cast<unsigned long long>(sent));
}
