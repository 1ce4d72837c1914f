# Holds a TUN device for a program that can make no ioctl: TUN on one side, standard input and output on the other.
#
#   perl tun-relay.pl NAME        perl-base (Perl >= 5.10, core modules only)
#
# 1. open      makes the device: down, without addresses; answers on descriptor 3 with one line, "0" or an errno
# 2. out       TUN -> standard output        read only while fewer than OUT_LIMIT bytes wait: the device's own queue is
#                                            the right place for packets to pile up
# 3. in        standard input -> TUN         what the device refuses (it is down, say) is counted
#
# Frames, both ways: u16 big-endian length, then that many bytes of one packet. A frame of length 0, to standard output
# only: u32 big-endian, packets that the device refused since the last such frame.
#
# Ends, and the device with it, when standard input ends: also when its reader and writer was killed. Signals that a
# terminal or a service manager sends to a whole group are for the program, which ends it when it is done. The exit
# status is 0, or the errno of the device that became unusable.

use strict;
use warnings;
use Errno qw(EAGAIN EINTR EINVAL);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK O_RDWR);

use constant TUNSETIFF => 0x400454ca;                  # linux/if_tun.h: _IOW('T', 202, int)
use constant TUN_FLAGS => 0x0001 | 0x1000 | 0x8000;    # IFF_TUN, IFF_NO_PI, IFF_TUN_EXCL: never attach to another's device
use constant NAME_LIMIT => 15;                         # IFNAMSIZ without its zero
use constant PACKET_LIMIT => 65_535;
use constant OUT_LIMIT => 262_144;                     # what a burst of 180 full packets takes
use constant IN_CHUNK => 262_144;
use constant BATCH => 64;                              # packets read between two looks at the other direction

$SIG{$_} = 'IGNORE' for qw(HUP INT QUIT TERM PIPE);

my ($name) = @ARGV;
open(my $answer, '>&=', 3) or exit $! + 0;
sub refuse { my ($errno) = @_; syswrite($answer, "$errno\n"); exit $errno }

refuse(EINVAL) if !length($name) || length($name) > NAME_LIMIT || $name =~ /%/;
sysopen(my $tun, '/dev/net/tun', O_RDWR | O_NONBLOCK) or refuse($! + 0);
my $request = pack('a16 S x22', $name, TUN_FLAGS);
ioctl($tun, TUNSETIFF, $request) or refuse($! + 0);
for my $side (\*STDIN, \*STDOUT) {
    my $flags = fcntl($side, F_GETFL, 0) or refuse($! + 0);
    fcntl($side, F_SETFL, $flags | O_NONBLOCK) or refuse($! + 0);
}
syswrite($answer, "0\n");
close($answer);

my ($in, $out, $refused) = ('', '', 0);

while (1) {
    my ($readable, $writable) = ('', '');
    vec($readable, fileno(STDIN), 1) = 1;
    vec($readable, fileno($tun), 1) = 1 if length($out) < OUT_LIMIT;
    vec($writable, fileno(STDOUT), 1) = 1 if length($out);
    next if select($readable, $writable, undef, undef) < 0;
    from_program() if vec($readable, fileno(STDIN), 1);
    from_tun() if vec($readable, fileno($tun), 1);
    to_program() if length($out);
}

sub from_program {
    my $got = sysread(STDIN, $in, IN_CHUNK, length($in));
    return if !defined($got) && ($! == EAGAIN || $! == EINTR);
    exit 0 if !$got;
    my $at = 0;
    while (length($in) - $at >= 2) {
        my $length = unpack('n', substr($in, $at, 2));
        last if length($in) - $at - 2 < $length;
        my $put = syswrite($tun, $in, $length, $at + 2);
        $refused++ if !defined($put) || $put != $length;
        $at += 2 + $length;
    }
    substr($in, 0, $at, '');
    $out .= pack('nN', 0, $refused) if $refused;
    $refused = 0;
}

sub from_tun {
    for (1 .. BATCH) {
        my $got = sysread($tun, my $packet, PACKET_LIMIT);
        if (!defined($got)) {
            return if $! == EAGAIN || $! == EINTR;
            exit $! + 0;
        }
        $out .= pack('n', $got) . $packet if $got > 0;
        return if length($out) >= OUT_LIMIT;
    }
}

sub to_program {
    my $put = syswrite(STDOUT, $out);
    if (!defined($put)) {
        return if $! == EAGAIN || $! == EINTR;
        exit 0;
    }
    substr($out, 0, $put, '');
}
