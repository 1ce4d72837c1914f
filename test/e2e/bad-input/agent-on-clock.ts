/**
 * node agent-on-clock.ts <file>
 *
 * An agent as packages/agent/src/main.ts starts one, whose wall clock is wrong by as many milliseconds as the file says, read anew
 * each time: a host whose clock is wrong, and steps. Time namespaces do not cover CLOCK_REALTIME, and the test machine's own clock is not
 * to be touched. What libp2p and the log write stays right.
 */
import { readFileSync } from "node:fs";
import { startAgent } from "../../../packages/agent/src/agent.ts";
import { bootTime } from "../../../packages/agent/src/data/data-plane.ts";
import { systemClock } from "../../../packages/agent/src/runtime/clock.ts";
import { LaunchChannel, readLaunchOrder } from "../../../packages/agent/src/runtime/launch-channel.ts";

const [file = ""] = process.argv.slice(2);
const right = systemClock(bootTime);
const wrong = { ...right, wallNow: () => right.wallNow() + Number(readFileSync(file, "utf8")) };
const channel = new LaunchChannel(undefined, () => process.uptime() * 1_000);
await startAgent({ order: await readLaunchOrder(process.stdin, wrong), clock: wrong, channel, process });
