// wire <socket> <namespace> <first end's namespace> <its device> <second end's namespace> <its device>
//
// A cable that delays, loses and reorders Ethernet frames: netem for kernels without it. Each end's device is one of a veth pair
// whose other one, `end0` or `end1`, is in the wire's own namespace; hosts so have devices like any other, and not TAP devices,
// which look like tunnels. Flow of a frame:
//   1. read from the packet socket on one of these
//   2. cut, loss (independent, then bursts), room in the queue of the rate limit: counted and forgotten
//   3. due = now + wait for the rate + delay + jitter + reordering; kept in a heap by due
//   4. written to the packet socket on the other one when due
//
// Whoever connects to the socket writes one flat JSON object of numbers a line and gets one line back: settings and counters of
// both directions. Keys that are given change at once, for "direction" 0 (first end to second), 1 (back), or both if it is not
// given. `carrier` 0 or 1 belongs to the ends. Ends when it is killed.

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr const char* kEnds[] = {"end0", "end1"};
constexpr double kNanosPerMilli = 1e6;
constexpr int64_t kNanosPerSecond = 1'000'000'000;
// Largest frame: a veth device's MTU can be raised to nearly this.
constexpr size_t kFrameBytes = 65'550;
// Of a packet socket: what arrives while this process is not scheduled.
constexpr int kReceiveBytes = 16 << 20;
// Frames read from one end before the other one has its turn.
constexpr int kBatch = 64;
// Frames under way in one direction: 100 Mbit/s of full frames for 12 s. More are lost, and counted as `full`.
constexpr size_t kMostFrames = 100'000;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "wire: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

// Probabilities are 0 to 1. Meaning and ranges: ../wire-settings.ts, which also checks them.
struct Settings {
  double delayMs = 0;
  double jitterMs = 0;
  double keepOrder = 0;
  double loss = 0;
  double burstEnter = 0;
  double burstLeave = 1;
  double reorder = 0;
  double reorderMs = 0;
  double rateMbit = 0;
  double queueMs = 50;
  double cut = 0;
};

constexpr std::pair<const char*, double Settings::*> kSettings[] = {
    {"delayMs", &Settings::delayMs},       {"jitterMs", &Settings::jitterMs},     {"keepOrder", &Settings::keepOrder},
    {"loss", &Settings::loss},             {"burstEnter", &Settings::burstEnter}, {"burstLeave", &Settings::burstLeave},
    {"reorder", &Settings::reorder},       {"reorderMs", &Settings::reorderMs},   {"rateMbit", &Settings::rateMbit},
    {"queueMs", &Settings::queueMs},       {"cut", &Settings::cut},
};

struct Counters {
  uint64_t frames = 0;     // came in
  uint64_t delivered = 0;  // went out
  uint64_t lost = 0;       // by independent loss
  uint64_t bursts = 0;     // times the bad state was entered
  uint64_t burstLost = 0;  // by the bad state
  uint64_t full = 0;       // no room in the queue of the rate limit
  uint64_t cut = 0;        // while cut, or under way when it was cut
};

constexpr std::pair<const char*, uint64_t Counters::*> kCounters[] = {
    {"frames", &Counters::frames}, {"delivered", &Counters::delivered}, {"lost", &Counters::lost}, {"bursts", &Counters::bursts},
    {"burstLost", &Counters::burstLost}, {"full", &Counters::full}, {"cut", &Counters::cut},
};

struct Frame {
  int64_t due;
  uint64_t number;
  std::vector<uint8_t> bytes;
  // Heaps are of the greatest: the first due, and of these the first that came.
  bool operator<(const Frame& other) const { return due != other.due ? due > other.due : number > other.number; }
};

// One direction: frames that came from one end on their way to the other.
class Direction {
 public:
  explicit Direction(uint64_t seed) : random_(seed) {}

  Settings settings;
  Counters counters;

  void seed(uint64_t seed) { random_.seed(seed); }

  // What is under way does not arrive.
  void drop_all() {
    counters.cut += frames_.size();
    frames_ = {};
  }

  void accept(const uint8_t* bytes, size_t length, int64_t now) {
    counters.frames++;
    if (settings.cut != 0) {
      counters.cut++;
      return;
    }
    if (is_lost()) return;
    int64_t due = now;
    if (settings.rateMbit > 0) {
      const int64_t start = std::max(now, free_at_);
      if (start - now > static_cast<int64_t>(settings.queueMs * kNanosPerMilli)) {
        counters.full++;
        return;
      }
      // 1 Mbit/s is one bit in 1,000 ns.
      free_at_ = start + static_cast<int64_t>(static_cast<double>(length) * 8'000 / settings.rateMbit);
      due = free_at_;
    }
    if (frames_.size() >= kMostFrames) {
      counters.full++;
      return;
    }
    due = std::max(due, due + static_cast<int64_t>(extra_delay() * kNanosPerMilli));
    if (settings.keepOrder != 0) due = std::max(due, last_due_);
    last_due_ = std::max(due, last_due_);
    frames_.push({due, number_++, {bytes, bytes + length}});
  }

  void deliver(int end, int64_t now) {
    while (!frames_.empty() && frames_.top().due <= now) {
      const std::vector<uint8_t>& bytes = frames_.top().bytes;
      // An end that is down refuses.
      if (::send(end, bytes.data(), bytes.size(), 0) > 0) counters.delivered++;
      frames_.pop();
    }
  }

  // Nanoseconds from now until a frame is due; negative when there is none.
  int64_t wait(int64_t now) const { return frames_.empty() ? -1 : std::max<int64_t>(0, frames_.top().due - now); }

 private:
  double draw() { return std::uniform_real_distribution<double>(0, 1)(random_); }

  bool is_lost() {
    if (settings.loss > 0 && draw() < settings.loss) {
      counters.lost++;
      return true;
    }
    if (settings.burstEnter == 0) return bad_ = false;
    // Gilbert-Elliott: everything is lost in the bad state, nothing in the good one.
    const bool was_bad = bad_;
    bad_ = bad_ ? draw() >= settings.burstLeave : draw() < settings.burstEnter;
    if (!bad_) return false;
    if (!was_bad) counters.bursts++;
    counters.burstLost++;
    return true;
  }

  double extra_delay() {
    double delay = settings.delayMs;
    if (settings.jitterMs > 0) delay += (2 * draw() - 1) * settings.jitterMs;
    if (settings.reorder > 0 && draw() < settings.reorder) delay += settings.reorderMs;
    return delay;
  }

  std::mt19937_64 random_;
  std::priority_queue<Frame> frames_;
  uint64_t number_ = 0;
  int64_t free_at_ = 0;
  int64_t last_due_ = 0;
  bool bad_ = false;
};

struct Wire {
  // Packet sockets.
  int ends[2];
  Direction directions[2]{Direction(std::random_device{}()), Direction(std::random_device{}())};
};

void enter(const char* namespace_name) {
  const std::string path = std::string("/run/netns/") + namespace_name;
  const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0 || ::setns(handle, CLONE_NEWNET) != 0) fail(path);
  ::close(handle);
}

ifreq name_device(const char* device) {
  ifreq request{};
  if (std::strlen(device) >= sizeof request.ifr_name) errno = ENAMETOOLONG, fail(device);
  std::strcpy(request.ifr_name, device);
  return request;
}

// Frames then come with their checksums and no longer than the MTU, as on a real cable.
void stop_offloading(const char* device) {
  ethtool_value off{ETHTOOL_STXCSUM, 0};
  ifreq request = name_device(device);
  request.ifr_data = &off;
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::ioctl(fd, SIOCETHTOOL, &request) != 0) fail(device);
  ::close(fd);
}

// The other device of the pair sees it as its carrier.
void set_up(int fd, const char* device, bool up) {
  ifreq request = name_device(device);
  if (::ioctl(fd, SIOCGIFFLAGS, &request) != 0) fail(device);
  request.ifr_flags = static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
  if (::ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail(device);
}

int open_end(const char* device) {
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("packet socket");
  const int on = 1;
  ifreq request = name_device(device);
  if (::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes) != 0 || ::ioctl(fd, SIOCGIFINDEX, &request) != 0) {
    fail(device);
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = request.ifr_ifindex;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail(device);
  set_up(fd, device, true);
  return fd;
}

int listen_at(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof address.sun_path) errno = ENAMETOOLONG, fail(path);
  std::strcpy(address.sun_path, path);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 8) != 0) fail(path);
  return fd;
}

// A flat JSON object of numbers, as pairs. False when it is anything else.
bool parse_object(const std::string& line, std::vector<std::pair<std::string, double>>& pairs) {
  const char* at = line.c_str();
  const auto skip = [&at](char wanted) {
    while (*at == ' ') at++;
    return *at == wanted && at++ != nullptr;
  };
  if (!skip('{')) return false;
  if (skip('}')) return *at == '\0';
  do {
    if (!skip('"')) return false;
    const char* end = std::strchr(at, '"');
    if (end == nullptr) return false;
    std::string key(at, end);
    at = end + 1;
    if (!skip(':')) return false;
    char* rest = nullptr;
    const double value = std::strtod(at, &rest);
    if (rest == at) return false;
    at = rest;
    pairs.emplace_back(std::move(key), value);
  } while (skip(','));
  return skip('}') && *at == '\0';
}

bool change(Wire& wire, const std::string& key, double value, double wanted) {
  if (key == "direction") return true;
  if (key == "carrier") {
    for (int i = 0; i < 2; i++) set_up(wire.ends[i], kEnds[i], value != 0);
    return true;
  }
  for (int i = 0; i < 2; i++) {
    Direction& direction = wire.directions[i];
    if (wanted >= 0 && wanted != i) continue;
    if (key == "seed") {
      direction.seed(static_cast<uint64_t>(value) + static_cast<uint64_t>(i));
      continue;
    }
    const auto known = std::find_if(std::begin(kSettings), std::end(kSettings), [&key](const auto& one) { return key == one.first; });
    if (known == std::end(kSettings)) return false;
    direction.settings.*known->second = value;
    if (key == "cut" && value != 0) direction.drop_all();
  }
  return true;
}

template <typename Values, typename Table>
std::string format_object(const Values& values, const Table& table) {
  std::string text;
  for (const auto& [name, member] : table) {
    char pair[64];
    std::snprintf(pair, sizeof pair, "%s\"%s\":%.15g", text.empty() ? "{" : ",", name, static_cast<double>(values.*member));
    text += pair;
  }
  return text + "}";
}

std::string answer(Wire& wire, const std::string& line) {
  std::vector<std::pair<std::string, double>> pairs;
  if (!parse_object(line, pairs)) return "{\"error\":\"not a flat JSON object of numbers\"}\n";
  double direction = -1;
  for (const auto& [key, value] : pairs) {
    if (key == "direction") direction = value;
  }
  for (const auto& [key, value] : pairs) {
    if (!change(wire, key, value, direction)) return "{\"error\":\"no setting " + key + "\"}\n";
  }
  std::string text = "{\"directions\":[";
  for (const Direction& one : wire.directions) {
    if (&one != wire.directions) text += ",";
    text += "{\"settings\":" + format_object(one.settings, kSettings) + ",\"counters\":" + format_object(one.counters, kCounters) + "}";
  }
  return text + "]}\n";
}

struct Client {
  int fd;
  std::string unread;
};

// False when the client is gone.
bool serve(Wire& wire, Client& client) {
  char bytes[4096];
  const ssize_t got = ::read(client.fd, bytes, sizeof bytes);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  client.unread.append(bytes, static_cast<size_t>(got));
  for (size_t end = client.unread.find('\n'); end != std::string::npos; end = client.unread.find('\n')) {
    const std::string text = answer(wire, client.unread.substr(0, end));
    client.unread.erase(0, end + 1);
    if (::send(client.fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) return false;
  }
  return true;
}

[[noreturn]] void run(Wire& wire, int listener) {
  std::vector<uint8_t> bytes(kFrameBytes);
  std::vector<Client> clients;
  for (;;) {
    std::vector<pollfd> watched = {{wire.ends[0], POLLIN, 0}, {wire.ends[1], POLLIN, 0}, {listener, POLLIN, 0}};
    for (const Client& client : clients) watched.push_back({client.fd, POLLIN, 0});
    const int64_t now = now_ns();
    const int64_t waits[2] = {wire.directions[0].wait(now), wire.directions[1].wait(now)};
    const int64_t wait = waits[0] < 0 ? waits[1] : waits[1] < 0 ? waits[0] : std::min(waits[0], waits[1]);
    const timespec timeout{wait / kNanosPerSecond, wait % kNanosPerSecond};
    if (::ppoll(watched.data(), watched.size(), wait < 0 ? nullptr : &timeout, nullptr) < 0 && errno != EINTR) fail("poll");

    for (int i = 0; i < 2; i++) {
      for (int n = 0; n < kBatch; n++) {
        const ssize_t got = ::recv(wire.ends[i], bytes.data(), bytes.size(), 0);
        if (got <= 0) break;
        wire.directions[i].accept(bytes.data(), static_cast<size_t>(got), now_ns());
      }
    }
    for (int i = 0; i < 2; i++) wire.directions[i].deliver(wire.ends[1 - i], now_ns());

    const size_t known = clients.size();
    if ((watched[2].revents & POLLIN) != 0) {
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) clients.push_back({fd, {}});
    }
    for (size_t i = known; i-- > 0;) {
      if (watched[3 + i].revents == 0 || serve(wire, clients[i])) continue;
      ::close(clients[i].fd);
      clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: wire <socket> <namespace> <namespace> <device> <namespace> <device>\n");
    return 2;
  }
  // Timers of ordinary processes are up to 50 us late.
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  Wire wire{};
  for (int i = 0; i < 2; i++) {
    enter(argv[3 + 2 * i]);
    stop_offloading(argv[4 + 2 * i]);
  }
  enter(argv[2]);
  for (int i = 0; i < 2; i++) wire.ends[i] = open_end(kEnds[i]);
  // Last: who can connect may use the wire.
  run(wire, listen_at(argv[1]));
}
