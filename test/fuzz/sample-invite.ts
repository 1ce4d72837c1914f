import { parseEndpoint } from "../../packages/core/src/address/endpoint.ts";
import { formatInvite } from "../../packages/core/src/membership/invite.ts";
import { crypto, idOf, type SampleNetwork } from "../../packages/core/src/membership/sample-network-fixture.ts";

/** An invite as an admin hands it over, with two members that carry the request. */
export function inviteLine(network: SampleNetwork): string {
  const endpoints = ["192.0.2.1:443", "[2001:db8::1]:65535"].flatMap((text) => parseEndpoint(text) ?? []);
  return formatInvite(crypto, {
    statement: network.statementBytes,
    issuer: idOf("admin"),
    seed: new Uint8Array(32).fill(8),
    expiresWallAt: 1_790_000_000_000,
    uses: 1,
    members: [
      { node: idOf("admin"), endpoints },
      { node: idOf("other"), endpoints: [] },
    ],
  });
}
