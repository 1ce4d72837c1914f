import assert from "node:assert/strict";
import { test } from "node:test";
import { connectFailure } from "./connect-failure.ts";

const rows: readonly (readonly [said: string, plainly: string])[] = [
  ["connection error 192.0.2.1:443: connect ECONNREFUSED 192.0.2.1:443", "nothing listens at 192.0.2.1:443 (ECONNREFUSED)"],
  [
    "connection error [2001:db8::1]:443: connect ENETUNREACH 2001:db8::1:443 - Local (:::0); 192.0.2.1:80: connect EHOSTUNREACH 192.0.2.1:80 - Local (0.0.0.0:0)",
    "no route to [2001:db8::1]:443 (ENETUNREACH); no host answers at 192.0.2.1:80 (EHOSTUNREACH)",
  ],
  ["192.0.2.1:443: connect EACCES 192.0.2.1:443", "192.0.2.1:443: connect EACCES 192.0.2.1:443"],
  [
    "Member ab at 192.0.2.1:443 was not reached: connection error 192.0.2.1:443: connect ECONNREFUSED 192.0.2.1:443.",
    "Member ab at 192.0.2.1:443 was not reached: nothing listens at 192.0.2.1:443 (ECONNREFUSED).",
  ],
  ["it timed out after 5000 ms", "it timed out after 5000 ms"],
];

for (const [said, plainly] of rows) test(said, () => assert.equal(connectFailure(said), plainly));
