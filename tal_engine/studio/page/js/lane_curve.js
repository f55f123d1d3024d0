/**
 * Activation of a class, behind its row.
 * @module
 */
import { classColour } from "../shared/js/theme.js";
import { ROW } from "../shared/js/timeline_draw.js";

/**
 * Of values that share a pixel the largest counts.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./lane_draw.js").Lanes} lanes
 * @param {Float32Array} values in [0, 1]
 * @param {number} id of the class
 * @param {number} top
 */
export function drawCurve(context, { range, width, curves, palette }, values, id, top) {
  const times = /** @type {any} */ (curves).times;
  const first = Math.max(0, search(times, range.start) - 1);
  const last = Math.min(values.length - 1, search(times, range.end) + 1);
  if (last < first) return;
  const low = top + ROW - 1;
  const y = (/** @type {number} */ v) => low - v * (ROW - 4);
  context.beginPath();
  context.moveTo(range.x(times[first], width), low);
  let [x, most] = [range.x(times[first], width), values[first]];
  for (let i = first + 1; i <= last; i++) {
    const next = range.x(times[i], width);
    if (Math.floor(next) === Math.floor(x)) most = Math.max(most, values[i]);
    else {
      context.lineTo(x, y(most));
      [x, most] = [next, values[i]];
    }
  }
  context.lineTo(x, y(most));
  context.lineTo(x, low);
  context.fillStyle = classColour(id, palette.dark, 0.2);
  context.fill();
}

/**
 * The first place whose time is not before a moment.
 * @param {Float64Array} times ascending
 * @param {number} time
 */
export function search(times, time) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Make curves quick to draw; they come as shares of 1, or are scaled to them with all classes on one scale.
 * @param {Record<string, number[]>|null|undefined} curves
 */
export function curvesOf(curves) {
  if (!curves?.times?.length) return null;
  const times = Float64Array.from(curves.times);
  let [low, high] = [0, 1];
  for (const [name, values] of Object.entries(curves)) {
    if (name !== "times") for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  }
  const known = new Map(Object.entries(curves).filter(([name]) => name !== "times").map(([name, values]) =>
    [name, Float32Array.from(values, (v) => (v - low) / (high - low))]));
  return { times, of: (/** @type {string} */ label) => known.get(label) || null };
}
