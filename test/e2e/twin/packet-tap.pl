# Reads and writes the packets of a network device as they are: what the other side of a TUN device gives and gets.
#
#   perl packet-tap.pl INTERFACE-INDEX
#
# Frames: u16 big-endian length, then the packet. Standard output: packets that come into the host. Standard input:
# packets to send out of the device. Says "ready" as a packet first; ends with its standard input.

use strict;
use warnings;
use Socket qw(SOCK_RAW);

use constant AF_PACKET => 17;
use constant ETH_P_ALL => 0x0300;    # 3 in network order
use constant PACKET_OUTGOING => 4;
use constant { SOL_PACKET => 263, PACKET_QDISC_BYPASS => 20, SOL_SOCKET => 1, SO_RCVBUFFORCE => 33 };

my ($index) = @ARGV;
socket(my $tap, AF_PACKET, SOCK_RAW, ETH_P_ALL) or die "socket: $!";
setsockopt($tap, SOL_PACKET, PACKET_QDISC_BYPASS, pack('i', 1)) or die "bypass: $!";
setsockopt($tap, SOL_SOCKET, SO_RCVBUFFORCE, pack('i', 8 << 20)) or die "buffer: $!";
bind($tap, pack('S S i S C C a8', AF_PACKET, ETH_P_ALL, $index, 0, 0, 0, '')) or die "bind: $!";
frame('ready');

my $in = '';
while (1) {
    my $readable = '';
    vec($readable, fileno(STDIN), 1) = 1;
    vec($readable, fileno($tap), 1) = 1;
    next if select($readable, undef, undef, undef) < 0;
    if (vec($readable, fileno($tap), 1)) {
        my $from = recv($tap, my $packet, 65_535, 0);
        frame($packet) if defined($from) && unpack('x10 C', $from) != PACKET_OUTGOING;
    }
    next if !vec($readable, fileno(STDIN), 1);
    exit 0 if !sysread(STDIN, $in, 262_144, length($in));
    while (length($in) >= 2 && length($in) >= 2 + unpack('n', $in)) {
        my $length = unpack('n', $in);
        send($tap, substr($in, 2, $length), 0) // die "send: $!";
        substr($in, 0, 2 + $length, '');
    }
}

sub frame {
    my ($packet) = @_;
    my $frame = pack('n', length($packet)) . $packet;
    while (length($frame)) {
        my $put = syswrite(STDOUT, $frame) // exit 0;
        substr($frame, 0, $put, '');
    }
}
