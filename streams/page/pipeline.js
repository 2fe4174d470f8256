// The health of the pipeline, read from the same metrics that Prometheus scrapes.

import { trace } from "./pictures.js";
import { bytes, count, short, span } from "./words.js";

const SAMPLES_MAX = 90;

// From where on a number is ill, as the alerts see it (deploy/prometheus/thresholds.toml).
const ILL = { watermarkS: 300, savedS: 120, latencyS: 5, refusedShare: 0.01 };
const LINE = /^boostwatch_(\w+?)(?:\{(.*)\})? (\S+)$/;

const byId = (id) => document.getElementById(id);

// From the text format to [name, labels, value] triples; enough of it for metrics whose labels are ours.
export function parse(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
    found.push([match[1], labels, Number(match[3].replace("Inf", "Infinity"))]);
  }
  return found;
}

export class Pipeline {
  constructor() {
    this.rates = [];
    this.before = null;
    this.ill = new Set();
  }

  // Mark a tile, in colour and in words.
  #judge(id, ill) {
    const tile = byId(id).closest(".tile");
    tile.toggleAttribute("data-ill", ill);
    tile.querySelector(".warning").textContent = ill ? "too high" : "";
    if (ill) this.ill.add(id);
    else this.ill.delete(id);
  }

  // Take a scrape in and show it.
  show(text, nowMs = performance.now()) {
    const samples = parse(text);
    const all = (name) => samples.filter(([found]) => found === name);
    const sum = (name, of = () => true) => all(name).filter(([, labels]) => of(labels)).reduce((total, [, , value]) => total + value, 0);
    this.#rate(sum("events_total"), nowMs);
    const refused = sum("events_total", ({ outcome }) => outcome === "dead_letter");
    const [late, duplicate] = ["late", "duplicate"].map((wanted) => sum("events_total", ({ outcome }) => outcome === wanted));
    byId("refused").textContent = short(refused);
    this.#judge("refused", refused > ILL.refusedShare * sum("events_total"));
    byId("refused-note").textContent = `${short(duplicate)} repeats, ${short(late)} too late`;
    byId("lag").textContent = short(sum("consumer_lag_records"));
    const latency = median(all("detection_latency_seconds_bucket"));
    byId("latency").textContent = span(latency);
    this.#judge("latency", latency > ILL.latencyS);
    this.#watermark(all("watermark_lag_seconds"));
    this.#tracked(all("tracked"), sum("state_bytes"));
    this.#saved(sum("last_checkpoint_timestamp_seconds"), sum("history_seconds"));
  }

  #saved(atS, historyS) {
    const age = Math.max(0, Date.now() / 1000 - atS);
    byId("saved").textContent = atS ? `${span(age)} ago` : "–";
    this.#judge("saved", atS > 0 && age > ILL.savedS);
    byId("saved-note").textContent = historyS ? `baselines go back ${span(historyS)}` : "no baselines yet";
  }

  #rate(total, nowMs) {
    const { before } = this;
    this.before = { total, nowMs };
    if (!before || total < before.total) return;
    this.rates.push((1000 * (total - before.total)) / Math.max(nowMs - before.nowMs, 1));
    if (this.rates.length > SAMPLES_MAX) this.rates.shift();
    const rate = this.rates[this.rates.length - 1];
    byId("rate").textContent = short(Math.round(rate));
    byId("rate-note").textContent = `${short(total)} read`;
    const most = Math.max(...this.rates);
    byId("rate-picture").replaceChildren(trace(this.rates, `events a second lately, ${count(Math.round(most))} at most`));
  }

  #watermark(lags) {
    const worst = lags.reduce((found, lag) => (found && found[2] >= lag[2] ? found : lag), null);
    this.#judge("watermark", worst !== null && worst[2] > ILL.watermarkS);
    byId("watermark").textContent = worst ? span(Math.max(worst[2], 0)) : "–";
    byId("watermark-note").textContent = worst ? `${worst[1].topic}; late events are waited for` : "no events yet";
  }

  #tracked(rows, state) {
    const held = Object.fromEntries(rows.map(([, labels, value]) => [labels.what, value]));
    const accounts = Math.max(held.accounts ?? 0, held.actors ?? 0);
    byId("tracked").textContent = short(accounts);
    const parts = ["notes", "keywords"].filter((what) => held[what]).map((what) => `${short(held[what])} ${what}`);
    byId("tracked-note").textContent = ["accounts", ...parts, bytes(state)].join(", ");
  }
}

// The median of a histogram, from its cumulative buckets, by straight lines within a bucket.
export function median(buckets) {
  const cumulative = buckets.map(([, { le }, value]) => [Number(le.replace("+Inf", "Infinity")), value]).sort((a, b) => a[0] - b[0]);
  const total = cumulative.length ? cumulative[cumulative.length - 1][1] : 0;
  if (!total) return NaN;
  let [low, below] = [0, 0];
  for (const [edge, value] of cumulative) {
    if (value >= total / 2) return edge === Infinity ? low : low + ((edge - low) * (total / 2 - below)) / (value - below);
    [low, below] = [edge, value];
  }
  return NaN;
}
