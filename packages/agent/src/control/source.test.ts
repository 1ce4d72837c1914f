import assert from "node:assert/strict";
import { it } from "node:test";
import type { Ip } from "@mesh/core/ports";
import { sourceOf } from "./source.ts";

const source = (text: string): string => sourceOf(text as Ip);

it("a source is one IPv4 address, and one IPv6 /64", () => {
  assert.notEqual(source("192.0.2.1"), source("192.0.2.2"));
  assert.equal(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  assert.notEqual(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
});
