/**
 * Pictures of rows that lie upon each other, so that a key draws only what it changes: ground, labels, what is chosen.
 * @module
 */
import { el } from "../shared/js/dom.js";
import { prepared, ROW } from "../shared/js/timeline_draw.js";
import { drawChosen, drawGround, drawLabels } from "./lane_draw.js";

/** @typedef {import("./book.js").Label} Label */
/** @typedef {import("./lane_draw.js").Lanes} Lanes */

/** Pixels beside a label within which its picture, and that of the next one, may change with it. */
const BESIDE = 20;

export class LaneLayers {
  /** @param {HTMLCanvasElement} labels in the page, between the two others */
  constructor(labels) {
    this.labels = labels;
    this.ground = el("canvas", { class: "layer", "aria-hidden": "true" });
    this.chosen = el("canvas", { class: "layer", "aria-hidden": "true" });
    labels.before(this.ground);
    labels.after(this.chosen);
    /** What the ground and the labels show. */
    this.groundOf = this.labelsOf = "";
    /** @type {Label[][]} what is drawn in each row */
    this.drawn = [];
    /** Whether anything is on the uppermost picture. */
    this.used = false;
  }

  /**
   * @param {Lanes} lanes
   * @param {string} view changes with the part that is shown, its size and its colours
   * @param {number} version of suggestions, curves and thresholds
   */
  draw(lanes, view, version) {
    const { width, rows } = lanes;
    const height = Math.max(rows.length, 1) * ROW;
    const shape = `${view} ${rows.map((r) => r.key)}`;
    if (this.groundOf !== `${shape} ${version}`) drawGround(prepared(this.ground, width, height), lanes);
    this.groundOf = `${shape} ${version}`;
    const hidden = new Set(lanes.drafts.map((d) => d.id));
    const now = rows.map((r) => (hidden.size ? r.labels.filter((l) => !hidden.has(l.id)) : r.labels));
    if (this.labelsOf !== shape) {
      const context = prepared(this.labels, width, height);
      rows.forEach((row, i) => drawLabels(context, lanes, row, now[i], i * ROW));
    } else now.forEach((labels, i) => this.renew(lanes, i, labels));
    [this.labelsOf, this.drawn] = [shape, now];
    const wanted = Boolean(lanes.selection || lanes.guess || lanes.chosen || lanes.drafts.length || lanes.waiting.size);
    if (wanted || this.used) drawChosen(prepared(this.chosen, width, height), lanes);
    this.used = wanted;
  }

  /**
   * Draw the part of a row anew in which its labels are others than before.
   * @param {Lanes} lanes
   * @param {number} i
   * @param {Label[]} labels
   */
  renew(lanes, i, labels) {
    const span = changed(this.drawn[i], labels);
    if (!span) return;
    const { range, width, rows } = lanes;
    const left = Math.max(Math.floor(range.x(span[0], width)) - BESIDE, 0);
    const right = Math.min(Math.ceil(range.x(span[1], width)) + BESIDE, Math.ceil(width));
    if (right <= left) return;
    const context = /** @type {CanvasRenderingContext2D} */ (this.labels.getContext("2d"));
    context.save();
    context.beginPath();
    context.rect(left, i * ROW, right - left, ROW);
    context.clip();
    context.clearRect(left, i * ROW, right - left, ROW);
    drawLabels(context, lanes, rows[i], labels, i * ROW, [range.time(left - BESIDE, width), range.time(right + BESIDE, width)]);
    context.restore();
  }
}

/**
 * The seconds within which labels by start are others than before; null: nowhere.
 * @param {Label[]} before
 * @param {Label[]} now
 * @returns {[number, number]|null}
 */
export function changed(before, now) {
  let first = 0;
  while (first < before.length && first < now.length && alike(before[first], now[first])) first += 1;
  let [last, end] = [before.length, now.length];
  while (last > first && end > first && alike(before[last - 1], now[end - 1])) [last, end] = [last - 1, end - 1];
  const others = [...before.slice(first, last), ...now.slice(first, end)];
  if (!others.length) return null;
  return [Math.min(...others.map((l) => l.start)), Math.max(...others.map((l) => l.end))];
}

/**
 * @param {Label} a
 * @param {Label} b
 */
function alike(a, b) {
  return a === b || (a.id === b.id && a.start === b.start && a.end === b.end && a.kind === b.kind);
}
