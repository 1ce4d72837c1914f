import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiHandlers, StatusView } from "@mesh/core/api";
import { seconds } from "@mesh/core/ports";
import { ManualClock } from "../runtime/manual-clock-fixture.ts";
import { type ApiLimits, type ApiServer, openApiServer } from "./api-server.ts";

export const status: StatusView = {
  version: 1,
  network: { name: "lab", id: "n", prefix4: "10.77.0.0/16", prefix6: "fd4e::/48" },
  self: {
    name: "a",
    id: "i",
    number: 1,
    role: "admin",
    holdsRoot: true,
    address6: "fd4e::1",
    subnet4: "10.77.1.0/24",
    subnet6: "fd4e::/64",
    seenAs: [],
    startedAt: 1,
  },
  tunnel: { device: "mesh0", mtu: 1420, udpPort: 1, backend: "native" },
  control: { listen: [], links: 0 },
  peers: [],
  health: [],
  counters: {},
};

const limits: ApiLimits = { requestTimeout: 5_000, writeTimeout: 5_000, closeTimeout: 1_000, maxConnections: 64 };

export interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: string | Uint8Array;
}

interface Got {
  readonly status: number | undefined;
  readonly body: unknown;
  readonly allow: string | undefined;
}

/** A server in a directory of its own, whose timers fire when the test says so, and its clients. */
export class ApiBench {
  readonly directory: string = mkdtempSync(join(tmpdir(), "api-"));
  readonly socket: string = join(this.directory, "api.sock");
  readonly clock: ManualClock = new ManualClock();
  readonly logged: unknown[][] = [];
  readonly #opened: ApiServer[] = [];

  /** A handler that is not given must not be called. */
  async open(handlers: Partial<ApiHandlers> = {}, changed: Partial<ApiLimits> = {}): Promise<ApiServer> {
    const refuse = async (): Promise<never> => assert.fail("not to be called");
    const note = (...words: unknown[]): void => void this.logged.push(words);
    const pings = { ping: refuse, why: refuse, netcheck: refuse };
    const all = { status: refuse, routes: refuse, invite: refuse, ...pings, leave: refuse, down: refuse, ...handlers };
    const log = { error: note, warn: note };
    const { socket, clock } = this;
    const server = await openApiServer({ socket, handlers: all, clock, log, limits: { ...limits, ...changed } });
    this.#opened.push(server);
    return server;
  }

  /** One call by a client as it should be. */
  async ask({ method = "POST", path, type = "application/json", body }: Sent): Promise<Got> {
    return await new Promise((resolve, reject) => {
      const headers = {
        ...(type === "" ? {} : { "content-type": type }),
        ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
      };
      const request = httpRequest({ socketPath: this.socket, method, path, agent: false, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          assert.match(response.headers["content-type"] ?? "", /^application\/json/);
          resolve({ status: response.statusCode, body: JSON.parse(Buffer.concat(chunks).toString()), allow: response.headers.allow });
        });
      });
      request.on("error", reject);
      request.end(body);
    });
  }

  /** Everything that comes before the server closes the connection. */
  async talk(text: string | Uint8Array, then: (connection: Socket) => void = () => {}): Promise<string> {
    const connection = connect(this.socket);
    const chunks: Buffer[] = [];
    connection.on("data", (chunk: Buffer) => chunks.push(chunk));
    connection.on("error", () => {});
    connection.write(text);
    then(connection);
    await new Promise((resolve) => connection.once("close", resolve));
    return Buffer.concat(chunks).toString();
  }

  async close(): Promise<void> {
    const closing = this.#opened.map((server) => server.close());
    this.clock.advance(seconds(10));
    await Promise.all(closing);
    rmSync(this.directory, { recursive: true });
  }
}
