// flush-conntrack
//
// Forgets every connection of the network namespace that it runs in, as a NAT that was switched off: `conntrack -F`.

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace {

struct Request {
  nlmsghdr header;
  nfgenmsg body;
};

struct Answer {
  nlmsghdr header;
  nlmsgerr body;
};

// 0 or an errno.
int flush() {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) return errno;
  Request request{};
  request.header.nlmsg_len = sizeof request;
  // A deletion that names no connection means all of them.
  request.header.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.body.nfgen_family = AF_UNSPEC;
  request.body.version = NFNETLINK_V0;
  Answer answer{};
  int fault = 0;
  if (::send(fd, &request, sizeof request, 0) < 0 || ::recv(fd, &answer, sizeof answer, 0) < 0) fault = errno;
  else if (answer.header.nlmsg_type == NLMSG_ERROR) fault = -answer.body.error;
  ::close(fd);
  return fault;
}

}  // namespace

int main() {
  const int fault = flush();
  if (fault != 0) std::fprintf(stderr, "flush-conntrack: %s\n", std::strerror(fault));
  return fault == 0 ? 0 : 1;
}
