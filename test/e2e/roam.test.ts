/** A laptop changes networks: its tunnels carry again and its records spread again within 2 s. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { labRefusal } from "./lab/lab.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";
import { REST_BETWEEN_CHANGES, ROAMING_HOSTS, RoamingMesh } from "./roam-fixture.ts";

const skip = labRefusal() ?? false;
const CHANGES = 2;
const WITHIN = 2_000;

for (const kind of ["address", "interface"] as const) {
  test(`another ${kind}: traffic, gossip and the new endpoints are back within 2 s`, { skip }, async (t) => {
    await withLab(t, routedCore(ROAMING_HOSTS), async (lab) => {
      const mesh = await RoamingMesh.open(lab);
      for (let n = 0; n < CHANGES; n++) {
        await sleep(REST_BETWEEN_CHANGES);
        const outage = await mesh.change(kind);
        t.diagnostic(`traffic ${outage.traffic} ms, gossip ${outage.gossip} ms, record ${outage.record} ms`);
        for (const [what, ms] of Object.entries(outage)) assert.ok(ms !== undefined && ms <= WITHIN, `${what} after ${ms} ms`);
      }
    });
  });
}
