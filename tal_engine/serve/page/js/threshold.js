/**
 * The threshold: the plan's at first, then one for all classes.
 * @module
 */
import { button, el } from "./dom.js";
import { score } from "./format.js";

/** Tells `change` when `floors` says something else. */
export class Threshold extends EventTarget {
  /**
   * @param {import("./rows.js").Floors} floors
   * @param {{least: number, most: number, step: number}} range of scores
   * @param {boolean} known whether the plan of the result is still there
   */
  constructor(floors, range, known) {
    super();
    this.floors = floors;
    this.range = range;
    this.known = known;
    const values = [...floors.named.values(), ...(floors.named.size ? [] : [floors.usual])];
    const [low, high] = [Math.min(...values), Math.max(...values)].map((v) => Math.min(Math.max(v, range.least), range.most));
    this.begin = low;
    this.same = high - low < range.step / 2;
    this.slider = el("input", {
      type: "range", id: "threshold", min: range.least, max: range.most, step: "any", value: low,
      on: { input: () => this.set(Number(this.slider.value)) },
    });
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.shown = el("output", { for: "threshold", class: "number" });
    this.count = el("span", { class: "faint" });
    this.reset = button("Reset", () => this.plans(), { title: "Back to the plan’s own thresholds", class: "small-button" });
    this.element = el("div", { class: "threshold", role: "group", "aria-label": "Threshold" },
      el("label", { for: "threshold", text: "Threshold" }), this.slider, this.shown, this.reset, this.count);
    this.told();
  }

  /** @param {KeyboardEvent} event a slider of "any" step has no steps of its own */
  key(event) {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.step(by);
  }

  /** @param {number} steps */
  step(steps) {
    const now = Math.round(Number(this.slider.value) / this.range.step) * this.range.step;
    this.set(now + steps * this.range.step);
  }

  /** @param {number} value for all classes */
  set(value) {
    const digits = Math.max(0, -Math.floor(Math.log10(this.range.step))) + 1;
    this.floors.one = Number(Math.min(Math.max(value, this.range.least), this.range.most).toFixed(digits));
    this.slider.value = String(this.floors.one);
    this.told();
    this.dispatchEvent(new Event("change"));
  }

  /** Take the plan's thresholds again. */
  plans() {
    this.floors.one = null;
    this.slider.value = String(this.begin);
    this.told();
    this.dispatchEvent(new Event("change"));
  }

  told() {
    const own = this.floors.one === null;
    const text = !own ? score(/** @type {number} */ (this.floors.one)) : this.same ? score(this.begin) : `${score(this.begin)} +`;
    this.shown.textContent = text;
    this.reset.disabled = own;
    this.slider.setAttribute("aria-valuetext", own
      ? this.known ? `the plan’s own, ${this.same ? text : `by class, from ${score(this.begin)}`}` : text : `${text} for all classes`);
    this.element.title = own && this.known && !this.same ? "The plan has thresholds of its own for each class" : "";
  }

  /**
   * @param {number} shown
   * @param {number} all
   */
  counted(shown, all) {
    this.count.textContent = `${shown.toLocaleString("en")} of ${all.toLocaleString("en")}`;
    this.count.title = `${shown} of ${all} segments reach it`;
  }
}
