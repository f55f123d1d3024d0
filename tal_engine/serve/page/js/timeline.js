/**
 * The timeline: names of rows beside their picture, a ruler above, a playhead over both.
 * @module
 */
import { el } from "./dom.js";
import { clock } from "./format.js";
import { Range } from "./range.js";
import { CHANGED, classColour, palette } from "./theme.js";
import { drawRows, drawRuler, laneOf, prepared, ROW, RULER } from "./timeline_draw.js";
import { hearPointers } from "./timeline_pointer.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./rows.js").Segment} Segment */
/** @typedef {{move: (time: number) => void, drop: () => void, cancel: () => void}} Grip something that is dragged */

/**
 * Tells `seek` (detail: seconds), `choose` (detail: a segment, or null), `mark` (detail: a segment that was
 * double-clicked), and `range` when another part is shown.
 */
export class Timeline extends EventTarget {
  /**
   * @param {number} length seconds
   * @param {AbortSignal} signal ends it
   * @param {{label: string, fps?: number, still?: boolean}} options still: the range is set from outside only
   */
  constructor(length, signal, options) {
    super();
    this.range = new Range(length, options.fps ? 10 / options.fps : 0.2);
    this.still = Boolean(options.still);
    /** @type {Row[]} */
    this.rows = [];
    /** @type {((label_id: number) => Float32Array)|null} */
    this.curve = null;
    /** @type {{start: number, step: number}|null} */
    this.grid = null;
    /** @type {Segment|null} */
    this.chosen = null;
    /** @type {[number, number]|null} */
    this.selection = null;
    this.best = 1;
    this.time = 0;
    this.width = 0;
    this.frame = 0;
    this.names = el("ul", { class: "row-names", "aria-label": "Rows" });
    this.ruler = el("canvas", { class: "ruler", "aria-hidden": "true" });
    this.picture = el("canvas", { class: "rows", "aria-hidden": "true" });
    this.playhead = el("div", { class: "playhead", "aria-hidden": "true" });
    this.tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.plot = el("div", {
      class: "plot", tabindex: options.still ? null : "0", role: options.still ? "img" : "slider",
      "aria-label": options.label, "aria-valuemin": options.still ? null : "0", "aria-valuemax": options.still ? null : length.toFixed(2),
    }, this.ruler, this.picture, this.playhead, this.tip);
    this.element = el("div", { class: "timeline" }, el("div", { class: "row-side" }, el("div", { class: "corner" }), this.names), this.plot);
    /** Pixels of the plot as the browser told them; 0 before it did. */
    this.measured = 0;
    const resized = new ResizeObserver(([{ contentRect }]) => {
      this.measured = Math.round(contentRect.width);
      this.changed();
    });
    resized.observe(this.plot);
    window.addEventListener(CHANGED, () => this.named(), { signal });
    signal.addEventListener("abort", () => {
      resized.disconnect();
      cancelAnimationFrame(this.frame);
    });
    hearPointers(this, signal);
  }

  /**
   * Show rows.
   * @param {Row[]} rows
   */
  setRows(rows) {
    const same = rows.length === this.rows.length && rows.every((r, i) => r.key === this.rows[i].key);
    this.rows = rows;
    if (same) this.counted();
    else this.named();
    this.changed();
  }

  /** Write the names of the rows anew. */
  named() {
    const { dark } = palette();
    let subject = "";
    this.names.replaceChildren(...this.rows.map((row) => {
      const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = classColour(row.label_id, dark);
      const first = row.subject !== subject;
      subject = row.subject;
      return el("li", { title: row.subject ? `${row.subject}: ${row.label}` : row.label, class: first ? "first-of-subject" : "" },
        row.subject && el("span", { class: first ? "subject" : "subject unseen", text: row.subject }), swatch,
        el("span", { class: "row-name", text: row.label }), el("span", { class: "row-count" }));
    }));
    this.counted();
    this.changed();
  }

  counted() {
    this.names.querySelectorAll(".row-count").forEach((place, i) => (place.textContent = String(this.rows[i].segments.length)));
  }

  /**
   * Move the playhead.
   * @param {number} time
   * @param {string} text what readers of screens are told
   * @param {boolean} [follow] turn the page where it leaves what is shown
   */
  setTime(time, text, follow = false) {
    this.time = time;
    if (follow && this.range.follow(time)) this.moved();
    if (!this.still) {
      this.plot.setAttribute("aria-valuenow", time.toFixed(3));
      this.plot.setAttribute("aria-valuetext", text);
    }
    this.placed();
  }

  /** Put the playhead where the time is. */
  placed() {
    const x = this.range.x(this.time, this.width);
    this.playhead.hidden = x < -1 || x > this.width + 1;
    this.playhead.style.transform = `translateX(${x.toFixed(2)}px)`;
  }

  /** Say that another part is shown. */
  moved() {
    this.changed();
    this.dispatchEvent(new Event("range"));
  }

  /** Draw again, once for all changes of a moment. */
  changed() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.width = this.plot.clientWidth;
    if (!this.width) return;
    const colours = palette();
    drawRuler(prepared(this.ruler, this.width, RULER), this.range, this.width, colours);
    drawRows(prepared(this.picture, this.width, Math.max(this.rows.length, 1) * ROW), {
      range: this.range, width: this.width, rows: this.rows, curve: this.curve, grid: this.grid, best: this.best,
      chosen: this.chosen, selection: this.selection, palette: colours,
    });
    this.placed();
  }

  /**
   * The segment at a place of the picture.
   * @param {number} x
   * @param {number} y
   * @returns {Segment|null}
   */
  segmentAt(x, y) {
    const row = this.rows[Math.floor(y / ROW)];
    if (!row) return null;
    const time = this.range.time(x, this.width);
    const slack = (this.range.span / this.width) * 3;
    const found = row.segments.findIndex((s, i) => {
      const [top, height] = laneOf(row, row.lanes[i]);
      const inside = (y % ROW) >= top && (y % ROW) <= top + height;
      return inside && time >= s.start - slack && time <= s.end + slack;
    });
    return found < 0 ? null : row.segments[found];
  }

  /**
   * Say what is under the pointer.
   * @param {Segment|null} segment
   * @param {number} x
   * @param {number} y of the plot
   */
  point(segment, x, y) {
    this.tip.hidden = !segment;
    if (!segment) return;
    this.tip.textContent = this.describe(segment);
    const left = Math.min(Math.max(x + 12, 4), Math.max(this.width - this.tip.offsetWidth - 4, 4));
    this.tip.style.transform = `translate(${left}px, ${Math.max(y - 34, 2)}px)`;
  }

  /**
   * What is said of a segment under the pointer.
   * @param {Segment} segment
   * @returns {string}
   */
  describe(segment) {
    const end = segment.open ? "still open" : clock(segment.end);
    return `${segment.label} · ${clock(segment.start)} – ${end} · score ${segment.score.toFixed(3)}`
      + (segment.provisional ? " · provisional" : "");
  }

  /**
   * What a press on the rows takes hold of; nothing here, where results are only shown.
   * @param {number} _x
   * @param {number} _y of the rows
   * @param {string} _pointer mouse, touch or pen
   * @returns {Grip|null}
   */
  grip(_x, _y, _pointer) {
    return null;
  }
}
