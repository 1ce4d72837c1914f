import type { Crypto, SigningKey } from "../crypto/crypto.ts";
import { MeshError } from "../errors.ts";
import { networkId } from "../ids/network-id.ts";
import { nodeId } from "../ids/node-id.ts";
import { type InviteFault, type OpenedInvite, parseInvite } from "../membership/invite.ts";
import { decodeJoinResponse, type JoinRefusal, makeJoinRequest } from "../membership/join-message.ts";
import { Trust } from "../membership/trust.ts";
import { RecordOpener } from "../records/record.ts";
import { NEW_MEMBER, type NodeSnapshot } from "./snapshot.ts";

export { makeJoinRequest, type OpenedInvite };

/** Reads an invite a person typed; throws a MeshError that says what is wrong with it. */
export function readInvite(crypto: Crypto, text: string): OpenedInvite {
  const invite = parseInvite(crypto, text);
  if (typeof invite !== "string") return invite;
  throw new MeshError("invite/unreadable", INVITE_FAULTS[invite].message, { reason: invite }, { hint: INVITE_FAULTS[invite].hint });
}

/** What the issuer's answer makes of this node. Throws a MeshError when it was refused or when the answer does not hold. */
export function finishJoin(
  crypto: Crypto,
  options: { readonly invite: OpenedInvite; readonly key: SigningKey; readonly response: Uint8Array },
): { readonly snapshot: Omit<NodeSnapshot, "udpPort" | "tcpPort">; readonly records: readonly Uint8Array[] } {
  const { invite, key } = options;
  const response = decodeJoinResponse(options.response);
  if (!response.ok) throw untrue();
  if (response.value.outcome === "refused") {
    const { message, hint } = REFUSALS[response.value.reason];
    throw new MeshError("invite/refused", message, { reason: response.value.reason }, { hint });
  }
  const opener = new RecordOpener(crypto);
  const trust = new Trust({ crypto, opener, network: networkId(crypto.sha256(invite.invite.statement)), statement: invite.statement });
  const { certificate, records } = response.value;
  if (trust.believedCertificate(certificate)?.certificate.subject !== nodeId(key.publicKey)) throw untrue();
  return {
    snapshot: { statement: invite.invite.statement, certificate, ...NEW_MEMBER },
    records,
  };
}

function untrue(): MeshError {
  return new MeshError(
    "invite/refused",
    "The member that answered did not give a certificate this network's root stands behind.",
    { reason: "untrue" },
    {
      hint: "Ask for a new invite; if this happens again, a member of that network is not what it seems.",
    },
  );
}

interface Explanation {
  readonly message: string;
  readonly hint: string;
}

const NEW_INVITE = "Ask for a new one: `mesh invite` on the node that made it.";

const INVITE_FAULTS: Readonly<Record<InviteFault, Explanation>> = {
  "not-an-invite": {
    message: "This is not an invite: an invite begins with mesh1.",
    hint: "Paste the whole line that `mesh invite` printed.",
  },
  altered: {
    message: "This invite is incomplete or was altered: its checksum does not fit.",
    hint: "Copy the whole line again, or ask for a new one.",
  },
  "newer-version": { message: "This invite was made by a newer version of mesh.", hint: "Update mesh on this host and try again." },
};

const REFUSALS: Readonly<Record<JoinRefusal, Explanation>> = {
  malformed: { message: "The other side did not understand the request to join.", hint: "Check that both run the same version of mesh." },
  "wrong-network": { message: "The member that answered belongs to another network.", hint: NEW_INVITE },
  "unknown-invite": { message: "The network does not know this invite.", hint: NEW_INVITE },
  expired: { message: "This invite has expired.", hint: NEW_INVITE },
  spent: { message: "This invite has been used up.", hint: NEW_INVITE },
  removed: { message: "This node was removed from the network.", hint: "An admin of the network must let it back in." },
  full: {
    message: "The network has no free number left.",
    hint: "A larger prefix can only be chosen when a network is made: mesh init --cidr.",
  },
  "not-admin": { message: "The node that made this invite cannot admit members any more.", hint: "Ask for an invite from another admin." },
  "issuer-unreachable": {
    message: "The node that made this invite cannot be reached, and only it can honour it.",
    hint: "Try again when it is up, or ask another admin for an invite.",
  },
  busy: { message: "The member that answered has too many requests to join at once.", hint: "Try again in a few seconds." },
};
