import { ipFamily } from "@mesh/core/ports";
import { abortAfter } from "./abort-after.ts";
import { askNatPmp, findNatPmp } from "./ask-nat-pmp.ts";
import { askPcp } from "./ask-pcp.ts";
import { askUpnp, findIgd, UPNP_TIMEOUT } from "./ask-upnp.ts";
import type { Grant, MappingQuestion } from "./mapping.ts";

/**
 * One mapping from one router, by the best protocol that it knows. All begin at once, but PCP alone asks for the mapping right
 * away: the others find out who is there, and ask in their turn. Else one router would make up to three mappings, and taking
 * one back could take all (miniupnpd keeps one for each port, whoever asked).
 *
 *   0 ms   PCP: map           → granted: done
 *          NAT-PMP: address   → no PCP within 500 ms: map → granted: done
 *          UPnP: search       → neither: add a mapping
 */
export async function askRouter(question: MappingQuestion): Promise<Grant | undefined> {
  if (ipFamily(question.uplink.source) === 6) return await askPcp(question);
  // However many of its questions are answered late, nothing of this goes on for longer.
  const others = abortAfter(2 * UPNP_TIMEOUT, question);
  const found = { ...question, signal: others.signal };
  const [pcp, address, igd] = [askPcp(question), findNatPmp(found), findIgd(found)];
  try {
    return (await pcp) ?? (await byNatPmp(question, address)) ?? (await byUpnp(question, igd));
  } finally {
    others.end();
    // Their sockets are gone then.
    await Promise.allSettled([address, igd]);
  }
}

async function byNatPmp(question: MappingQuestion, address: ReturnType<typeof findNatPmp>): Promise<Grant | undefined> {
  const ip = await address;
  return ip === undefined ? undefined : await askNatPmp(question, ip);
}

async function byUpnp(question: MappingQuestion, found: ReturnType<typeof findIgd>): Promise<Grant | undefined> {
  const igd = await found;
  return igd === undefined ? undefined : await askUpnp(question, igd);
}
