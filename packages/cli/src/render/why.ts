import type { CandidateFate, CandidateOrigin, CandidateView, WhyView } from "@mesh/core/api";
import { MAPPING_WORDS } from "./netcheck.ts";
import { formatInstant, formatRtt, formatSpan, NOTHING } from "./quantities.ts";
import { headerRow, type Style } from "./style.ts";
import { type Cell, formatTable } from "./table.ts";

const HEADER = ["CANDIDATE", "FROM", "FATE", "WHY"];

export function renderWhy(view: WhyView, style: Style): string {
  const lines = [...ownerLines(view, style), ...pathLines(view, style)];
  const parts = [lines.join("\n"), renderCandidates(view, style), sideLines(view, style).join("\n")];
  return `${parts.join("\n\n")}\n`;
}

/** As wide as the longest of them, so that what they say starts below each other. */
function labelsOf({ owner }: WhyView, { paint }: Style): (label: string, text: string) => string {
  const width = Math.max("there".length, owner.name.length);
  return (label, text) => `${paint.bold(label.padEnd(width))}  ${text}`;
}

function ownerLines(view: WhyView, style: Style): readonly string[] {
  const { name, number, prefixes, routed, certificate } = view.owner;
  const issuer = certificate.issuer ?? "the network's root key";
  const times = certificate.generation === 0 ? "" : `, generation ${certificate.generation}`;
  const word = `number ${number} by a certificate of ${issuer}, given ${formatInstant(certificate.assignedAt, style.now)}${times}`;
  const taken = routed ? "" : style.paint.red(", but another node holds the number");
  return [labelsOf(view, style)(name, `${prefixes.join(", ")}   ${word}${taken}`)];
}

function pathLines(view: WhyView, style: Style): readonly string[] {
  const { path } = view;
  const { paint } = style;
  const label = labelsOf(view, style);
  const mark = path.kind === "direct" ? paint.green : path.kind === "relay" ? paint.yellow : paint.red;
  const rtt = path.rttMs === undefined ? "" : `   ${formatRtt(path.rttMs)}`;
  const hint = path.hint === undefined ? [] : [path.hint];
  return [label("path", `${mark(path.text)}${rtt}`), ...[path.reason, ...hint].map((text) => label("", text))];
}

function renderCandidates({ candidates, owner }: WhyView, style: Style): string {
  if (candidates.length === 0) return `No address of ${owner.name} is known, and no relay to it.`;
  const rows = candidates.map((candidate) => candidateRow(candidate, owner.name, style));
  return formatTable([headerRow(HEADER, style), ...rows]);
}

function candidateRow(candidate: CandidateView, name: string, style: Style): readonly Cell[] {
  const { endpoint, relay, origin, fate } = candidate;
  const colours: Readonly<Record<CandidateFate, (text: string) => string>> = {
    "in-use": style.paint.green,
    answered: style.paint.green,
    unanswered: style.paint.red,
    untried: style.paint.dim,
    refused: style.paint.dim,
  };
  const fates: Readonly<Record<CandidateFate, string>> = {
    "in-use": "in use",
    answered: "answered",
    unanswered: "no answer",
    untried: "not tried",
    refused: "refused",
  };
  return [
    endpoint ?? `by ${relay ?? NOTHING}`,
    originText(origin, name),
    { text: fates[fate], paint: colours[fate] },
    whyText(candidate, style),
  ];
}

function originText(origin: CandidateOrigin, name: string): string {
  const texts: Readonly<Record<CandidateOrigin, string>> = {
    published: "its record",
    offered: "its offer",
    heard: "heard there",
    earlier: "said earlier",
    "its-home": `home of ${name}`,
    "own-home": "home of this node",
    open: "relays for all",
  };
  return texts[origin];
}

function whyText({ reason, askedAt, answeredAt, rttMs }: CandidateView, { now }: Style): string {
  const ago = (at: number): string => `${formatSpan(now - at)} ago`;
  const rtt = rttMs === undefined ? "" : ` in ${formatRtt(rttMs)}`;
  const answered = answeredAt === undefined ? [] : [`answered ${ago(answeredAt)}${rtt}`];
  const isSilent = askedAt !== undefined && (answeredAt === undefined || askedAt > answeredAt);
  const asked = isSilent ? [`asked ${ago(askedAt)}`] : [];
  return [...(reason === undefined ? [] : [reason]), ...asked, ...answered].join(", ");
}

function sideLines(view: WhyView, style: Style): readonly string[] {
  const { here, there, owner } = view;
  const label = labelsOf(view, style);
  const homes = (names: readonly string[]): string => (names.length === 0 ? "no home relay" : `homes ${names.join(", ")}`);
  const reached = (isReachable: boolean): string => (isReachable ? "reachable unasked" : "not known to be reachable unasked");
  const own = label("here", [MAPPING_WORDS[here.mapping], reached(here.reachable), homes(here.homes)].join(", "));
  if (there === undefined) return [own, label("there", `${owner.name} has not said where it is`)];
  const relays = there.relays ? ["relays for others"] : [];
  const other = there.stopped ? ["it said goodbye"] : [reached(there.reachable), ...relays, homes(there.homes)];
  return [own, label("there", other.join(", "))];
}
