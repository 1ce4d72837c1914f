import { DEFAULT_STATE_ROOT } from "@mesh/core/config";

/** A template unit: one instance for each network, named after it. */
export const UNIT_TEMPLATE = "mesh@.service";

export interface UnitOptions {
  /** Path of the runtime. */
  readonly runtime: string;
  /** Path of this command's entry. */
  readonly command: string;
  readonly stateRoot: string;
  /** Root without CAP_DAC_OVERRIDE cannot read these programs: they are in a directory of another user that is closed to others. */
  readonly isHidden: boolean;
}

/**
 * What an agent needs beyond being root without any capability; tried out under setpriv with each one left away
 * (test/e2e/service.test.ts runs it with exactly these).
 */
const CAPABILITIES: readonly string[] = [
  // The tunnel's device, addresses, routes, rules, and settings under /proc/sys/net.
  "CAP_NET_ADMIN",
  // The API's socket is given to the group mesh, of which root is no member.
  "CAP_CHOWN",
  // A control plane that was told to listen below port 1024, as 443.
  "CAP_NET_BIND_SERVICE",
];

/** A checkout in somebody's home directory. */
const HIDDEN_CAPABILITY = "CAP_DAC_READ_SEARCH";

/** The unit as text. systemd.exec(5) and systemd.service(5) say what each line means; here is why it is there. */
export function renderUnit({ runtime, command, stateRoot, isHidden }: UnitOptions): string {
  const isDefault = stateRoot === DEFAULT_STATE_ROOT;
  const words = [runtime, command, "up", "--foreground", ...(isDefault ? [] : ["--state", stateRoot])].map(quoteWord);
  const capabilities = [...CAPABILITIES, ...(isHidden ? [HIDDEN_CAPABILITY] : [])].join(" ");
  return `# Written by \`mesh service install\`; \`mesh service remove\` takes it away.
[Unit]
Description=Mesh network %i
Wants=network-online.target
After=network-online.target
# An agent that cannot start (its disk is full, its port is taken) is tried for ever: what is in its way may go.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${words.join(" ")} --network %i
Restart=on-failure
RestartSec=10
# The command passes the signal on to the agent, once; a second one would end the agent before it has undone its changes.
KillMode=mixed
TimeoutStopSec=20
UMask=0077
Environment=NODE_COMPILE_CACHE=%C/mesh TMPDIR=%t/mesh
CacheDirectory=mesh
StateDirectory=mesh
StateDirectoryMode=0700
RuntimeDirectory=mesh
RuntimeDirectoryMode=0755
# Other networks' sockets are in it too.
RuntimeDirectoryPreserve=yes

CapabilityBoundingSet=${capabilities}
NoNewPrivileges=yes
ProtectSystem=strict
${isDefault ? "" : `ReadWritePaths=${quoteWord(stateRoot)}\n`}ProtectHome=read-only
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
# Not ProtectKernelTunables: settings of the tunnel's device are under /proc/sys/net. Not MemoryDenyWriteExecute: JavaScript is compiled as it runs.
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
}

/** One word of ExecStart or a list of paths (systemd.syntax(7)): quoted, with nothing in it that systemd would replace. */
function quoteWord(word: string): string {
  const plain = word.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[\w/.=@:+-]+$/.test(word) ? word : `"${plain}"`;
}
