import type { RelayHeader } from "@mesh/core/ports";

// A relay's header as it stands on the wire, written without core.

export const RELAY_HEADER_BYTES = 12;

/** What asks to be relayed. */
export function toRelay({ from, to, pass }: RelayHeader, carried: Uint8Array): Buffer {
  return wrapped(0x22, { from, to, pass }, carried);
}

/** What was relayed: without the pass. */
export function fromRelay({ from, to }: Omit<RelayHeader, "pass">, carried: Uint8Array): Buffer {
  return wrapped(0x23, { from, to, pass: 0 }, carried);
}

function wrapped(kind: number, { from, to, pass }: RelayHeader, carried: Uint8Array): Buffer {
  const header = Buffer.from(`006d7368${"00".repeat(8)}`, "hex");
  header[0] = kind;
  header.writeUInt16BE(from, 4);
  header.writeUInt16BE(to, 6);
  header.writeUInt32BE(pass, 8);
  return Buffer.concat([header, carried]);
}
