import { describe } from "node:test";
import { exceptionCases } from "./suite/exception-cases.ts";
import { guardCases } from "./suite/guard-cases.ts";
import { inboundCases } from "./suite/inbound-cases.ts";
import { lifetimeCases } from "./suite/lifetime-cases.ts";
import { outboundCases } from "./suite/outbound-cases.ts";
import { relayCases } from "./suite/relay-cases.ts";
import type { OpenDatapath } from "./suite/rig.ts";
import { roamingCases } from "./suite/roaming-cases.ts";
import { sessionCases } from "./suite/session-cases.ts";
import { socketCases } from "./suite/socket-cases.ts";
import { tableCases } from "./suite/table-cases.ts";
import { wayCases } from "./suite/way-cases.ts";

/**
 * What every implementation of the Datapath port must do, byte for byte. Registers node:test tests; needs root, a TUN
 * driver and a network namespace of its own with `lo` up. The far end of every session is node:dgram and node:crypto.
 */
export function datapathSuite(name: string, open: OpenDatapath): void {
  describe(`${name}: packets out`, () => outboundCases(open));
  describe(`${name}: packets in`, () => inboundCases(open));
  describe(`${name}: sessions`, () => sessionCases(open));
  describe(`${name}: roaming`, () => roamingCases(open));
  describe(`${name}: ways`, () => wayCases(open));
  describe(`${name}: relaying`, () => relayCases(open));
  describe(`${name}: further sockets`, () => socketCases(open));
  describe(`${name}: tables`, () => tableCases(open));
  describe(`${name}: exceptions and datagrams`, () => exceptionCases(open));
  describe(`${name}: the guard of what is no packet`, () => guardCases(open));
  describe(`${name}: lifetime`, () => lifetimeCases(open));
}
