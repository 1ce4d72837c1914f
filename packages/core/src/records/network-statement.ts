import { isNodeLength } from "../address/address-plan.ts";
import { ipBytes, ipFromBytes } from "../address/ip.ts";
import { makePrefix, type Prefix } from "../address/prefix.ts";
import type { Decoded } from "../bytes/decoded.ts";
import { FieldReader } from "../bytes/fields.ts";
import { isName, MAX_NAME_BYTES } from "../bytes/name.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import type { NodeId } from "../ids/node-id.ts";
import { type Envelope, RECORD_KINDS, signRecord } from "./envelope.ts";

/**
 * What the network is: signed by its root key, made once, never changed. The network id is the SHA-256 of this record,
 * so whoever knows the id cannot be lied to about anything in it.
 */
export interface NetworkStatement {
  readonly root: NodeId;
  readonly name: string;
  readonly prefix4: Prefix;
  /** Length of one node's IPv4 prefix. */
  readonly nodeLength: number;
}

export function signNetworkStatement(crypto: Crypto, root: SigningKey, statement: Omit<NetworkStatement, "root">): Uint8Array {
  const { name, prefix4, nodeLength } = statement;
  return signRecord(crypto, root, {
    kind: RECORD_KINDS.network,
    subject: new Uint8Array(),
    sequence: 0,
    body: [name, ipBytes(prefix4.ip), prefix4.length, nodeLength],
  });
}

export function readNetworkStatement(envelope: Envelope): Decoded<NetworkStatement> {
  const reader = new FieldReader(envelope.body);
  const name = reader.text(MAX_NAME_BYTES);
  const ip = ipFromBytes(reader.bytes(4));
  const length = reader.whole(0, 32);
  const nodeLength = reader.whole(0, 32);
  const prefix4 = makePrefix(ip, length);
  if (!isName(name) || prefix4.ip !== ip || !isNodeLength(length, nodeLength)) return { ok: false, fault: "out-of-range" };
  return reader.finish({ root: envelope.author, name, prefix4, nodeLength });
}
