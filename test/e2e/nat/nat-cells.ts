import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { until } from "../lab/agent.ts";
import type { NatMesh } from "./nat-mesh.ts";

/** What becomes of one pair of hosts. */
export interface NatCell {
  readonly pair: readonly [string, string];
  readonly kind: "direct" | "relayed";
  /** What the endpoint must look like that each end shows for the other. */
  readonly endpoint?: RegExp;
  /** The member that must relay. */
  readonly relay?: string;
}

/** Pings that each pair sends; all must be answered. */
const PINGS = 20;
/** Milliseconds until a pair has the path that it keeps. */
const SETTLED_WITHIN = 15_000;

/** All pairs ping at the same time, lose nothing, and come to the paths they should have. */
export async function assertCells(t: TestContext, mesh: NatMesh, cells: readonly NatCell[]): Promise<void> {
  const wrong: string[] = [];
  await Promise.all(
    cells.map(async ({ pair: [one, other] }) => {
      const answered = await mesh.ping(one, other, { count: PINGS });
      if (answered.length !== PINGS) wrong.push(`${one} to ${other}: ${PINGS - answered.length} of ${PINGS} pings lost`);
    }),
  );
  for (const cell of cells) {
    const settled = until(`${cell.pair.join(" and ")}`, async () => await complaint(mesh, cell), SETTLED_WITHIN);
    await settled.catch(({ message }: Error) => wrong.push(message));
    const [one, other] = cell.pair;
    t.diagnostic(`${one} to ${other}: ${(await mesh.view(one, other)).path}; back: ${(await mesh.view(other, one)).path}`);
  }
  assert.deepEqual(wrong, []);
}

/** True when both ends show the path that they should have. */
async function complaint(mesh: NatMesh, { pair: [one, other], kind, endpoint, relay }: NatCell): Promise<true | string> {
  for (const view of await Promise.all([mesh.view(one, other), mesh.view(other, one)])) {
    const { path } = view;
    if (!path.startsWith(kind)) return `${view.name}: ${path}, should be ${kind}`;
    if (endpoint !== undefined && !endpoint.test(view.endpoint ?? "")) return `${view.name}: ${path}, should be at ${endpoint.source}`;
    if (relay !== undefined && view.relay !== relay) return `${view.name}: ${path}, should be by ${relay}`;
  }
  return true;
}
