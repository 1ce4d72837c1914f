/**
 * A server with a public address and three laptops behind NATs become one mesh: what a first-time user sees. Real agents, each in a
 * network namespace of its own, used by the command line only. Exit code 0 only when every step worked; nothing is left on the host.
 */
import { existsSync } from "node:fs";
import { prepareHost } from "../prepare-host.ts";
import { formatSeconds, paint } from "../run-files.ts";
import { DEMO_INTERNET, show } from "./demo/show.ts";
import { labRefusal, openLab } from "./lab/lab.ts";
import { planInternet } from "./lab/sites.ts";

await main();

async function main(): Promise<void> {
  const startedAt = performance.now();
  const refusal = demoRefusal();
  if (refusal !== undefined) {
    console.error(refusal);
    process.exitCode = 1;
    return;
  }
  const missing = (await prepareHost(["engine", "network", "firewall", "ping"])).filter(({ command }) => command !== "iptables-nft");
  if (missing.length > 0) {
    console.error(`The demo cannot run without ${missing.map(({ command }) => command).join(", ")}.`);
    process.exitCode = 1;
    return;
  }
  const internet = planInternet(DEMO_INTERNET);
  const lab = await openLab(internet.topology, { name: "demo" });
  sayWhenInterrupted();
  try {
    await show(lab, internet);
    await lab.close();
    console.log(
      `\n${paint("green", "Every step worked.")} No namespace, link or process is left on this host. Total time: ${formatSeconds(performance.now() - startedAt)}`,
    );
  } catch (error) {
    process.exitCode = 1;
    console.log(`\n${paint("red", "This step failed:")} ${error instanceof Error ? error.message : String(error)}`);
    console.log(`Logs and the state of each machine are kept in ${await lab.collect()}`);
    await lab.close();
  }
}

/** What the demo needs and does not have, as sentences; undefined when it can start. */
function demoRefusal(): string | undefined {
  if (process.platform === "linux" && process.getuid?.() !== 0) {
    return "The demo makes machines and routers out of network namespaces, and only root can do that: sudo npx -y pnpm@10.34.9 demo";
  }
  if (!existsSync("/dev/net/tun")) return "The demo needs /dev/net/tun: modprobe tun, or start the container with --device /dev/net/tun.";
  // A missing `ip` is installed.
  return process.platform === "linux" ? undefined : `The demo cannot run here: ${labRefusal()}.`;
}

/** The lab's own handlers came first and have removed everything. */
function sayWhenInterrupted(): void {
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    process.once(signal, () => {
      console.log("\nInterrupted. Everything that was started has been removed.");
      process.exit(code);
    });
  }
}
