/** The agent's process. Started by the CLI, which hands over the order on standard input and follows on descriptor 3. */
import { startAgent } from "./agent.ts";
import { bootTime } from "./data/data-plane.ts";
import { systemClock } from "./runtime/clock.ts";
import { LaunchChannel, openProgressLine, readLaunchOrder } from "./runtime/launch-channel.ts";

const channel = new LaunchChannel(openProgressLine(), () => process.uptime() * 1_000);
try {
  const clock = systemClock(bootTime);
  const order = await readLaunchOrder(process.stdin, clock);
  await startAgent({ order, clock, channel, process });
} catch (error) {
  channel.failed(error);
  process.exitCode = 1;
}
