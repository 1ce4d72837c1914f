import { addressPlan } from "../address/address-plan.ts";
import type { Prefix } from "../address/prefix.ts";
import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { networkId, networkIdBytes } from "../ids/network-id.ts";
import { nodeId } from "../ids/node-id.ts";
import { GRANT_BLOCK_SIZE } from "../membership/ledger.ts";
import { signCertificate, signConsent } from "../records/certificate.ts";
import { signNetworkStatement } from "../records/network-statement.ts";
import type { Millis } from "../time/millis.ts";
import { NEW_MEMBER, type NodeSnapshot } from "./snapshot.ts";

export interface FoundOptions {
  readonly crypto: Crypto;
  /** Key of this first node, and of the network's root, which this node will hold. */
  readonly key: SigningKey;
  readonly root: SigningKey;
  readonly name: string;
  readonly nodeName: string;
  readonly prefix4: Prefix;
  readonly nodeLength: number;
  readonly wallNow: Millis;
}

/** Makes a network whose first member and admin is this node, number 1. */
export function foundNetwork(options: FoundOptions): Omit<NodeSnapshot, "udpPort" | "tcpPort"> {
  const { crypto, key, root, name, nodeName, prefix4, nodeLength, wallNow } = options;
  const statement = signNetworkStatement(crypto, root, { name, prefix4, nodeLength });
  const network = networkId(crypto.sha256(statement));
  const { maxNumber } = addressPlan(prefix4, nodeLength, networkIdBytes(network));
  const certificate = signCertificate(crypto, root, {
    network,
    subject: nodeId(key.publicKey),
    serial: Math.floor(wallNow),
    role: "admin",
    name: nodeName,
    number: 1,
    generation: 0,
    assignedWallAt: Math.floor(wallNow),
    grant: [{ first: 1, count: Math.min(GRANT_BLOCK_SIZE, maxNumber) }],
    consent: signConsent(crypto, key, network),
    issuerCertificate: new Uint8Array(),
  });
  return { statement, certificate, ...NEW_MEMBER };
}
