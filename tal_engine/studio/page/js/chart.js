/**
 * A curve with its band, as SVG; the same as a table for readers of screens.
 * @module
 */
import { el } from "../shared/js/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [W, H, LEFT, BOTTOM, TOP, RIGHT] = [460, 210, 46, 34, 12, 14];

/** @typedef {{x: number, y: number, low: number|null, high: number|null, title: string}} Point */

/**
 * @param {string} name
 * @param {Record<string, string|number>} attributes
 * @param {string} [text]
 */
function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/**
 * Round steps of an axis.
 * @param {number} most
 * @param {number} [parts]
 * @returns {number[]}
 */
export function steps(most, parts = 4) {
  if (!(most > 0)) return [0, 1];
  const rough = most / parts;
  const scale = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * scale).find((s) => s >= rough - 1e-12) || rough;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/**
 * Leave out what later points take back: where labels were removed, those that were learned from are not there any more.
 * @param {Point[]} points in order of time
 * @returns {Point[]} by x, the newest last
 */
export function forward(points) {
  /** @type {Point[]} */
  const kept = [];
  for (const p of points) {
    while (kept.length && kept[kept.length - 1].x >= p.x) kept.pop();
    kept.push(p);
  }
  return kept;
}

/**
 * Draw a measure over the number of labels.
 * @param {Point[]} made in order of time
 * @param {{title: string, x: string, unit: string, most?: number}} options most: the end of the y axis
 * @returns {HTMLElement}
 */
export function chart(made, options) {
  const points = forward(made);
  const tops = steps(options.most ?? Math.max(...points.map((p) => p.high ?? p.y), 1e-9));
  const rights = steps(Math.max(...points.map((p) => p.x), 1));
  const x = (/** @type {number} */ v) => LEFT + (v / rights[rights.length - 1]) * (W - LEFT - RIGHT);
  const y = (/** @type {number} */ v) => H - BOTTOM - (v / tops[tops.length - 1]) * (H - BOTTOM - TOP);
  const at = (/** @type {Point} */ p, /** @type {number} */ v) => `${x(p.x).toFixed(1)},${y(Math.min(Math.max(v, 0), tops[tops.length - 1])).toFixed(1)}`;
  const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": `${options.title}: ${points.map((p) => p.title).slice(-1)}` });
  for (const v of tops) {
    picture.append(svg("line", { x1: LEFT, x2: W - RIGHT, y1: y(v), y2: y(v), class: "grid" }));
    picture.append(svg("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, `${v}`));
  }
  for (const v of rights) picture.append(svg("text", { x: x(v), y: H - BOTTOM + 16, "text-anchor": "middle" }, `${v}`));
  picture.append(svg("text", { x: (LEFT + W - RIGHT) / 2, y: H - 4, "text-anchor": "middle" }, options.x));
  const banded = points.filter((p) => p.low !== null && p.high !== null);
  if (banded.length > 1) {
    const outline = [...banded.map((p) => at(p, /** @type {number} */ (p.high))), ...[...banded].reverse().map((p) => at(p, /** @type {number} */ (p.low)))];
    picture.append(svg("polygon", { points: outline.join(" "), class: "band" }));
  }
  if (banded.length === 1) { // a band needs two: one has a bar with ends
    const [{ x: at0, low, high }] = banded;
    const [mid, top, bottom] = [x(at0), y(Math.min(Number(high), tops[tops.length - 1])), y(Math.max(Number(low), 0))];
    picture.append(svg("path", { d: `M${mid} ${top}V${bottom}M${mid - 6} ${top}h12M${mid - 6} ${bottom}h12`, class: "whisker" }));
  }
  if (points.length > 1) picture.append(svg("polyline", { points: points.map((p) => at(p, p.y)).join(" "), class: "curve" }));
  for (const p of points) {
    const dot = svg("circle", { cx: x(p.x), cy: y(p.y), r: 4, class: "dot" });
    dot.append(svg("title", {}, p.title));
    picture.append(dot);
  }
  return el("figure", { class: "chart-box" }, el("figcaption", { text: options.title }), picture,
    el("details", {}, el("summary", { class: "quiet-summary", text: "As a table" }), table(points, options)));
}

/**
 * @param {Point[]} points
 * @param {{title: string, x: string, unit: string}} options
 */
function table(points, options) {
  const digits = (/** @type {number|null} */ v) => (v === null ? "" : v.toFixed(1));
  return el("table", { class: "plain-table" },
    el("thead", {}, el("tr", {}, ...[options.x, options.unit, "from", "to"].map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...points.map((p) => el("tr", {}, el("th", { scope: "row", text: String(p.x) }), el("td", { text: digits(p.y) }), el("td", { text: digits(p.low) }), el("td", { text: digits(p.high) })))));
}
