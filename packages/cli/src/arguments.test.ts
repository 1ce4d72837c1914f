import assert from "node:assert/strict";
import { test } from "node:test";
import { MeshError } from "@mesh/core/errors";
import { type Command, parseArguments, wantsJson } from "./arguments.ts";

const directory = "/home/me";
const stateRoot = "/var/lib/mesh";

function parse(line: string, env: Readonly<Record<string, string>> = {}): Command {
  return parseArguments(line === "" ? [] : line.split(" "), { env, directory });
}

const target = { stateRoot, json: false };
const begin = { foreground: false, json: false };

const right: readonly (readonly [string, Command])[] = [
  ["help", { name: "help" }],
  ["--help", { name: "help" }],
  ["-h", { name: "help" }],
  ["help join", { name: "help", topic: "join" }],
  ["join --help", { name: "help", topic: "join" }],
  ["ping -h", { name: "help", topic: "ping" }],
  ["--version", { name: "version" }],
  ["status", { name: "status", ...target, watch: false }],
  ["status --json", { name: "status", ...target, json: true, watch: false }],
  ["--json status", { name: "status", ...target, json: true, watch: false }],
  ["--network lab peers", { name: "peers", ...target, network: "lab" }],
  ["routes --network=lab", { name: "routes", ...target, network: "lab" }],
  ["down --state /tmp/x/", { name: "down", ...target, stateRoot: "/tmp/x" }],
  ["down --state ./x/../y", { name: "down", ...target, stateRoot: "/home/me/y" }],
  ["status --network a --network b", { name: "status", ...target, watch: false, network: "b" }],
  ["status --watch", { name: "status", ...target, watch: true }],
  ["leave", { name: "leave", ...target, force: false, yes: false }],
  ["leave --force --yes --network lab", { name: "leave", ...target, network: "lab", force: true, yes: true }],
  ["clean", { name: "clean", ...target }],
  ["clean --log-level debug", { name: "clean", ...target, logLevel: "debug" }],
  ["service install", { name: "service", ...target, action: "install" }],
  ["service remove --network lab", { name: "service", ...target, network: "lab", action: "remove" }],
  ["report", { name: "report", ...target, redact: false }],
  ["report r.txt --redact", { name: "report", ...target, redact: true, file: "/home/me/r.txt" }],
  ["report /tmp/../r.txt", { name: "report", ...target, redact: false, file: "/r.txt" }],
  ["completion bash", { name: "completion", shell: "bash", json: false }],
  ["completion fish --json", { name: "completion", shell: "fish", json: true }],
  ["up --no-port-map", { name: "up", ...begin, order: { command: "up", stateRoot, noPortMap: true } }],
  ["up --backend twin", { name: "up", ...begin, order: { command: "up", stateRoot, backend: "twin" } }],
  ["invite", { name: "invite", ...target }],
  ["invite --uses 5 --ttl 1h30m", { name: "invite", ...target, uses: 5, ttlSeconds: 5_400 }],
  ["invite --ttl 30d", { name: "invite", ...target, ttlSeconds: 2_592_000 }],
  ["ping b", { name: "ping", ...target, node: "b", count: 3, interval: 1_000, untilDirect: false }],
  ["ping fd4e::1 --count 10 --interval 200ms", { name: "ping", ...target, node: "fd4e::1", count: 10, interval: 200, untilDirect: false }],
  ["ping b --interval 0.2s", { name: "ping", ...target, node: "b", count: 3, interval: 200, untilDirect: false }],
  ["ping b --until-direct", { name: "ping", ...target, node: "b", count: 15, interval: 1_000, untilDirect: true }],
  ["ping b --until-direct --count 2", { name: "ping", ...target, node: "b", count: 2, interval: 1_000, untilDirect: true }],
  ["why b", { name: "why", ...target, node: "b" }],
  ["why 10.77.3.0/24 --json --network lab", { name: "why", ...target, json: true, network: "lab", node: "10.77.3.0/24" }],
  ["netcheck", { name: "netcheck", ...target }],
  ["init", { name: "init", ...begin, order: { command: "init", stateRoot, network: "home" } }],
  ["init lab", { name: "init", ...begin, order: { command: "init", stateRoot, network: "lab" } }],
  ["init lab --network lab", { name: "init", ...begin, order: { command: "init", stateRoot, network: "lab" } }],
  ["init --network lab", { name: "init", ...begin, order: { command: "init", stateRoot, network: "lab" } }],
  [
    "init lab --cidr 10.77.0.0/16 --node-bits 24 --node-name a",
    { name: "init", ...begin, order: { command: "init", stateRoot, network: "lab", cidr: "10.77.0.0/16", nodeBits: 24, nodeName: "a" } },
  ],
  [
    "up --tun mesh7 --udp-port 65535 --listen 0.0.0.0:4100 --log-level debug --foreground --json",
    {
      name: "up",
      foreground: true,
      json: true,
      order: { command: "up", stateRoot, tunName: "mesh7", udpPort: 65_535, listen: "0.0.0.0:4100", logLevel: "debug" },
    },
  ],
  ["up --tcp-relay 443", { name: "up", ...begin, order: { command: "up", stateRoot, tcpRelay: 443 } }],
  ["up --tcp-relay 0", { name: "up", ...begin, order: { command: "up", stateRoot, tcpRelay: 0 } }],
  ["up --listen [::]:4100", { name: "up", ...begin, order: { command: "up", stateRoot, listen: "[::]:4100" } }],
  ["join -", { name: "join", ...begin, order: { command: "join", stateRoot, invite: "-" } }],
  ["join mesh1abc --network lab", { name: "join", ...begin, order: { command: "join", stateRoot, invite: "mesh1abc", network: "lab" } }],
  ["join -- -abc", { name: "join", ...begin, order: { command: "join", stateRoot, invite: "-abc" } }],
];

for (const [line, command] of right) test(`mesh ${line}`, () => assert.deepEqual(parse(line), command));

test("a variable is checked as its flag is", () => {
  assert.throws(() => parse("status", { MESH_NETWORK: "../etc" }), { code: "usage/invalid", message: /network's name must be/ });
});

test("variables stand for flags that are not given; empty ones for nothing", () => {
  const env = { MESH_STATE: "state", MESH_NETWORK: "lab" };
  assert.deepEqual(parse("status", env), { name: "status", json: false, watch: false, stateRoot: "/home/me/state", network: "lab" });
  assert.deepEqual(parse("status --state /s --network x", env), {
    name: "status",
    json: false,
    watch: false,
    stateRoot: "/s",
    network: "x",
  });
  assert.deepEqual(parse("status", { MESH_STATE: "", MESH_NETWORK: "" }), { name: "status", ...target, watch: false });
  assert.deepEqual(parse("init office", env), {
    name: "init",
    ...begin,
    order: { command: "init", stateRoot: "/home/me/state", network: "office" },
  });
  assert.deepEqual(parse("join x", env), { name: "join", ...begin, order: { command: "join", stateRoot: "/home/me/state", invite: "x" } });
});

const wrong: readonly (readonly [string, RegExp, RegExp])[] = [
  ["", /Which command/, /mesh help/],
  ["--json", /Which command/, /mesh help/],
  ["sttaus", /no command "sttaus"/, /mean: mesh status/],
  ["stat", /no command "stat"/, /mean: mesh status/],
  ["pign b", /no command/, /mean: mesh ping/],
  ["frobnicate", /no command/, /mesh help$/],
  ["help frobnicate", /no command/, /mesh help$/],
  ["status now", /takes no argument/, /Write: mesh status$/],
  ["ping", /needs <node>/, /mesh ping <node>/],
  ["ping a b", /takes one argument/, /mesh ping <node>/],
  ["ping b --until-direct=yes", /--until-direct takes no value/, /only: --until-direct/],
  ["why", /needs <node>/, /mesh why <node>/],
  ["why a b", /takes one argument/, /mesh why <node>/],
  ["why b --until-direct", /mesh why has no --until-direct/, /mesh help why/],
  ["netcheck b", /takes no argument/, /Write: mesh netcheck$/],
  ["netchek", /no command/, /mean: mesh netcheck/],
  ["join", /needs <invite>/, /mesh join <invite>/],
  ["status --jsno", /no flag --jsno/, /mean: --json/],
  ["status --frobnicate", /no flag --frobnicate/, /mesh help/],
  ["status -x", /no flag -x/, /mesh help/],
  ["status --no-json", /no flag --no-json/, /mean: --json|mesh help/],
  ["status --uses 2", /mesh status has no --uses/, /mesh help status/],
  ["ping b --foreground", /mesh ping has no --foreground/, /mesh help ping/],
  ["status --json=yes", /--json takes no value/, /only: --json/],
  ["status --network", /--network needs a value/, /--network <name>/],
  ["status --network --json", /--network needs a value/, /--network <name>/],
  ["status --network=", /--network needs a value/, /--network <name>/],
  ["status --network Lab", /--network must be 1 to 63 of a-z/, /mesh help status/],
  ["status --network ../etc", /--network must be/, /mesh help status/],
  ["init la_b", /network's name must be 1 to 63/, /home/],
  ["init lab --network other", /named twice/, /mesh init/],
  ["join mesh1abc --name a.b", /--name must be 1 to 63 .* like home or laptop-b/, /mesh help join/],
  ["up --name a", /--name/, /mesh help up/],
  ["up --udp-port 0", /--udp-port must be a whole number from 1 to 65535/, /mesh help up/],
  ["up --udp-port 65536", /--udp-port must be/, /mesh help up/],
  ["up --udp-port 1e3", /--udp-port must be/, /mesh help up/],
  ["up --udp-port 5.5", /--udp-port must be/, /mesh help up/],
  ["up --tun a/b", /--tun must be/, /mesh help up/],
  ["up --tun 1234567890123456", /--tun must be a device name: at most 15/, /mesh help up/],
  ["up --tun ..", /--tun must be/, /mesh help up/],
  ["up --tun .x", /--tun must be/, /mesh help up/],
  ["up --tun=-x0", /--tun must be/, /mesh help up/],
  ["up --tcp-relay 80", /--tcp-relay must be 443, a port from 1024 to 65535, or 0 for none/, /mesh help up/],
  ["up --tcp-relay 65536", /--tcp-relay must be/, /mesh help up/],
  ["up --listen 4100", /--listen must be/, /mesh help up/],
  ["up --listen 0.0.0.0:0", /--listen must be/, /mesh help up/],
  ["up --listen 1.2.3.4.5:80", /--listen must be/, /mesh help up/],
  ["up --listen 1.2.3.4:70000", /--listen must be/, /mesh help up/],
  ["up --listen ::1:4100", /--listen must be/, /mesh help up/],
  ["up --log-level loud", /--log-level must be/, /mesh help up/],
  ["init --cidr 10.77.0.0", /--cidr must be/, /mesh help init/],
  ["init --cidr 10.777.0.0/16", /--cidr must be/, /mesh help init/],
  ["init --cidr 10.77.1.0/16", /--cidr must be an IPv4 prefix for hosts, with zeros beyond its length, like 10.77.0.0/, /mesh help init/],
  ["init --cidr 010.7.0.0/16", /--cidr must be/, /mesh help init/],
  ["init --cidr fd00::/48", /--cidr must be/, /mesh help init/],
  ["init --cidr 224.0.0.0/8", /--cidr must be/, /mesh help init/],
  ["init --node-bits 9", /--node-bits must be a whole number from 10 to 30/, /mesh help init/],
  ["init --node-bits 31", /--node-bits must be/, /mesh help init/],
  ["invite --uses 1001", /--uses must be a whole number from 1 to 1000/, /mesh help invite/],
  ["invite --ttl 31d", /--ttl must be a time .* from 1s to 30d/, /mesh help invite/],
  ["invite --ttl 5", /--ttl must be a time with its unit, like 30s, 10m/, /mesh help invite/],
  ["ping b --interval 1", /--interval must be a time with its unit/, /mesh help ping/],
  ["service", /needs <install\|remove>/, /mesh service <install\|remove>/],
  ["service start", /takes one of install, remove/, /mesh service install/],
  ["completion tcsh", /takes one of bash, zsh, fish/, /mesh completion bash/],
  ["report a b", /takes one argument/, /mesh report \[file\]/],
  ["up --backend fast", /--backend must be one of native, twin/, /mesh help up/],
  ["down --force", /mesh down has no --force/, /mesh help down/],
  ["invite --ttl soon", /--ttl must be/, /mesh help invite/],
  ["invite --ttl 999ms", /--ttl must be/, /mesh help invite/],
  ["ping b --interval 1ms", /--interval must be a time .* from 10ms to 1h/, /mesh help ping/],
  ["ping b --count 0", /--count must be/, /mesh help ping/],
];

for (const [line, reason, hint] of wrong) {
  test(`mesh ${line} is refused`, () => {
    assert.throws(
      () => parse(line),
      (error: unknown) => {
        assert.ok(error instanceof MeshError);
        assert.equal(error.code, "usage/invalid");
        assert.match(error.message, reason);
        assert.match(error.hint ?? "", hint);
        return true;
      },
    );
  });
}

test("an invite without its command, or with a second one, is not repeated", () => {
  const invite = "mesh1qpzry9x8gf2tvdw0s3jn54khce6mua7l";
  for (const line of [invite, `join a ${invite}`, `help ${invite}`]) {
    assert.throws(
      () => parse(line),
      (error: unknown) =>
        error instanceof MeshError && !JSON.stringify([error.message, error.hint, error.details]).includes(invite.slice(0, 12)),
    );
  }
});

test("--json counts for errors also when the line is wrong, but not behind --", () => {
  assert.equal(wantsJson(["frobnicate", "--json"]), true);
  assert.equal(wantsJson(["join", "--", "--json"]), false);
});
