import { type Internet, type InternetSpec, planInternet } from "./sites.ts";

/** An internet to try things in by hand. */
export interface NamedInternet {
  readonly title: string;
  readonly spec: InternetSpec;
}

/** Milliseconds one way from each network to the core: what a good line has, and twice of it between any two of them. */
const DELAY = 5;

export const NAMED_INTERNETS: Readonly<Record<string, NamedInternet>> = {
  demo: {
    title: "one public node, two laptops behind different NATs, one behind a symmetric NAT",
    spec: {
      public: ["relay-1"],
      sites: [
        { name: "home-a", nat: "masq", hosts: ["laptop-a"] },
        { name: "home-b", nat: "eimr-apdf", hosts: ["laptop-b"] },
        { name: "mobile", nat: "sym-rand", hosts: ["laptop-c"] },
      ],
      delayMs: DELAY,
    },
  },
  lan: {
    title: "two laptops on one LAN behind a NAT, one public node",
    spec: { public: ["relay-1"], sites: [{ name: "home", nat: "eimr-apdf", hosts: ["laptop-a", "laptop-b"] }], delayMs: DELAY },
  },
  cgn: {
    title: "two homes behind one carrier's NAT, a third behind one of its own, one public node",
    spec: {
      public: ["relay-1"],
      carriers: [{ name: "cgn-1", nat: "eimr-apdf", hairpin: true }],
      sites: [
        { name: "home-a", nat: "masq", hosts: ["laptop-a"], behind: "cgn-1" },
        { name: "home-b", nat: "eimr-apdf", hosts: ["laptop-b"], behind: "cgn-1" },
        { name: "home-c", nat: "masq", hosts: ["laptop-c"] },
      ],
      delayMs: DELAY,
    },
  },
  double: {
    title: "a home behind a carrier that gives it a block of random ports, a home with one NAT, one public node",
    spec: {
      public: ["relay-1"],
      carriers: [{ name: "cgn-1", nat: "sym-block" }],
      sites: [
        { name: "home-a", nat: "eimr-eif", hosts: ["laptop-a"], behind: "cgn-1" },
        { name: "home-b", nat: "eimr-apdf", hosts: ["laptop-b"] },
      ],
      delayMs: DELAY,
    },
  },
  v6: {
    title: "two laptops behind symmetric NATs with IPv6 behind firewalls, one with IPv4 only, one public node",
    spec: {
      public: ["relay-1"],
      sites: [
        { name: "home-a", nat: "sym-rand", hosts: ["laptop-a"], ipv6: "firewalled" },
        { name: "home-b", nat: "sym-rand", hosts: ["laptop-b"], ipv6: "firewalled" },
        { name: "home-c", nat: "masq", hosts: ["laptop-c"] },
      ],
      delayMs: DELAY,
    },
  },
};

/** Undefined when nothing is called that. */
export function planNamed(name: string): Internet | undefined {
  const named = Object.hasOwn(NAMED_INTERNETS, name) ? NAMED_INTERNETS[name] : undefined;
  return named === undefined ? undefined : planInternet(named.spec);
}
