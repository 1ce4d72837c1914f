import { seconds } from "@mesh/core/ports";
import { withGatewaySocket } from "./gateway-socket.ts";
import { type Grant, LEASE, type MappingQuestion, usableExternal, usableLifetime } from "./mapping.ts";
import { decodePcpResponse, encodePcpRequest, PCP_SUCCESS, type PcpRequest, type PcpResponse } from "./pcp-message.ts";

/** One MAP request (RFC 6887 section 11): a mapping of IPv4, or a hole in the firewall for IPv6. undefined: no PCP here. */
export async function askPcp(question: MappingQuestion): Promise<Grant | undefined> {
  const { internalPort, suggested, uplink, faults } = question;
  const wish = suggested ?? { ip: (uplink.source.includes(":") ? "::" : "0.0.0.0") as typeof uplink.source, port: internalPort };
  const answer = await exchange(question, { lifetime: LEASE / seconds(1), suggested: wish });
  if (answer === undefined || answer === "unsupported") return undefined;
  if (answer.result !== PCP_SUCCESS) {
    faults.count("refused");
    return undefined;
  }
  const lifetime = usableLifetime(answer.lifetime, faults);
  const release = async (signal: AbortSignal): Promise<void> => void (await exchange({ ...question, signal }, { lifetime: 0 }));
  if (lifetime !== undefined && usableExternal(answer.external, question))
    return { protocol: "pcp", external: answer.external, lifetime, epoch: answer.epoch, release };
  await release(question.signal);
  return undefined;
}

async function exchange(
  question: MappingQuestion,
  wish: Pick<PcpRequest, "lifetime" | "suggested">,
): Promise<PcpResponse | "unsupported" | undefined> {
  const { nonce, internalPort, uplink, ports } = question;
  const request = encodePcpRequest({ ...wish, client: uplink.source, nonce, internalPort });
  const read = (bytes: Uint8Array): PcpResponse | "unsupported" | undefined => {
    const answer = decodePcpResponse(bytes);
    if (answer === undefined || answer === "unsupported") return answer;
    return answer.internalPort === internalPort && Buffer.compare(answer.nonce, nonce) === 0 ? answer : undefined;
  };
  return await withGatewaySocket(question, (socket) => socket.ask(request, ports.control, read));
}
