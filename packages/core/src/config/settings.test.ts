import assert from "node:assert/strict";
import { test } from "node:test";
import { isNodeLength } from "../address/address-plan.ts";
import { deviceName, endpointText, LOG_LEVELS, logLevel, NODE_BITS, nameText, nodeBits, portNumber, prefix4Text } from "./settings.ts";
import { type Shape, ShapeError } from "./shape.ts";

interface Setting {
  readonly shape: Shape<unknown>;
  readonly right: readonly unknown[];
  readonly wrong: readonly unknown[];
}

const settings: Readonly<Record<string, Setting>> = {
  "a name": {
    shape: nameText,
    right: ["a", "home", "laptop-b", "0", "x".repeat(63)],
    wrong: ["", "Home", "a.b", "-a", "a-", "a_b", "../etc", "a b", "a\n", "x".repeat(64), 7],
  },
  "an endpoint": {
    shape: endpointText,
    right: ["0.0.0.0:4100", "[::]:1", "[2001:db8::1]:65535", "192.0.2.1:80"],
    wrong: [
      "",
      "4100",
      "0.0.0.0:0",
      "1.2.3.4.5:80",
      "1.2.3.4:70000",
      "01.2.3.4:80",
      "::1:4100",
      "[1.2.3.4]:80",
      "host:80",
      "1.2.3.4:08",
      null,
    ],
  },
  "an IPv4 prefix": {
    shape: prefix4Text,
    right: ["10.77.0.0/16", "10.0.0.0/8", "192.0.2.128/25"],
    wrong: [
      "",
      "10.77.0.0",
      "10.77.1.0/16",
      "010.7.0.0/16",
      "10.777.0.0/16",
      "10.0.0.0/33",
      "fd00::/48",
      "224.0.0.0/8",
      "127.0.0.0/8",
      "0.0.0.0/0",
    ],
  },
  "a device name": {
    shape: deviceName,
    right: ["mesh0", "_x", "0", "a.b-c_d", "x".repeat(15)],
    wrong: ["", "-x0", ".x", ".", "..", "a/b", "a b", "mesh%d", "a:1", "m\u00e9sh", "x".repeat(16)],
  },
  "the length of a node's prefix": { shape: nodeBits, right: [10, 24, 30], wrong: [9, 31, 24.5, "24", Number.NaN] },
  "a port": { shape: portNumber, right: [1, 65_535], wrong: [0, 65_536, 1.5, "80"] },
  "a log level": { shape: logLevel, right: LOG_LEVELS, wrong: ["", "loud", "fatal", 30] },
};
for (const [what, { shape, right, wrong }] of Object.entries(settings)) {
  test(`${what}: read as it is, or refused with what it must be`, () => {
    for (const value of right) assert.equal(shape(value, "key"), value);
    for (const value of wrong)
      assert.throws(
        () => shape(value, "key"),
        (error) => error instanceof ShapeError && error.message.startsWith("key must be "),
        String(value),
      );
  });
}

test("every length of a node's prefix that some mesh can have, and no other", () => {
  for (let length = 0; length <= 32; length++) {
    const isPossible = Array.from({ length: 33 }, (_, mesh) => mesh).some((mesh) => isNodeLength(mesh, length));
    assert.equal(isPossible, length >= NODE_BITS.min && length <= NODE_BITS.max, String(length));
  }
});
