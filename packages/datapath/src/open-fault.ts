import { MeshError } from "@mesh/core/errors";

// Why no engine can be opened, in the same words for both.

export function portTaken(port: number): MeshError {
  const hint = "Stop the program that has it (ss -ulpn shows which), or choose another port with --udp-port.";
  return new MeshError("datapath/port-taken", `UDP port ${port} is in use.`, { port }, { hint });
}

/** errno: a name as errno(3) has it. */
export function tunRefused(device: string, errno: string): MeshError {
  if (errno === "EBUSY") {
    const hint = `Choose another name with --tun, or none: a free one is taken then. What has it: ip -d link show ${device}`;
    return new MeshError("datapath/tun-taken", `A network device named ${device} exists already.`, { device }, { hint });
  }
  if (errno === "EPERM" || errno === "EACCES") {
    const action = `make the network device ${device}`;
    return new MeshError("host/not-root", `Root is needed to ${action}.`, { action }, { hint: "Run it with sudo." });
  }
  const isMissing = errno === "ENOENT" || errno === "ENODEV" || errno === "ENXIO";
  const hint = isMissing
    ? "Load the driver with modprobe tun; a container needs --device /dev/net/tun."
    : "A device's name has 1 to 15 characters without spaces, slashes and percent signs.";
  return new MeshError("datapath/tun-failed", `The network device ${device} cannot be made (${errno}).`, { device, errno }, { hint });
}

export function unavailable(reason: string): MeshError {
  const hint = "The system refuses; the manual page errno(3) explains the name.";
  return new MeshError("datapath/unavailable", `The packet engine cannot start: ${reason}.`, { reason }, { hint });
}

/** There is neither a compiler's work nor Perl. */
export function noPerl(): MeshError {
  const reason = "the packet engine is not built, and its twin in TypeScript needs perl to make a network device";
  const hint =
    "Install a C++ compiler and build the engine: apt-get install g++ && node packages/datapath/build.mjs. Or, much slower, the twin: apt-get install perl-base";
  return new MeshError("datapath/unavailable", `Packets cannot be carried: ${reason}.`, { reason }, { hint });
}
