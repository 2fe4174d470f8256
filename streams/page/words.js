// How things are put in words: counts, spans of time, and text that came from outside.

export const KINDS = {
  follower_spike: { title: "Bought followers", things: "followers" },
  like_boost: { title: "Bought likes", things: "likes" },
  keyword_ranking: { title: "Pushed search result", things: "clicks" },
  keyword_trend: { title: "Fake trend", things: "searches" },
  automation: { title: "Automation", things: "actions" },
  lockstep: { title: "Lockstep", things: "actions" },
};

export const kindOf = (name) => KINDS[name] ?? { title: clean(name), things: "actions" };

// Text from outside is only ever set as textContent; what would still turn its direction or hide in it is spelt out.
export function clean(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

export function count(number) {
  if (!Number.isFinite(number)) return "–";
  const digits = Math.abs(number) >= 100 || Number.isInteger(number) ? 0 : Math.abs(number) >= 10 ? 1 : 2;
  return number.toLocaleString("en", { maximumFractionDigits: digits });
}

// For tiles, where width is scarce.
export function short(number) {
  if (!Number.isFinite(number)) return "–";
  return number < 10_000 ? count(number) : number.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

export function bytes(number) {
  return number < 1 << 20 ? `${count(number / 1024)} KiB` : `${count(number / (1 << 20))} MiB`;
}

const UNITS = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];

export function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const at = UNITS.findIndex(([, size]) => whole >= size);
  const [name, size] = UNITS[at];
  const rest = UNITS[at + 1] ? Math.floor((whole % size) / UNITS[at + 1][1]) : 0;
  return `${Math.floor(whole / size)} ${name}${rest ? ` ${rest} ${UNITS[at + 1][0]}` : ""}`;
}

// In whole units of the largest: what is read at a glance needs no seconds beside its minutes.
export function ago(timeMs, nowMs = Date.now()) {
  const seconds = Math.floor(Math.max(0, (nowMs - timeMs) / 1000));
  if (seconds < 2) return "now";
  const [name, size] = UNITS.find(([, least]) => seconds >= least);
  return `${Math.floor(seconds / size)} ${name} ago`;
}

export function clock(timeMs) {
  return new Date(timeMs).toLocaleTimeString("en", { hour12: false });
}

export function percent(share) {
  return `${(100 * share).toLocaleString("en", { maximumFractionDigits: share < 0.1 ? 1 : 0 })}%`;
}
