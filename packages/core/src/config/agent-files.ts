/** The network that is made when no name is given. */
export const DEFAULT_NETWORK = "home";

/** Where one network's agent keeps its things. */
export interface AgentFiles {
  /** 0700: state documents, see ports/store.ts. */
  readonly directory: string;
  /** The API; whoever serves it is the one agent of this network. */
  readonly socket: string;
  readonly log: string;
}

/** Where all networks of this host live unless `--state` or MESH_STATE says otherwise. */
export const DEFAULT_STATE_ROOT = "/var/lib/mesh";

/** Sockets of agents under {@link DEFAULT_STATE_ROOT}; elsewhere the socket is beside the state. */
const DEFAULT_RUNTIME_ROOT = "/run/mesh";

export function agentFiles(stateRoot: string, network: string): AgentFiles {
  const directory = `${stateRoot}/${network}`;
  const socket = stateRoot === DEFAULT_STATE_ROOT ? `${DEFAULT_RUNTIME_ROOT}/${network}.sock` : `${directory}/api.sock`;
  return { directory, socket, log: `${directory}/agent.log` };
}

/** Files of the state documents (ports/store.ts) in a network's directory. The directory is a member's when `node` is there. */
export const STATE_FILES = {
  identity: "identity.key",
  root: "root.key",
  node: "node.state",
  records: "records.state",
  host: "host.state",
} as const;
