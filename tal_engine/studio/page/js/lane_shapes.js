/**
 * Shapes of labels: a bar, a bar that is hatched, a diamond on a stem.
 * @module
 */
import { ROW } from "../shared/js/timeline_draw.js";

/** @typedef {import("./book.js").Label} Label */

/** Pixels of labels in their row. */
export const LABELS = { top: 3, height: 15 };

/**
 * A segment, or a stretch in which nothing happens.
 * @param {CanvasRenderingContext2D} context
 * @param {Label} label
 * @param {number} left
 * @param {number} y
 * @param {number} w
 * @param {boolean} here
 */
export function bar(context, label, left, y, w, here) {
  context.beginPath();
  context.roundRect(left, y, w, LABELS.height, Math.min(4, w / 2));
  if (label.kind === "nothing") hatch(context, left, y, w);
  else {
    context.globalAlpha *= 0.85;
    context.fill();
  }
  context.globalAlpha = 1;
  context.stroke();
  if (here) for (const x of [left, left + w]) context.fillRect(x - 2.5, y - 1, 5, LABELS.height + 2);
}

/** @type {(context: CanvasRenderingContext2D, x: number, y: number) => void} */
export const stem = (context, x, y) => context.fillRect(x - 0.75, y - 2, 1.5, ROW - 4);

/**
 * A diamond on a stem.
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {boolean} here
 */
export function point(context, x, y, here) {
  const r = here ? 7.5 : 6;
  const middle = y + LABELS.height / 2;
  stem(context, x, y);
  context.beginPath();
  context.moveTo(x, middle - r);
  context.lineTo(x + r, middle);
  context.lineTo(x, middle + r);
  context.lineTo(x - r, middle);
  context.closePath();
  context.fill();
  if (here) context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} y
 * @param {number} w
 */
function hatch(context, left, y, w) {
  context.save();
  context.clip();
  context.globalAlpha = 0.6;
  context.beginPath();
  for (let x = left - LABELS.height; x < left + w; x += 6) {
    context.moveTo(x, y + LABELS.height);
    context.lineTo(x + LABELS.height, y);
  }
  context.stroke();
  context.restore();
  context.beginPath();
  context.roundRect(left, y, w, LABELS.height, Math.min(4, w / 2));
}
