/**
 * What people get wrong, on real agents: each time one clear sentence and what to do next, the right exit code, no stack
 * trace, no hang, and nothing half-made left on the host.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { explains, nothingRuns, type Refusal, refuses as refusesWithoutState, STACK_TRACE } from "./bad-input/refusal.ts";
import { type MeshAgent, meshAgent } from "./lab/agent.ts";
import { type Lab, labRefusal } from "./lab/lab.ts";
import { routedCore } from "./lab/topology.ts";
import { withLab } from "./lab/with-lab.ts";

const skip = labRefusal() ?? false;
const HOSTS = ["host-a", "host-b", "host-c"];
const NETWORK = "test";

test("invites that are wrong, altered, expired, spent or of nobody who answers", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const [issuer, joiner] = agentsOf(lab);
    await issuer.init(NETWORK);
    await refuses(joiner, ["join", "hello"], { code: 1, says: /not an invite/, hints: /whole line/ });
    await refuses(joiner, ["join"], { code: 2, says: /invite/, hints: /mesh join/ });

    const good = await issuer.invite();
    const middle = Math.floor(good.length / 2);
    const altered = good.slice(0, middle) + (good[middle] === "A" ? "B" : "A") + good.slice(middle + 1);
    await refuses(joiner, ["join", altered], { code: 1, says: /altered/, hints: /[Cc]opy the whole line/ });
    await refuses(joiner, ["join", good.slice(0, -5)], { code: 1, says: /incomplete or was altered/, hints: /[Cc]opy the whole line/ });

    const short = await issuer.invite(["--ttl", "1s"]);
    await sleep(1_100);
    await refuses(joiner, ["join", short], { code: 1, says: /expired/, hints: /mesh invite/ });

    const other = meshAgent(lab, "host-c", { name: "other", stateDir: join(lab.directory, "other") });
    await other.join(good);
    await refuses(joiner, ["join", good], { code: 1, says: /used up/, hints: /mesh invite/ });
    await other.down();

    const unheard = await issuer.invite();
    await issuer.down();
    await refuses(joiner, ["join", unheard], { code: 1, says: /not reached/, hints: /same command again/ });
    await issuer.up();
    await joiner.join(unheard); // and nothing of all that stands in the way of a good one
    assert.equal((await joiner.status()).self.number, 3);
  });
});

test("a UDP port, a TCP port or a device name that is taken", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const [agent] = agentsOf(lab);
    const holder = agent.host.spawn(process.execPath, ["-e", HOLD_PORTS]);
    await new Promise((resolve) => holder.stdout?.once("data", resolve));
    await refuses(agent, ["init", NETWORK, "--udp-port", "4999"], { code: 1, says: /UDP port 4999 is in use/, hints: /--udp-port/ });
    await refuses(agent, ["init", NETWORK, "--listen", "0.0.0.0:4999"], { code: 1, says: /4999/, hints: /--listen/ });
    await agent.host.run("ip", ["tuntap", "add", "mode", "tun", "mesh7"]);
    await refuses(agent, ["init", NETWORK, "--tun", "mesh7"], { code: 1, says: /mesh7 exists already/, hints: /--tun/ });
    holder.kill("SIGKILL");
    await agent.init(NETWORK, ["--udp-port", "4999"]);
  });
});

const HOLD_PORTS = `
  const udp = require("node:dgram").createSocket({ type: "udp6" });
  const tcp = require("node:net").createServer();
  udp.bind(4999, () => tcp.listen(4999, () => console.log("held")));`;

test("prefixes that collide with a route of the host, or are none", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const [agent, joiner] = agentsOf(lab);
    const collision = { code: 1, says: /198\.18\.0\.0\/16 collides with route 198\.18\.1\.0\/24 dev eth0/, hints: /--cidr/ };
    await refuses(agent, ["init", NETWORK, "--cidr", "198.18.0.0/16"], collision);
    await refuses(agent, ["init", NETWORK, "--cidr", "10.77.1.0/16"], {
      code: 2,
      says: /must be an IPv4 prefix/,
      hints: /10\.77\.0\.0\/16/,
    });
    await refuses(agent, ["init", NETWORK, "--cidr", "10.77.0.0/16", "--node-bits", "16"], {
      code: 1,
      says: /cannot be cut/,
      hints: /--node-bits/,
    });

    // A joiner cannot choose: it goes on with IPv6 alone, and says so.
    await agent.init(NETWORK, ["--cidr", "10.77.0.0/16"]);
    await joiner.host.run("ip", ["route", "add", "10.77.128.0/20", "via", "198.18.2.1"]);
    await joiner.join(await agent.invite());
    const { self, health } = await joiner.status();
    assert.equal(self.address4, undefined);
    assert.match(
      health.map(({ text }) => text).join(),
      /IPv4 of the mesh is off on this host: 10\.77\.0\.0\/16 collides with route 10\.77\.128\.0\/20/,
    );
    const other = (await joiner.peers())[0];
    const ping = await joiner.host.run("ping", ["-c", "2", "-i", "0.2", other?.address6 ?? ""]);
    assert.match(ping.stdout, /2 received/);
  });
});

test("state files that are cut in half, and state that is not there", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const [agent] = agentsOf(lab);
    await refuses(agent, ["up"], { code: 1, says: /no network|not a member|No network/i, hints: /mesh init|mesh join/ });
    await agent.init(NETWORK);
    const before = await agent.status();
    await agent.down();
    const directory = join(agent.stateDir, NETWORK);
    for (const [file, hints] of [
      ["node.state", /identity\.key/],
      ["identity.key", /backup/],
      ["root.key", /backup/],
    ] as const) {
      const path = join(directory, file);
      const whole = await readFile(path);
      await truncate(path, Math.floor(whole.length / 2));
      const result = await agent.mesh(["up"]);
      assert.equal(result.code, 1, result.stderr);
      explains(result.stderr, { says: new RegExp(`${file.replace(".", "\\.")} .*cut short`), hints });
      await nothingRuns(agent);
      await writeFile(path, whole);
    }
    // Records are learnt again: a damaged file of them is no reason not to start.
    await truncate(join(directory, "records.state"), 20);
    await agent.up();
    assert.deepEqual({ ...(await agent.status()).self, startedAt: 0 }, { ...before.self, startedAt: 0 });
  });
});

test("a network that is there already, and an agent that runs already", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const [agent, joiner] = agentsOf(lab);
    await agent.init(NETWORK);
    const pid = agent.pid();
    for (const args of [["init", NETWORK], ["up"], ["join", await agent.invite()]]) {
      const result = await agent.mesh(args);
      assert.equal(result.code, 1);
      explains(result.stderr, { says: /running already|already/, hints: /mesh / });
      assert.equal(agent.pid(), pid);
    }
    await joiner.join(await agent.invite());
    await joiner.down();
    const again = await joiner.mesh(["join", await agent.invite()]);
    assert.equal(again.code, 1);
    explains(again.stderr, { says: /a member of a network named test already/, hints: /mesh up/ });
    await joiner.up();
  });
});

test("sockets nobody serves, wrong flags, and no root", { skip }, async (t) => {
  await withLab(t, routedCore(HOSTS), async (lab) => {
    const [agent] = agentsOf(lab);
    await agent.init(NETWORK);
    await agent.kill9();
    for (const command of [["status"], ["peers"], ["routes"], ["invite"], ["ping", "x"], ["down"]]) {
      const { code, stderr } = await agent.mesh(command);
      assert.equal(code, 4, command.join(" "));
      explains(stderr, { says: /not running/, hints: /mesh up/ });
    }
    for (const args of [
      ["stauts"],
      ["status", "--jsno"],
      ["init", "Not A Name"],
      ["invite", "--uses", "0"],
      ["invite", "--ttl", "soon"],
      ["up", "--udp-port", "70000"],
      ["ping"],
      [],
    ]) {
      const { code, stderr, stdout } = await agent.mesh(args);
      assert.ok(code === 2 || (code === 1 && args[1] === "Not A Name"), `${args.join(" ")}: ${code} ${stdout}${stderr}`);
      assert.doesNotMatch(stderr, STACK_TRACE);
    }
    const nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    const mesh = join(import.meta.dirname, "../../mesh");
    const { code, stderr } = await agent.host.run("setpriv", [...nobody, mesh, "init", "x", "--state", "/tmp/nobody-has-this"], {
      env: { PATH: process.env["PATH"] },
    });
    assert.equal(code, 1, stderr);
    explains(stderr, { says: /[Rr]oot is needed/, hints: /sudo/ });
    assert.equal(existsSync("/tmp/nobody-has-this"), false);
    await agent.up(); // over the socket that the killed one left
  });
});

/** The command is refused; host and state are as they were before. */
async function refuses(agent: MeshAgent, args: readonly string[], refusal: Refusal): Promise<void> {
  await refusesWithoutState(agent, args, { ...refusal, network: NETWORK });
}

function agentsOf(lab: Lab): readonly [MeshAgent, MeshAgent] {
  const [a, b] = HOSTS.slice(0, 2).map((name) => meshAgent(lab, name, { name, stateDir: join(lab.directory, name) }));
  assert.ok(a !== undefined && b !== undefined);
  return [a, b];
}
