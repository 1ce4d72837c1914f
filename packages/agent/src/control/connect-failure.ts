const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens at",
  ECONNRESET: "hung up on at",
  EHOSTUNREACH: "no host answers at",
  ENETUNREACH: "no route to",
  ETIMEDOUT: "no answer from",
};

/** `connection error 192.0.2.1:443: connect ECONNREFUSED 192.0.2.1:443`, as libp2p and Node have it, with what Node adds of this side. */
const FAILED = /(?:connection error )?(\S+:\d+): (?:connect|read) (E[A-Z]+)(?: \S+:\d+)?(?: - Local \([^)]*\))?/g;

/** What was said of connections that could not be made, for people: `nothing listens at 192.0.2.1:443 (ECONNREFUSED)`. */
export function connectFailure(said: string): string {
  return said.replace(FAILED, (whole, endpoint: string, code: string) => {
    const words = WORDS[code];
    return words === undefined ? whole : `${words} ${endpoint} (${code})`;
  });
}
