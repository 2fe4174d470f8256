// Wires the page: flags over server-sent events, the pipeline by polling, filters, and what a screen reader hears.

import { card } from "./card.js";
import { Episodes, isOpen } from "./episodes.js";
import { element, ticks } from "./pictures.js";
import { Pipeline } from "./pipeline.js";
import { ago, clean, clock, kindOf } from "./words.js";

const POLL_MS = 2_000;
const ANSWER_MS = 5_000; // a worker that is stopped takes connections and says nothing
const SAY_MS = 4_000;
const STRIP_MS = 15 * 60_000;
const FIRST_KINDS = ["follower_spike", "like_boost", "keyword_ranking", "keyword_trend"];

const byId = (id) => document.getElementById(id);
const episodes = new Episodes();
const pipeline = new Pipeline();
const nodes = new Map(); // flag_id -> [episode, its flag as drawn, node]
const hidden = new Set(); // kinds that are switched off
const kinds = new Map(); // kind -> the counter and the strip of its button
let events = null; // the stream of flags
let heardAt = null; // when the worker last answered
let held = null; // flags that came while the list is held still
let due = false;
let unsaid = [];

function receive(flag) {
  if (held) {
    held.push(flag);
    byId("held").textContent = `${held.length} more since you held it still`;
    return;
  }
  const before = episodes.byId.has(flag.flag_id);
  episodes.add(flag);
  if (!before && flag.status === "opened") unsaid.push(flag);
  redraw();
}

function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

function wanted(episode) {
  const { flag } = episode;
  if (hidden.has(flag.kind) || (byId("only-open").checked && !isOpen(episode))) return false;
  const text = byId("find").value.trim().toLowerCase();
  const ids = [flag.subject.id, flag.evidence.note_id, flag.evidence.author_id];
  return !text || ids.some((id) => id && clean(id).toLowerCase().includes(text));
}

function draw() {
  const all = episodes.list();
  const shown = all.filter(wanted);
  const place = byId("flags");
  let next = place.firstElementChild;
  for (const episode of shown) {
    const old = nodes.get(episode.id)?.node;
    const node = nodeOf(episode);
    if (next && next === old) next = node; // drawn anew in its place
    if (node === next) next = next.nextElementSibling;
    else place.insertBefore(node, next);
  }
  while (next) {
    const gone = next;
    next = next.nextElementSibling;
    gone.remove();
  }
  for (const id of nodes.keys()) if (!episodes.byId.has(id)) nodes.delete(id);
  countKinds(all);
  byId("nothing").hidden = shown.length > 0;
  byId("nothing").textContent = all.length ? "No flag of this choice." : "No flag yet. They appear here as they happen.";
  document.title = `${all.filter(isOpen).length} open · boostwatch`;
}

function nodeOf(episode) {
  const known = nodes.get(episode.id);
  if (known && known.flag === episode.flag) return known.node;
  const node = card(episode);
  if (known) {
    node.querySelector("details").open = known.node.querySelector("details").open;
    const focused = known.node.contains(document.activeElement) ? document.activeElement.localName : null;
    if (focused) queueMicrotask(() => node.querySelector(focused)?.focus()); // a card has one button and one summary
    known.node.replaceWith(node);
  } else {
    node.classList.add("fresh");
  }
  nodes.set(episode.id, { flag: episode.flag, node });
  return node;
}

function countKinds(all) {
  for (const kind of FIRST_KINDS) kindButton(kind);
  const open = new Map();
  const retracted = new Map();
  for (const episode of all) {
    kindButton(episode.flag.kind);
    if (episode.flag.status === "retracted") retracted.set(episode.flag.kind, (retracted.get(episode.flag.kind) ?? 0) + 1);
    if (isOpen(episode)) open.set(episode.flag.kind, (open.get(episode.flag.kind) ?? 0) + 1);
  }
  for (const [kind, { counter, strip }] of kinds) {
    const times = all.filter((episode) => episode.flag.kind === kind).map((episode) => episode.openedAt);
    const wrong = retracted.has(kind) ? `, ${retracted.get(kind)} retracted` : "";
    counter.textContent = `${open.get(kind) ?? 0} open, ${times.length} in all${wrong}`;
    strip.replaceChildren(ticks(times, Date.now(), STRIP_MS, null));
  }
}

function kindButton(kind) {
  if (kinds.has(kind)) return;
  const counter = element("small", {});
  const strip = element("span", { class: "strip", title: "the last 15 minutes" });
  const button = element("button", { type: "button", "aria-pressed": "true" }, element("span", {}, kindOf(kind).title), counter, strip);
  button.addEventListener("click", () => {
    if (!hidden.delete(kind)) hidden.add(kind);
    button.setAttribute("aria-pressed", String(!hidden.has(kind)));
    redraw();
  });
  kinds.set(kind, { counter, strip });
  byId("kinds").append(button);
}

function hold() {
  const button = byId("pause");
  const still = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(still));
  byId("held").hidden = !still;
  byId("held").textContent = "held still: what comes now is shown when you let go";
  const waiting = held ?? [];
  held = still ? [] : null;
  for (const flag of waiting) receive(flag);
}

function setState(state, text) {
  if (byId("state").dataset.state === state && byId("state-text").textContent === text) return;
  byId("state").dataset.state = state;
  byId("state-text").textContent = text;
  for (const id of ["pipeline-part", "flags"]) byId(id).toggleAttribute("data-stale", state === "lost");
}

async function poll() {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const [metrics, ready] = await Promise.all([fetch("metrics", { signal }), fetch("ready", { signal })]);
    const [numbers, told] = await Promise.all([metrics.text(), ready.text()]);
    heardAt = Date.now();
    pipeline.show(numbers);
    if (!ready.ok) setState("waiting", told.trim());
    else if (events.readyState !== EventSource.OPEN) setState("waiting", "flags do not reach this page; trying again");
    else if (pipeline.ill.size) setState("live", `live, ${pipeline.ill.size === 1 ? "one thing" : `${pipeline.ill.size} things`} to look at`);
    else setState("live", "live, all well");
    byId("state").toggleAttribute("data-ill", pipeline.ill.size > 0);
  } catch {
    const since = heardAt ? `; what is shown is of ${clock(heardAt)}` : "";
    setState("lost", `the worker does not answer, trying again${since}`);
  }
  setTimeout(poll, POLL_MS);
}

// A screen reader hears the newest flag of the last seconds and how many there were, not each in turn.
function say() {
  if (!unsaid.length) return;
  const flag = unsaid[unsaid.length - 1];
  const more = unsaid.length > 1 ? `, and ${unsaid.length - 1} more` : "";
  byId("said").textContent = `${flag.severity}: ${kindOf(flag.kind).title}, ${flag.subject.type} ${clean(flag.subject.id)}${more}`;
  unsaid = [];
}

// A click on a subject shows what else there is on it; another click shows all again.
function pick(event) {
  const chosen = event.target.closest("button[data-pick]");
  if (!chosen) return;
  const find = byId("find");
  find.value = find.value === chosen.dataset.pick ? "" : chosen.dataset.pick;
  redraw();
}

function refreshAges() {
  countKinds(episodes.list());
  for (const time of document.querySelectorAll("time[data-at]")) time.textContent = ago(Number(time.dataset.at));
}

// A browser connects again by itself, unless it was refused: then it is asked to.
function listen() {
  events = new EventSource("events");
  events.addEventListener("flag", (event) => receive(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, POLL_MS);
  });
}

byId("find").addEventListener("input", redraw);
byId("only-open").addEventListener("change", redraw);
byId("pause").addEventListener("click", hold);
byId("flags").addEventListener("click", pick);
setInterval(say, SAY_MS);
setInterval(refreshAges, 1_000);
listen();
redraw();
poll();
