// Small drawings. Every one has a text beside it or a label of its own that says the same.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function picture(width, height, label, ...children) {
  const attributes = { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", focusable: "false" };
  const hidden = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return drawn("svg", { ...attributes, ...hidden }, ...children);
}

// What came beside what was to be expected: two bars on one scale.
export function bars(observed, expected, label) {
  const most = Math.max(observed, expected, 1e-9);
  const width = (value) => Math.max((300 * value) / most, value > 0 ? 1.5 : 0);
  return picture(
    300, 30, label,
    drawn("rect", { class: "track", x: 0, y: 0, width: 300, height: 13, rx: 2 }),
    drawn("rect", { class: "came", x: 0, y: 0, width: width(observed), height: 13, rx: 2 }),
    drawn("rect", { class: "track", x: 0, y: 17, width: 300, height: 13, rx: 2 }),
    drawn("rect", { class: "usual", x: 0, y: 17, width: width(expected), height: 13, rx: 2 }),
  );
}

// One share of a whole as a bar, with a mark where it usually is.
export function share(observed, expected) {
  return picture(
    100, 8, null,
    drawn("rect", { class: "track", x: 0, y: 1, width: 100, height: 6, rx: 1 }),
    drawn("rect", { class: "came", x: 0, y: 1, width: 100 * observed, height: 6, rx: 1 }),
    drawn("rect", { class: "mark", x: Math.min(98.5, 100 * expected), y: 0, width: 1.5, height: 8 }),
  );
}

// How an episode grew: [time, observed] points, with the expected level at the end.
export function growth(points, expected, label) {
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const most = Math.max(expected, ...points.map(([, value]) => value)) || 1;
  const x = (time) => (last > first ? (300 * (time - first)) / (last - first) : 300);
  const y = (value) => 38 - (36 * value) / most;
  let path = `M0 ${y(points[0][1])}`;
  for (const [time, value] of points.slice(1)) path += `H${x(time).toFixed(1)}V${y(value).toFixed(1)}`;
  return picture(
    300, 40, label,
    drawn("path", { class: "area", d: `${path}V39H0Z` }),
    drawn("path", { class: "line", d: path, "vector-effect": "non-scaling-stroke" }),
    drawn("line", { class: "level", x1: 0, x2: 300, y1: y(expected), y2: y(expected), "vector-effect": "non-scaling-stroke" }),
  );
}

// A line over the last samples, from 0 up.
export function trace(samples, label) {
  const values = samples.length === 1 ? [samples[0], samples[0]] : samples;
  const most = Math.max(...values, 1e-9);
  const step = 200 / Math.max(values.length - 1, 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(29 - (27 * value) / most).toFixed(1)}`);
  return picture(
    200, 30, label,
    drawn("polygon", { class: "area", points: `0,30 ${points.join(" ")} 200,30` }),
    drawn("polyline", { class: "line", points: points.join(" "), "vector-effect": "non-scaling-stroke" }),
  );
}

// When things happened in the last `spanMs`: a tick each, now at the right.
export function ticks(times, nowMs, spanMs, label) {
  const recent = times.filter((time) => nowMs - time < spanMs);
  return picture(
    200, 10, label,
    drawn("line", { class: "axis", x1: 0, x2: 200, y1: 9.5, y2: 9.5 }),
    ...recent.map((time) => drawn("rect", { class: "came", x: Math.min(197, 200 * (1 - (nowMs - time) / spanMs)), y: 0, width: 3, height: 9 })),
  );
}
