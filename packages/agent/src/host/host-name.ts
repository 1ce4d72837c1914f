import { hostname } from "node:os";

/** What the host calls itself. */
export function hostName(): string {
  return hostname();
}
