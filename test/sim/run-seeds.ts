import { relative } from "node:path";
import { test } from "node:test";
import { nodeCrypto } from "@mesh/core/node-crypto";
import { GOOD_LINK, type LinkQuality, memoCrypto, SeededRandom, SimMesh } from "@mesh/core/testing";

/** One run of a simulation: everything that varies comes from its seed. */
export interface SeededRun {
  readonly seed: number;
  /** For what the test itself decides. */
  readonly random: SeededRandom;
  /** A mesh of this seed. When the run fails, what passed between its nodes is drawn. */
  open(quality?: LinkQuality): SimMesh;
}

const ROOT = new URL("../..", import.meta.url).pathname;

/** Shared by all runs of a file: many agreements and signatures are the same in all of them. It changes no result. */
const crypto = memoCrypto(nodeCrypto());

/** Runs `body` once for each seed, as one test each. A failure says how to repeat it and draws the last messages. */
export function runSeeds(name: string, seeds: number, body: (run: SeededRun) => void): void {
  for (let seed = 1; seed <= seeds; seed++) {
    const title = `${name}, seed ${seed}`;
    test(title, (context) => {
      const meshes: SimMesh[] = [];
      const open = (quality: LinkQuality = GOOD_LINK): SimMesh => {
        const mesh = new SimMesh({ seed, crypto, quality });
        meshes.push(mesh);
        return mesh;
      };
      try {
        body({ seed, random: SeededRandom.named(seed, "test"), open });
      } catch (error) {
        throw new Error(describeFailure(error, { title, file: context.filePath ?? "", meshes }), { cause: error });
      }
    });
  }
}

function describeFailure(
  error: unknown,
  run: { readonly title: string; readonly file: string; readonly meshes: readonly SimMesh[] },
): string {
  const pattern = run.title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("'", "'\\''");
  const command = `npx -y pnpm@10.34.9 exec node --test --test-name-pattern='^${pattern}$' ${relative(ROOT, run.file)}`;
  const drawings = run.meshes.map((mesh) => `at ${(mesh.clock.now() / 1_000).toFixed(3)} s:\n${mesh.draw()}`);
  return [error instanceof Error ? error.message : String(error), `repeat: ${command}`, ...drawings].join("\n\n");
}
