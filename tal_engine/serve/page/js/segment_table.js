/**
 * The segments as a table: the same as the timeline's picture, for readers of screens and for the eye.
 * @module
 */
import { button, el } from "./dom.js";
import { clock, score } from "./format.js";
import { who } from "./rows.js";

/** @typedef {import("./rows.js").Segment} Segment */

/** Most rows of the table; the timeline and exports have all. */
const MOST = 300;

/** Tells `choose` with a segment. */
export class SegmentTable extends EventTarget {
  /** @param {boolean} subjects whether there is a column of who does it */
  constructor(subjects) {
    super();
    this.subjects = subjects;
    this.byScore = false;
    /** @type {Segment[]} */
    this.segments = [];
    /** @type {Segment|null} */
    this.chosen = null;
    /** @type {Map<Segment, HTMLElement>} */
    this.places = new Map();
    this.body = el("tbody");
    this.more = el("p", { class: "small faint pad" });
    this.time = button("Start", () => this.sort(false));
    this.best = button("Score", () => this.sort(true));
    const head = (/** @type {Node|string} */ what, kind = "") => el("th", { scope: "col", class: kind }, what);
    this.startHead = head(this.time, "number");
    this.scoreHead = head(this.best, "number");
    this.element = el("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Segments" },
      el("table", { class: "segments" }, el("thead", {}, el("tr", {}, head("Class"), subjects && head("Who"), this.startHead,
        head("End", "number"), this.scoreHead)), this.body), this.more);
  }

  /** @param {boolean} byScore best first; else by time */
  sort(byScore) {
    this.byScore = byScore;
    this.set(this.segments);
  }

  /** @param {Segment[]} segments best first */
  set(segments) {
    this.segments = segments;
    const best = segments.slice(0, MOST);
    const shown = this.byScore ? best : best.sort((a, b) => a.start - b.start || a.end - b.end);
    this.startHead.setAttribute("aria-sort", this.byScore ? "none" : "ascending");
    this.scoreHead.setAttribute("aria-sort", this.byScore ? "descending" : "none");
    this.places = new Map(shown.map((s) => [s, this.row(s)]));
    this.body.replaceChildren(...this.places.values());
    const left = segments.length - shown.length;
    this.more.textContent = segments.length === 0 ? "No segment reaches the threshold." : left > 0
      ? `The best ${MOST} are listed; ${left} more are on the timeline and in exports.` : "";
    this.more.hidden = !this.more.textContent;
    this.mark(this.chosen);
  }

  /** @param {Segment} s */
  row(s) {
    const go = button(s.label, () => this.dispatchEvent(new CustomEvent("choose", { detail: s })), {
      "aria-label": `Go to ${s.label}, ${clock(s.start)} to ${clock(s.end)}, score ${score(s.score)}`,
    });
    return el("tr", {}, el("th", { scope: "row" }, go), this.subjects && el("td", { text: who(s) }),
      el("td", { class: "number", text: clock(s.start) }), el("td", { class: "number", text: clock(s.end) }),
      el("td", { class: "number", text: score(s.score) }));
  }

  /** @param {Segment|null} segment the one that is chosen */
  mark(segment) {
    this.places.get(/** @type {Segment} */ (this.chosen))?.removeAttribute("aria-current");
    this.chosen = segment;
    const place = segment && this.places.get(segment);
    if (!place) return;
    place.setAttribute("aria-current", "true");
    const [box, row] = [this.element.getBoundingClientRect(), place.getBoundingClientRect()];
    if (row.top < box.top + 32 || row.bottom > box.bottom) this.element.scrollTop += row.top - box.top - box.height / 2;
  }
}
