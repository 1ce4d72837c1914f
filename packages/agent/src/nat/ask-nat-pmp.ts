import { type Ip, seconds } from "@mesh/core/ports";
import { withGatewaySocket } from "./gateway-socket.ts";
import { type Grant, LEASE, type MappingQuestion, usableExternal, usableLifetime } from "./mapping.ts";
import { decodeNatPmpResponse, encodeNatPmpRequest, type NatPmpRequest, type NatPmpResponse } from "./nat-pmp-message.ts";

/** Asks for the outside address only, which makes nothing at the router. undefined: no NAT-PMP here. */
export async function findNatPmp(question: MappingQuestion): Promise<Ip | undefined> {
  const answer = await exchange(question, { type: "address" });
  return answer?.type === "address" ? answer.ip : undefined;
}

/** RFC 6886 section 3.3. `ip` is what findNatPmp said. */
export async function askNatPmp(question: MappingQuestion, ip: Ip): Promise<Grant | undefined> {
  const { internalPort, suggested, faults } = question;
  const externalPort = suggested?.port ?? internalPort;
  const answer = await exchange(question, { type: "map", internalPort, externalPort, lifetime: LEASE / seconds(1) });
  if (answer?.type !== "map") return undefined;
  const lifetime = usableLifetime(answer.lifetime, faults);
  const release = async (signal: AbortSignal): Promise<void> =>
    void (await exchange({ ...question, signal }, { type: "map", internalPort, externalPort: 0, lifetime: 0 }));
  const external = { ip, port: answer.externalPort };
  if (lifetime !== undefined && usableExternal(external, question))
    return { protocol: "nat-pmp", external, lifetime, epoch: answer.epoch, release };
  await release(question.signal);
  return undefined;
}

async function exchange(question: MappingQuestion, request: NatPmpRequest): Promise<NatPmpResponse | undefined> {
  const read = (bytes: Uint8Array): NatPmpResponse | undefined => {
    const answer = decodeNatPmpResponse(bytes);
    if (answer?.type === "refused") return answer.to === request.type ? answer : undefined;
    if (answer?.type !== request.type) return undefined;
    return answer.type === "map" && answer.internalPort !== question.internalPort ? undefined : answer;
  };
  const answer = await withGatewaySocket(question, (socket) => socket.ask(encodeNatPmpRequest(request), question.ports.control, read));
  if (answer?.type === "refused") question.faults.count("refused");
  return answer;
}
