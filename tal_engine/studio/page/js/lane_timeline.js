/**
 * The studio's timeline: labels that can be taken hold of, suggestions, activation.
 * @module
 */
import { write } from "../shared/js/dom.js";
import { clock, score } from "../shared/js/format.js";
import { CHANGED, palette } from "../shared/js/theme.js";
import { Timeline } from "../shared/js/timeline.js";
import { drawRuler, laneOf, prepared, ROW, RULER } from "../shared/js/timeline_draw.js";
import { GUESSES, same } from "./lane_draw.js";
import { LaneLayers } from "./lane_layers.js";
import { titleOf } from "./lane_rows.js";
import { LABELS } from "./lane_shapes.js";

/** @typedef {import("./book.js").Label} Label */

/** Pixels around an end or a point that take hold of it. */
const REACH = /** @type {Record<string, number>} */ ({ mouse: 6, pen: 8, touch: 16 });

/** Tells, beside what timelines tell, `moved` (detail: {id, start, end}) when a label was dragged. */
export class LaneTimeline extends Timeline {
  /**
   * @param {number} length seconds
   * @param {AbortSignal} signal
   * @param {{label: string, fps?: number, frozen?: boolean}} options frozen: labels cannot be dragged
   */
  constructor(length, signal, options) {
    super(length, signal, options);
    this.frozen = Boolean(options.frozen);
    /** @type {import("./lane_draw.js").Lanes["curves"]} */
    this.curves = null;
    /** @type {string|null} id of the label that is chosen */
    this.chosenLabel = null;
    /** @type {any} the suggestion that is chosen */
    this.guess = null;
    /** @type {Label[]} */
    this.drafts = [];
    /** @type {(label: string) => number} */
    this.floor = () => -Infinity;
    /** @type {Set<any>|null} */
    this.hits = null;
    /** @type {Set<string>} */
    this.waiting = new Set();
    this.layers = new LaneLayers(this.picture);
    /** The part that the ruler shows, and how. */
    this.view = "";
    /** @type {ReturnType<typeof more>|null} asked for when they change only: asking makes the browser compute styles */
    this.colours = null;
    window.addEventListener(CHANGED, () => (this.colours = null), { signal });
    /** Counts changes of suggestions, curves and thresholds. */
    this.version = 0;
    /** @type {(time: number) => number} to the frame that labels lie on */
    this.snap = (time) => time;
  }

  /** @returns {import("./lane_rows.js").LaneRow[]} */
  get lanes() {
    return /** @type {any} */ (this.rows);
  }

  counted() {
    this.names.querySelectorAll(".row-count").forEach((place, i) => {
      const n = this.lanes[i].labels.filter((l) => l.kind !== "nothing").length;
      write(place, String(n));
    });
  }

  draw() {
    this.width = this.measured || this.plot.clientWidth;
    if (!this.width) return;
    const shown = `${this.range.start} ${this.range.end}`;
    if (this.plot.dataset.range !== shown) this.plot.dataset.range = shown;
    const colours = (this.colours ??= more(palette()));
    const view = `${shown} ${this.width} ${window.devicePixelRatio} ${Object.values(colours)}`;
    if (view !== this.view) drawRuler(prepared(this.ruler, this.width, RULER), this.range, this.width, colours);
    this.view = view;
    this.layers.draw({
      range: this.range, width: this.width, rows: this.lanes, curves: this.curves, chosen: this.chosenLabel, guess: this.guess,
      drafts: this.drafts, selection: this.selection, floor: this.floor, hits: this.hits, waiting: this.waiting, palette: colours,
    }, view, this.version);
    this.placed();
  }

  /** Draw at once what has changed: in a frame that is being made already. */
  now() {
    cancelAnimationFrame(this.frame);
    this.draw();
  }

  /** Suggestions, curves or thresholds are others now. */
  renewed() {
    this.version += 1;
    this.changed();
  }

  /**
   * The label or the suggestion at a place of the rows.
   * @param {number} x
   * @param {number} y
   * @returns {any}
   */
  segmentAt(x, y) {
    return this.labelAt(x, y, 4) || this.guessAt(x, y);
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} reach pixels
   * @returns {Label|null} the chosen one before others, then the shortest
   */
  labelAt(x, y, reach) {
    const row = this.lanes[Math.floor(y / ROW)];
    const within = ((y % ROW) + ROW) % ROW;
    if (!row || within > LABELS.top + LABELS.height + 2) return null;
    const slack = (this.range.span / this.width) * reach;
    const time = this.range.time(x, this.width);
    const near = row.labels.filter((l) => time >= l.start - slack * (l.kind === "point" ? 1.5 : 1) && time <= l.end + slack * (l.kind === "point" ? 1.5 : 1));
    return near.find((l) => l.id === this.chosenLabel) || near.sort((a, b) => (a.end - a.start) - (b.end - b.start))[0] || null;
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  guessAt(x, y) {
    const row = this.lanes[Math.floor(y / ROW)];
    if (!row || (y % ROW) < GUESSES.top - 2) return null;
    const time = this.range.time(x, this.width);
    const slack = (this.range.span / this.width) * 3;
    return row.segments.find((s, i) => {
      const [top, height] = laneOf(row, row.lanes[i]);
      const share = GUESSES.top + ((top - 4) / (ROW - 8)) * GUESSES.height;
      const lane = row.depth === 1 || ((y % ROW) >= share && (y % ROW) <= share + (height / (ROW - 8)) * GUESSES.height + 1);
      return lane && time >= s.start - slack && time <= s.end + slack;
    }) || null;
  }

  /**
   * Take hold of a label: one of its ends, or all of it.
   * @param {number} x
   * @param {number} y
   * @param {string} pointer
   * @returns {import("../shared/js/timeline.js").Grip|null}
   */
  grip(x, y, pointer) {
    const reach = REACH[pointer] || 6;
    const label = this.frozen ? null : this.labelAt(x, y, reach);
    if (!label) return null;
    const part = this.partOf(label, x, reach);
    const from = this.range.time(x, this.width);
    /** @type {{start: number, end: number}|null} */
    let now = null;
    return {
      move: (time) => {
        now = dragged(label, part, time, time - from, this.range.length, this.snap);
        this.drafts = [{ ...label, ...now }];
        this.dispatchEvent(new CustomEvent("dragging", { detail: part === "end" ? now.end : now.start }));
        this.changed();
      },
      drop: () => {
        this.drafts = [];
        this.changed();
        if (now) this.dispatchEvent(new CustomEvent("moved", { detail: { id: label.id, ...now } }));
      },
      cancel: () => {
        if (now) this.drafts = [];
        this.changed();
      },
    };
  }

  /**
   * @param {Label} label
   * @param {number} x
   * @param {number} reach
   * @returns {"start"|"end"|"all"}
   */
  partOf(label, x, reach) {
    if (label.kind === "point") return "all";
    const [left, right] = [this.range.x(label.start, this.width), this.range.x(label.end, this.width)];
    // An end is as wide as it can be while something is left between them to take all by.
    const inside = Math.min(reach, (right - left) / 4);
    if (x <= left + inside) return "start";
    return x >= right - inside ? "end" : "all";
  }

  /**
   * @param {any} segment
   * @param {number} x
   * @param {number} y of the plot
   */
  point(segment, x, y) {
    super.point(segment, x, y);
    const label = segment && !segment.found && !this.frozen ? segment : null;
    this.plot.style.cursor = !label ? "" : label.kind === "point" || this.partOf(label, x, 6) === "all" ? "grab" : "ew-resize";
  }

  /** @param {any} what */
  describe(what) {
    const times = what.end > what.start ? `${clock(what.start)} – ${clock(what.end)}` : clock(what.start);
    if (what.found) return `${what.label} · ${times} · suggested, score ${score(what.score)}`;
    return `${titleOf(what)} · ${times}${what.author ? ` · ${what.author}` : ""}${what.note ? ` · ${what.note}` : ""}${this.waiting.has(what.id) ? " · not saved yet" : ""}`;
  }

  /** @param {any} guess */
  isChosen(guess) {
    return same(guess, this.guess);
  }
}

/**
 * Where a label lies while it is dragged.
 * @param {{start: number, end: number}} label
 * @param {"start"|"end"|"all"} part
 * @param {number} time of the pointer
 * @param {number} by seconds since it was taken
 * @param {number} length of the video
 * @param {(time: number) => number} snap
 */
export function dragged(label, part, time, by, length, snap) {
  const inside = (/** @type {number} */ t) => Math.min(Math.max(t, 0), length);
  if (part === "all") {
    const span = label.end - label.start;
    const start = Math.min(Math.max(snap(label.start + by), 0), length - span);
    return { start, end: start + span };
  }
  const [fixed, moved] = [part === "start" ? label.end : label.start, inside(snap(time))];
  return moved <= fixed ? { start: moved, end: fixed } : { start: fixed, end: moved };
}

/** @param {import("../shared/js/theme.js").Palette} colours */
function more(colours) {
  const style = getComputedStyle(document.documentElement);
  return { ...colours, bad: style.getPropertyValue("--bad").trim(), good: style.getPropertyValue("--good").trim() };
}
