import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pino } from "pino";
import { libp2pLog } from "./libp2p-log.ts";

interface Line {
  readonly level: number;
  readonly component: string;
  readonly msg: string;
}

function capture(level: string): { readonly log: ReturnType<typeof libp2pLog>; readonly lines: Line[] } {
  const lines: Line[] = [];
  const log = pino({ level, base: null }, { write: (text: string) => lines.push(JSON.parse(text) as Line) });
  return { log: libp2pLog(log), lines };
}

describe("libp2p's log", () => {
  it("fills values in and writes errors as debug", () => {
    const { log, lines } = capture("debug");
    const logger = log.forComponent("libp2p:tcp");
    logger("dial to %a took %d ms", { toString: () => "/ip4/1.2.3.4" }, 5);
    logger.error("failed, 100%% - %e", new Error("no route"));
    logger.newScope("yamux")("plain", "extra");
    assert.deepEqual(
      lines.map(({ level, component, msg }) => [level, component, msg]),
      [
        [20, "libp2p:tcp", "dial to /ip4/1.2.3.4 took 5 ms"],
        [20, "libp2p:tcp", "failed, 100% - no route"],
        [20, "libp2p:tcp:yamux", "plain extra"],
      ],
    );
  });

  it("drops trace, and does nothing when debug is off", () => {
    const { log, lines } = capture("info");
    const logger = log.forComponent("libp2p");
    logger("a");
    logger.error("b");
    logger.trace("c");
    assert.deepEqual([lines, logger.enabled], [[], false]);
  });

  it("survives values that cannot be read", () => {
    const { log, lines } = capture("debug");
    const container = new Proxy({}, { get: () => assert.fail("touched") });
    log.forComponent("libp2p")("options %o", { container });
    assert.match(lines[0]?.msg ?? "", /^options \{ container: /);
  });
});
