/**
 * Pictures of rows: activation, suggestions (dashed, below), labels (full, above). Only what is in sight is drawn.
 * @module
 */
import { classColour } from "../shared/js/theme.js";
import { inSight, ROW } from "../shared/js/timeline_draw.js";
import { drawCurve } from "./lane_curve.js";
import { whose } from "./lane_rows.js";
import { bar, LABELS, point, stem } from "./lane_shapes.js";

/** @typedef {import("./book.js").Label} Label */
/** @typedef {import("./lane_rows.js").LaneRow} LaneRow */
/** @typedef {import("../shared/js/theme.js").Palette} Palette */

/** Pixels of suggestions in their row, below labels. */
export const GUESSES = { top: 20, height: 11 };
/** Pixels below which a bar has no outline. */
const SMALL = 7;
/** Pixels that one diamond is drawn for; other points there are stems alone, for diamonds would lie upon each other. */
const CLOSE = 5;

/**
 * @typedef {object} Lanes
 * @property {import("../shared/js/range.js").Range} range
 * @property {number} width
 * @property {LaneRow[]} rows
 * @property {{times: Float64Array, of: (label: string) => Float32Array|null}|null} curves
 * @property {string|null} chosen id of a label
 * @property {any} guess the suggestion that is chosen
 * @property {Label[]} drafts what is being marked or dragged, instead of the label of the same id
 * @property {[number, number]|null} selection
 * @property {(label: string) => number} floor least score that counts
 * @property {Set<any>|null} hits suggestions that are right; null: that is not shown
 * @property {Set<string>} waiting ids of labels that are not saved yet
 * @property {Palette & {bad: string, good: string}} palette
 */

/**
 * What lies below labels: lines of time, activation, suggestions. It changes seldom, and is kept as a picture.
 * @param {CanvasRenderingContext2D} context
 * @param {Lanes} lanes
 */
export function drawGround(context, lanes) {
  const { range, width, rows, palette } = lanes;
  context.lineWidth = 1;
  context.globalAlpha = 0.35;
  context.strokeStyle = palette.line;
  for (const time of range.ticks(width).times) upright(context, Math.round(range.x(time, width)) + 0.5, 0, rows.length * ROW);
  context.globalAlpha = 1;
  rows.forEach((row, i) => {
    const top = i * ROW;
    context.fillStyle = palette.line;
    context.fillRect(0, top + ROW - 1, width, 1);
    const curve = lanes.curves?.of(row.label);
    if (curve) drawCurve(context, lanes, curve, row.label_id, top);
    for (const k of inSight(row, range, width)) drawGuess(context, lanes, row, row.segments[k], row.lanes[k], top, false);
  });
}

/**
 * Labels of a row as they are while nobody has chosen them.
 * @param {CanvasRenderingContext2D} context
 * @param {Lanes} lanes
 * @param {LaneRow} row
 * @param {Label[]} labels of the row, by start
 * @param {number} top
 * @param {[number, number]} [part] seconds; what lies outside is drawn already
 */
export function drawLabels(context, lanes, row, labels, top, part = [-Infinity, Infinity]) {
  const { range, width } = lanes;
  let before = NaN;
  for (const label of labels) {
    if (label.end < range.start || label.start > range.end) continue;
    const place = Math.floor(range.x(label.start, width) / CLOSE);
    if (label.end >= part[0] && label.start <= part[1]) drawLabel(context, lanes, row, label, top, false, false, place === before);
    before = place;
  }
}

/**
 * What lies above all labels: what is chosen, marked or not saved yet, and the range.
 * @param {CanvasRenderingContext2D} context
 * @param {Lanes} lanes
 */
export function drawChosen(context, lanes) {
  const { range, rows, drafts, waiting, chosen } = lanes;
  const height = rows.length * ROW;
  if (lanes.selection) ground(context, lanes, height);
  const drafted = new Set(drafts.map((d) => d.id));
  rows.forEach((row, i) => {
    const top = i * ROW;
    const k = lanes.guess ? row.segments.findIndex((s) => same(s, lanes.guess)) : -1;
    if (k >= 0) drawGuess(context, lanes, row, row.segments[k], row.lanes[k], top, true);
    for (const label of chosen || waiting.size ? row.labels : []) {
      if (label.end < range.start || label.start > range.end || drafted.has(label.id)) continue;
      if (label.id === chosen) drawLabel(context, lanes, row, label, top, false, true);
      if (waiting.has(label.id)) dot(context, range.x(label.start, lanes.width), top, lanes.palette.select);
    }
    for (const draft of drafts) if (belongs(draft, row)) drawLabel(context, lanes, row, draft, top, true, draft.id === chosen);
  });
  if (lanes.selection) edges(context, lanes, height);
}

/**
 * Say that a label is not saved yet.
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} top
 * @param {string} colour
 */
function dot(context, x, top, colour) {
  context.beginPath();
  context.arc(x + 8, top + LABELS.top + 3, 2.5, 0, 7);
  context.fillStyle = colour;
  context.fill();
}

/**
 * @param {Label} label
 * @param {LaneRow} row
 */
export function belongs(label, row) {
  return label.label === "" || (label.label === row.label && whose(label) === row.subject);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} top
 * @param {number} bottom
 */
function upright(context, x, top, bottom) {
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x, bottom);
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Lanes} lanes
 * @param {LaneRow} row
 * @param {any} guess
 * @param {number} lane
 * @param {number} top
 * @param {boolean} chosen
 */
function drawGuess(context, { range, width, palette, floor, hits }, row, guess, lane, top, chosen) {
  const [left, w] = spanOf(range, width, guess);
  const height = GUESSES.height / row.depth;
  const counts = guess.score >= floor(row.label);
  const colour = hits && counts ? (hits.has(guess) ? palette.good : palette.bad) : classColour(row.label_id, palette.dark);
  const y = top + GUESSES.top + lane * height;
  if (w < SMALL && !chosen) { // hours are shown: a stroke, for there are many
    context.globalAlpha = counts ? 0.6 : 0.2;
    context.fillStyle = colour;
    context.fillRect(left, y, w, Math.max(height - 1, 3));
    context.globalAlpha = 1;
    return;
  }
  context.beginPath();
  context.roundRect(left, y, w, Math.max(height - 1, 3), Math.min(4, w / 2));
  context.globalAlpha = counts ? 1 : 0.3;
  context.fillStyle = palette.ground;
  context.fill();
  context.globalAlpha = counts ? 0.28 : 0.08;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = counts ? 1 : 0.45;
  context.strokeStyle = chosen ? palette.ink : colour;
  context.lineWidth = chosen ? 2 : 1.25;
  context.setLineDash([4, 3]);
  context.stroke();
  context.setLineDash([]);
  context.globalAlpha = 1;
  if (hits && counts && w >= 12) sign(context, hits.has(guess) ? "✓" : "✕", left + w / 2, top + GUESSES.top + GUESSES.height / 2, colour);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {string} colour
 */
function sign(context, text, x, y, colour) {
  context.font = "bold 10px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(text, x, y);
  context.textAlign = "left";
}

/**
 * @param {any} a
 * @param {any} b
 */
export function same(a, b) {
  return Boolean(a && b) && a.start === b.start && a.end === b.end && a.label === b.label;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Lanes} lanes
 * @param {LaneRow} row
 * @param {Label} label
 * @param {number} top
 * @param {boolean} draft
 * @param {boolean} here it is chosen
 * @param {boolean} [crowded] another one is almost where it is
 */
function drawLabel(context, { range, width, palette }, row, label, top, draft, here, crowded = false) {
  const colour = label.kind === "nothing" ? palette.faint : classColour(row.label_id, palette.dark);
  context.strokeStyle = here ? palette.ink : colour;
  context.fillStyle = colour;
  context.lineWidth = here ? 2 : 1;
  context.globalAlpha = draft ? 0.75 : 1;
  const y = top + LABELS.top;
  if (label.kind === "point" && crowded) stem(context, range.x(label.start, width), y);
  else if (label.kind === "point") point(context, range.x(label.start, width), y, here);
  else {
    const [left, w] = spanOf(range, width, label);
    if (w < SMALL && !here && label.kind === "segment") context.fillRect(left, y, w, LABELS.height);
    else bar(context, label, left, y, w, here);
  }
  context.globalAlpha = 1;
}

/**
 * Left edge and width in pixels, cut where nothing is seen.
 * @param {import("../shared/js/range.js").Range} range
 * @param {number} width
 * @param {{start: number, end: number}} what
 * @returns {[number, number]}
 */
function spanOf(range, width, what) {
  const left = Math.max(range.x(what.start, width), -8);
  return [left, Math.max(Math.min(range.x(what.end, width), width + 8) - left, 3)];
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Lanes} lanes
 * @param {number} height
 */
function ground(context, { range, width, selection, palette }, height) {
  const [start, end] = /** @type {[number, number]} */ (selection);
  context.globalAlpha = 0.2;
  context.fillStyle = palette.select;
  context.fillRect(range.x(start, width), 0, range.x(end, width) - range.x(start, width), height);
  context.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Lanes} lanes
 * @param {number} height
 */
function edges(context, { range, width, selection, palette }, height) {
  context.strokeStyle = palette.select;
  context.lineWidth = 2;
  for (const time of /** @type {[number, number]} */ (selection)) upright(context, range.x(time, width), 0, height);
}
