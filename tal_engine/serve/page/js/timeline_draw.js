/**
 * Pictures of a timeline: a ruler, and rows of segments over their curves.
 * @module
 */
import { clock } from "./format.js";
import { classColour } from "./theme.js";

/** @typedef {import("./range.js").Range} Range */
/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./theme.js").Palette} Palette */

/** Pixels of the ruler and of a row. */
export const RULER = 26;
export const ROW = 34;
const FONT = "11px system-ui, sans-serif";

/**
 * Make a canvas as sharp as the screen, and empty it.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width CSS pixels
 * @param {number} height
 * @returns {CanvasRenderingContext2D}
 */
export function prepared(canvas, width, height) {
  const density = Math.min(window.devicePixelRatio || 1, 2);
  const [w, h] = [Math.max(1, Math.round(width * density)), Math.max(1, Math.round(height * density))];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  canvas.style.height = `${height}px`;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Range} range
 * @param {number} width
 * @param {Palette} palette
 */
export function drawRuler(context, range, width, palette) {
  const { times, step } = range.ticks(width);
  context.font = FONT;
  context.textBaseline = "middle";
  context.strokeStyle = palette.line;
  context.fillStyle = palette.faint;
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  for (const time of times) {
    const x = Math.round(range.x(time, width)) + 0.5;
    context.beginPath();
    context.moveTo(x, RULER - 7);
    context.lineTo(x, RULER);
    context.stroke();
    const text = clock(time, digits);
    const wide = context.measureText(text).width;
    context.fillText(text, Math.min(Math.max(x - wide / 2, 2), width - wide - 2), RULER / 2 - 2);
  }
}

/**
 * @typedef {object} Drawn
 * @property {Range} range
 * @property {number} width
 * @property {Row[]} rows
 * @property {((label_id: number) => Float32Array)|null} curve
 * @property {{start: number, step: number}|null} grid of the curves
 * @property {number} best the score that is drawn full
 * @property {import("./rows.js").Segment|null} chosen
 * @property {[number, number]|null} selection
 * @property {Palette} palette
 */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Drawn} drawn
 */
export function drawRows(context, drawn) {
  const { range, width, rows, palette } = drawn;
  const height = rows.length * ROW;
  context.lineWidth = 1;
  context.strokeStyle = palette.line;
  for (const time of range.ticks(width).times) line(context, Math.round(range.x(time, width)) + 0.5, 0, height, 0.35);
  if (drawn.selection) drawSelection(context, drawn, height, false);
  rows.forEach((row, i) => {
    context.globalAlpha = 1;
    context.fillStyle = palette.line;
    context.fillRect(0, (i + 1) * ROW - 1, width, 1);
    if (drawn.curve && drawn.grid) drawCurve(context, drawn, row, i * ROW, true);
    for (const k of inSight(row, range, width)) drawSegment(context, drawn, row, row.segments[k], row.lanes[k], i * ROW);
    if (drawn.curve && drawn.grid) drawCurve(context, drawn, row, i * ROW, false);
  });
  if (drawn.selection) drawSelection(context, drawn, height, true);
}

/**
 * Which segments of a row can be seen, worst first: one that lies behind better ones in every pixel is not drawn.
 * @param {Row} row
 * @param {Range} range
 * @param {number} width
 * @returns {number[]}
 */
export function inSight(row, range, width) {
  const taken = Array.from({ length: row.depth }, () => new Uint8Array(Math.ceil(width) + 1));
  /** @type {number[]} */
  const seen = [];
  row.segments.forEach((segment, k) => {
    if (segment.end < range.start || segment.start > range.end) return;
    const left = Math.max(Math.floor(range.x(segment.start, width)), 0);
    const right = Math.min(Math.max(Math.ceil(range.x(segment.end, width)), left + 1), Math.ceil(width) + 1);
    const lane = taken[row.lanes[k]];
    if (lane.subarray(left, right).indexOf(0) < 0) return;
    lane.fill(1, left, right);
    seen.push(k);
  });
  return seen.reverse();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} top
 * @param {number} bottom
 * @param {number} alpha
 */
function line(context, x, top, bottom, alpha) {
  context.globalAlpha = alpha;
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x, bottom);
  context.stroke();
  context.globalAlpha = 1;
}

/**
 * The curve of a row's class; of values that share a pixel the largest counts.
 * @param {CanvasRenderingContext2D} context
 * @param {Drawn} drawn
 * @param {Row} row
 * @param {number} top
 * @param {boolean} ground what lies under the segments, or else the line above them
 */
function drawCurve(context, { range, width, curve, grid, palette }, row, top, ground) {
  if (!curve || !grid) return;
  const values = curve(row.label_id);
  const at = (/** @type {number} */ i) => range.x(grid.start + (i + 0.5) * grid.step, width);
  const first = Math.max(0, Math.floor((range.start - grid.start) / grid.step) - 1);
  const last = Math.min(values.length - 1, Math.ceil((range.end - grid.start) / grid.step) + 1);
  const low = top + ROW - 2;
  context.beginPath();
  if (ground) context.moveTo(at(first), low);
  let [x, most] = [at(first), values[first]];
  for (let i = first + 1; i <= last; i++) {
    const next = at(i);
    if (Math.floor(next) === Math.floor(x)) most = Math.max(most, values[i]);
    else {
      context.lineTo(x, low - most * (ROW - 5));
      [x, most] = [next, values[i]];
    }
  }
  context.lineTo(x, low - most * (ROW - 5));
  if (ground) {
    context.lineTo(at(last), low);
    context.fillStyle = classColour(row.label_id, palette.dark, 0.16);
    context.fill();
    return;
  }
  context.strokeStyle = palette.ink;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.stroke();
  context.globalAlpha = 1;
}

/**
 * Where a segment lies in its row: [top, height] of its lane.
 * @param {Row} row
 * @param {number} lane
 */
export function laneOf(row, lane) {
  const height = (ROW - 8) / row.depth;
  return [4 + lane * height, Math.max(height - 1, 3)];
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Drawn} drawn
 * @param {Row} row
 * @param {import("./rows.js").Segment} segment
 * @param {number} lane
 * @param {number} top
 */
function drawSegment(context, { range, width, best, chosen, palette }, row, segment, lane, top) {
  const [left, right] = [range.x(segment.start, width), range.x(segment.end, width)];
  if (right < 0 || left > width) return;
  const [offset, height] = laneOf(row, lane);
  const [x, y, w] = [Math.max(left, -8), top + offset, Math.max(Math.min(right, width + 8) - Math.max(left, -8), 2)];
  const share = best > 0 ? Math.min(Math.max(segment.score / best, 0), 1) : 1;
  context.beginPath();
  context.roundRect(x, y, w, height, Math.min(4, w / 2, height / 2));
  context.fillStyle = palette.ground;
  context.fill();
  context.fillStyle = classColour(row.label_id, palette.dark, segment.provisional ? 0.1 : 0.15 + 0.45 * share);
  context.fill();
  context.strokeStyle = segment === chosen ? palette.ink : classColour(row.label_id, palette.dark);
  context.lineWidth = segment === chosen ? 2 : 1;
  context.setLineDash(segment.provisional ? [4, 3] : []);
  context.stroke();
  context.setLineDash([]);
  const text = (segment.provisional ? "? " : "") + segment.score.toFixed(2);
  context.font = FONT;
  if (height >= 12 && w > context.measureText(text).width + 10) {
    context.fillStyle = palette.ink;
    context.textBaseline = "middle";
    context.fillText(text, Math.max(x, 0) + 5, y + height / 2 + 0.5);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Drawn} drawn
 * @param {number} height
 * @param {boolean} edges or else the ground
 */
function drawSelection(context, { range, width, selection, palette }, height, edges) {
  const [start, end] = /** @type {[number, number]} */ (selection);
  const [left, right] = [range.x(start, width), range.x(end, width)];
  if (!edges) {
    context.globalAlpha = 0.2;
    context.fillStyle = palette.select;
    context.fillRect(left, 0, right - left, height);
    context.globalAlpha = 1;
    return;
  }
  context.strokeStyle = palette.select;
  context.lineWidth = 2;
  for (const x of [left, right]) line(context, x, 0, height, 1);
}
