// What becomes of a datagram that asks to be relayed:
//
// 1. members    its header names two of them, not one twice, with the sender's pass; it came from where the sender's own packets
//               go; what it carries is not for a relay again                                      no: relay_not_allowed
// 2. way        the receiver has one, and it is straight: one hop only                            no: relay_no_way
// 3. budget     of the sender, in bytes with the header                                           no: relay_over_limit
// 4. passed on  under the other kind and without the pass
//
// The same as core's engine/relay-desk.ts. It costs a look into two tables, and wakes nobody.

#include "relay.h"

#include <algorithm>

#include "wire.h"

namespace mesh {

RelayTable::RelayTable(std::span<const RelayMember> members, uint64_t bytes_per_second)
    : members_(members.begin(), members.end()), bytes_per_second_(bytes_per_second) {
  for (size_t i = 0; i < members_.size(); i++) {
    const uint16_t number = members_[i].number;
    if (by_number_.size() <= number) by_number_.resize(number + 1u);
    by_number_[number] = static_cast<uint16_t>(i + 1);
  }
}

bool RelayBudget::take(const RelayMember& member, uint64_t bytes_per_second, size_t bytes, uint64_t now) {
  constexpr uint64_t kThousandths = 1'000;
  if (bytes_per_second == 0) return false;
  // At most 2^53 bytes a second (native.ts): no product here overflows.
  const uint64_t most = std::max(bytes_per_second * kRelayBurstMs / 1'000, kRelaySmallestBurstBytes) * kThousandths;
  if (since_ != member.since) {
    since_ = member.since;
    left_ = most;
    at_ = now;
  }
  left_ = std::min(left_, most);
  const uint64_t quiet = now - at_;
  left_ = quiet > (most - left_) / bytes_per_second ? most : left_ + quiet * bytes_per_second;
  at_ = now;
  if (left_ < bytes * kThousandths) return false;
  left_ -= bytes * kThousandths;
  return true;
}

std::optional<Counter> Relay::pass_on(Datagram& datagram, const RelayTable* table, const Snapshot& snapshot, uint64_t now) {
  const RelayHeader header = read_relay_header(datagram.bytes);
  const RelayMember* from = table == nullptr ? nullptr : table->find(header.from);
  const RelayMember* to = table == nullptr ? nullptr : table->find(header.to);
  if (from == nullptr || to == nullptr || from == to || from->pass != header.pass) return Counter::relay_not_allowed;
  if (is_relay_kind(datagram.bytes + kRelayHeaderBytes, datagram.length - kRelayHeaderBytes)) return Counter::relay_not_allowed;
  const Peer* sender = snapshot.peer(from->slot);
  const Ways sender_ways = sender == nullptr ? Ways{} : sender->ways.load();
  const Way* back = sender_ways.straight();
  if (back == nullptr || !(back->endpoint == datagram.way.endpoint)) return Counter::relay_not_allowed;
  const Peer* receiver = snapshot.peer(to->slot);
  const Ways receiver_ways = receiver == nullptr ? Ways{} : receiver->ways.load();
  const Way* way = receiver_ways.straight();
  if (way == nullptr) return Counter::relay_no_way;
  if (!budgets_[from->slot].take(*from, table->bytes_per_second(), datagram.length, now)) return Counter::relay_over_limit;
  write_relay_header(datagram.bytes, kFromRelay, {header.from, header.to, 0});
  datagram.way = *way;
  return std::nullopt;
}

}  // namespace mesh
