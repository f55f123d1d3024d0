/**
 * Thresholds, class by class: what is found and what is a false alarm, in numbers and on a timeline.
 * @module
 */
import { announce, el } from "../shared/js/dom.js";
import { count, score } from "../shared/js/format.js";
import { note, notice } from "../shared/js/notice.js";
import { CHANGED, classColour, palette } from "../shared/js/theme.js";
import { curvesOf } from "./lane_curve.js";
import { laneRows, placed, verdicts } from "./lane_rows.js";
import { LaneTimeline } from "./lane_timeline.js";
import { key } from "./label_view.js";

/** @typedef {{threshold: number, curve: {threshold: number, hits: number, false_alarms: number, missed: number}[]}} Threshold */

/**
 * What is right and wrong at a threshold: of the point of the curve that is the next below.
 * @param {Threshold["curve"]} curve
 * @param {number} value
 */
export function at(curve, value) {
  const sorted = [...curve].sort((a, b) => a.threshold - b.threshold);
  return sorted.filter((c) => c.threshold <= value + 1e-9).pop() || sorted[0] || null;
}

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 */
export function thresholdsCard(context, signal) {
  const { store, api } = context;
  const body = el("div", { class: "thresholds" });
  const errors = el("div", { class: "errors" });
  const preview = new Preview(context, signal);
  /** @type {Record<string, number>} */
  let values = {};

  async function tell() {
    try {
      const found = /** @type {Record<string, Threshold>} */ (await store.kept("/api/thresholds"));
      const known = store.project.classes.map((c) => c.name).filter((name) => found[name]);
      if (signal.aborted) return;
      values = Object.fromEntries(known.map((name) => [name, found[name].threshold]));
      const highest = Math.max(1, ...known.flatMap((name) => [found[name].threshold, ...found[name].curve.map((c) => c.threshold)]));
      const lowest = Math.min(0, ...known.flatMap((name) => [found[name].threshold, ...found[name].curve.map((c) => c.threshold)]));
      body.replaceChildren(...(known.length ? [...known.map((name) => slider(name, found[name], lowest, highest)), preview.element]
        : [note("No thresholds yet", "They come with the first training that is measured on held-out videos.")]));
      preview.floor = (label) => values[label] ?? -Infinity;
      await preview.show();
    } catch (error) {
      if (!signal.aborted) body.replaceChildren(notice(error, { retry: () => void tell() }));
    }
  }

  /**
   * @param {string} name
   * @param {Threshold} of
   * @param {number} lowest
   * @param {number} highest
   */
  function slider(name, of, lowest, highest) {
    const id = `threshold-${store.project.classes.findIndex((c) => c.name === name)}`;
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = classColour(store.project.classes.findIndex((c) => c.name === name), palette().dark);
    const shown = el("output", { class: "number", for: id });
    const said = el("span", { class: "small number threshold-said" });
    const input = el("input", { type: "range", id, min: lowest, max: highest, step: (highest - lowest) / 100, value: of.threshold, on: { input: moved, change: keep } });
    function moved() {
      values[name] = Number(input.value);
      shown.textContent = score(values[name]);
      const now = at(of.curve, values[name]);
      said.replaceChildren(...(now ? [el("span", { class: "good", text: `✓ ${count(now.hits, "hit")}` }), el("span", { class: "bad", text: `✕ ${count(now.false_alarms, "false alarm")}` }), el("span", { class: "faint", text: `${now.missed} missed` })] : [el("span", { class: "faint", text: "not measured" })]));
      input.setAttribute("aria-valuetext", `${score(values[name])}: ${said.textContent}`);
      preview.refresh();
    }
    async function keep() {
      try {
        await api.request("/api/thresholds", { method: "PUT", json: { [name]: values[name] } });
        store.old("/api/thresholds");
        errors.replaceChildren();
        announce(`The threshold of ${name} is kept`);
      } catch (error) {
        errors.replaceChildren(notice(error, { retry: () => void keep() }));
      }
    }
    moved();
    return el("div", { class: "threshold-row" }, el("label", { for: id }, swatch, name), input, shown, said);
  }

  store.addEventListener("measures", () => void tell(), { signal });
  window.addEventListener(CHANGED, () => void tell(), { signal });
  void tell();
  return el("section", { class: "card", "aria-labelledby": "thresholds" }, el("div", { class: "section-head" }, el("h2", { id: "thresholds", text: "Thresholds" }),
    el("span", { class: "small faint", text: "Lower: more is found, and more false alarms. They go into the plan." })), body, errors);
}

/** A labelled video's timeline with what is right and wrong at the thresholds. */
class Preview {
  /**
   * @param {import("./main.js").Context} context
   * @param {AbortSignal} signal
   */
  constructor(context, signal) {
    this.context = context;
    this.signal = signal;
    /** @type {(label: string) => number} */
    this.floor = () => -Infinity;
    this.refresh = () => {};
    this.choice = el("select", { "aria-label": "Video of the timeline", on: { change: () => void this.fill() } });
    this.place = el("div");
    this.said = el("span", { class: "small faint" });
    this.element = el("div", { class: "preview" }, el("div", { class: "tools" }, this.choice, el("span", { class: "legend-studio small faint" },
      key("full", "label"), key("hit", "hit"), key("alarm", "false alarm"), key("below", "below its threshold")), el("span", { class: "gap" }), this.said), this.place);
  }

  async show() {
    const { videos } = this.context.store;
    const labelled = (/** @type {import("./store.js").Video} */ v) => Object.keys(v.labels).length > 0;
    const usable = videos.filter((v) => labelled(v) && v.suggestions).sort((a, b) => Number(b.held_out) - Number(a.held_out) || Number(b.done) - Number(a.done));
    this.element.hidden = !usable.length;
    const now = this.choice.value;
    this.choice.replaceChildren(...usable.map((v) => el("option", { value: v.id, text: `${v.name}${v.held_out ? " (held out)" : ""}`, selected: v.id === now })));
    if (usable.length) await this.fill();
  }

  async fill() {
    const { store } = this.context;
    const video = store.video(this.choice.value);
    if (!video) return;
    const [book, suggested] = await Promise.all([store.book(video.id), store.suggested(video.id)]);
    if (this.signal.aborted) return;
    const classes = store.project.classes.map((c) => c.name);
    const timeline = new LaneTimeline(video.duration, this.signal, { label: `${video.name} at these thresholds`, fps: video.fps || 25, frozen: true });
    timeline.curves = curvesOf(suggested.curves);
    timeline.addEventListener("seek", (e) => timeline.setTime(/** @type {CustomEvent} */ (e).detail, "")); // a line to read the ruler by
    this.refresh = () => {
      const near = suggested.segments.filter((s) => s.score >= this.floor(s.label) / 2); // what a lower one would bring
      const guesses = placed(near, classes);
      const enough = [...guesses.values()].flatMap((p) => p.guesses).filter((s) => s.score >= this.floor(s.label));
      const { hits, missed } = verdicts(enough, book.list);
      timeline.floor = this.floor;
      timeline.hits = hits;
      timeline.renewed();
      timeline.setRows(laneRows(classes, book.list, guesses));
      this.said.textContent = `${count(hits.size, "hit")}, ${count(enough.length - hits.size, "false alarm")}, ${missed.length} missed${video.done ? "" : " (not done: some false alarms may be right)"}`;
    };
    this.refresh();
    this.place.replaceChildren(el("div", { class: "timeline-box" }, timeline.element));
  }
}
