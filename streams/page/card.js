// One episode as a card: what, on whom, how much more than usual, and why.

import { bars, element, growth, share } from "./pictures.js";
import { ago, clean, clock, count, kindOf, percent, span } from "./words.js";

const TRAITS_MAX = 4;
const REASONS_MAX = 5;
const SUBJECT_WHOLE = 60; // characters that the head of a card has room for in any case
const STATUSES = { opened: "open", updated: "growing", closed: "over", retracted: "retracted" };

export function card(episode) {
  const { flag } = episode;
  const { title } = kindOf(flag.kind);
  const article = element(
    "article",
    { class: "card", "data-severity": clean(flag.severity), "data-status": clean(flag.status), "aria-labelledby": `t-${flag.flag_id}` },
    head(flag, title),
    subject(flag),
    amount(flag),
    episode.points.length > 2 ? grew(episode) : null,
    reasons(flag),
    traits(flag),
    foot(flag),
  );
  return element("li", {}, article);
}

function head(flag, title) {
  const status = element("span", { class: "status" }, STATUSES[flag.status] ?? clean(flag.status));
  const at = flag.emitted_at;
  const time = element("time", { "data-at": at, datetime: new Date(at).toISOString(), title: clock(at) }, ago(at));
  return element(
    "div",
    { class: "head" },
    element("div", {}, element("span", { class: "severity" }, clean(flag.severity)), element("h3", { id: `t-${flag.flag_id}` }, title)),
    element("div", {}, flag.mode === "shadow" ? element("span", { class: "shadow" }, "on trial") : null, status, time),
  );
}

function name(id) {
  return element("bdi", { class: "id" }, clean(id));
}

function subject(flag) {
  const id = clean(flag.subject.id);
  const look = id.length > SUBJECT_WHOLE ? "id main long" : "id main";
  const main = element("button", { type: "button", class: look, "data-pick": id, title: "show this subject only" }, name(flag.subject.id));
  const line = element("p", { class: "subject" }, `${clean(flag.subject.type)} `, main);
  const { note_id: note, author_id: author } = flag.evidence;
  if (note) line.append(" for note ", name(note));
  if (author) line.append(" of ", name(author));
  return line;
}

function amount(flag) {
  const { observed, expected } = flag.evidence;
  const { things } = kindOf(flag.kind);
  const during = span((flag.window.end - flag.window.start) / 1000);
  const label = `${count(observed)} ${things} came in ${during}, ${count(expected)} were to be expected`;
  return element(
    "div",
    { class: "amount" },
    element("p", { class: "came-text" }, element("strong", {}, count(observed)), ` ${things} in ${during}`),
    bars(observed, expected, label),
    element("p", { class: "usual-text" }, element("strong", {}, count(expected)), " to be expected"),
  );
}

function grew(episode) {
  const values = episode.points.map(([, observed]) => observed);
  const label = `grew from ${count(values[0])} to ${count(values[values.length - 1])} since it opened`;
  return element("div", { class: "growth" }, growth(episode.points, episode.flag.evidence.expected, label));
}

function reasons(flag) {
  const told = flag.evidence.reasons.slice(0, REASONS_MAX);
  return told.length ? element("ul", { class: "reasons" }, ...told.map((reason) => element("li", {}, clean(reason)))) : null;
}

// The traits of the actors that stand out most, with their usual share as a mark.
function traits(flag) {
  const groups = Object.entries(flag.evidence.groups ?? {})
    .sort(([, a], [, b]) => Math.abs(b.observed - b.expected) - Math.abs(a.observed - a.expected))
    .slice(0, TRAITS_MAX);
  if (!groups.length) return null;
  const rows = groups.map(([trait, { observed, expected }]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, clean(trait).replaceAll("_", " ")),
      element("td", { class: "picture" }, share(observed, expected)),
      element("td", {}, percent(observed)),
      element("td", { class: "usually" }, percent(expected)),
    ),
  );
  const titles = element("tr", {}, ...["who came", "", "here", "usual"].map((text) => element("th", { scope: "col" }, text)));
  return element("table", { class: "traits" }, element("thead", {}, titles), element("tbody", {}, ...rows));
}

function foot(flag) {
  const { evidence, detector } = flag;
  const details = element(
    "details",
    {},
    element("summary", {}, `${count(evidence.actors)} accounts, score ${flag.score.toFixed(3)}`),
  );
  const list = element("dl", { class: "more" });
  const add = (term, ...value) => list.append(element("dt", {}, term), element("dd", {}, ...value));
  if (clean(flag.subject.id).length > SUBJECT_WHOLE) add(clean(flag.subject.type), name(flag.subject.id));
  for (const [term, ids] of [["such as", evidence.sample_actors], ["members", evidence.members], ["targets", evidence.targets]]) {
    if (ids?.length) add(term, ...ids.flatMap((id, at) => (at ? [", ", name(id)] : [name(id)])));
  }
  add("tipped at", `${clock(flag.detected_at)} of event time`);
  add("window", `${clock(flag.window.start)} to ${clock(flag.window.end)}`);
  add("detector", clean(`${detector.name} ${detector.version} (${detector.config})`));
  add("flag", clean(flag.flag_id));
  details.append(list);
  return details;
}
