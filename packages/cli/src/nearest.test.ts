import assert from "node:assert/strict";
import { test } from "node:test";
import { commandNames } from "./command-table.ts";
import { nearest } from "./nearest.ts";

test("a slip of the finger finds its command", () => {
  const slips = {
    sttaus: "status",
    statu: "status",
    stat: "status",
    staus: "status",
    pin: "ping",
    jion: "join",
    rotues: "routes",
    dwon: "down",
    pers: "peers",
    inti: "init",
    u: "up",
  };
  for (const [slip, command] of Object.entries(slips)) assert.equal(nearest(slip, commandNames), command, slip);
});

test("another word finds nothing", () => {
  for (const word of ["frobnicate", "xyz", "container", "", "10.77.0.1"]) assert.equal(nearest(word, commandNames), undefined, word);
});
