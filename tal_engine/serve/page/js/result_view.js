/**
 * A result: the video, its timeline, its segments, and what can be done with them.
 * @module
 */
import { announce, button, el } from "./dom.js";
import { exportMenu } from "./export_menu.js";
import { clock, count, score } from "./format.js";
import { listenToKeys } from "./keys.js";
import { notice } from "./notice.js";
import { Player } from "./player.js";
import { resultActions } from "./result_actions.js";
import { curveReader, Floors, rowsOf, scoreRange, who } from "./rows.js";
import { screen } from "./screen.js";
import { SegmentTable } from "./segment_table.js";
import { Threshold } from "./threshold.js";
import { Timeline } from "./timeline.js";
import { transport } from "./transport.js";

/** @typedef {import("./rows.js").Segment} Segment */

/**
 * @param {import("./main.js").Context} context
 * @param {any} job its document
 * @param {any} result with curves
 * @param {{plan: any, manifest: any}} of the plan; null where it is not there any more
 * @param {AbortSignal} signal ends the view
 * @returns {HTMLElement}
 */
export function resultView(context, job, result, of, signal) {
  const info = result.info;
  const known = of.plan !== null && of.plan.sha256 === info.plan;
  const fps = info.fps || 25;
  const duration = Math.max(info.duration, ...result.segments.map((/** @type {Segment} */ s) => s.end), 0.04);
  /** @type {Segment[]} */
  const all = result.segments;
  const subjects = all.some((s) => who(s) !== "");
  const floors = Floors.of(known ? of.manifest : null);
  const threshold = new Threshold(floors, scoreRange(result), known);
  const file = context.files.get(job.id) || null;
  const player = new Player(file && !file.name.endsWith(".npz") ? file : null, fps, duration);
  const timeline = new Timeline(duration, signal, { label: "Position in the video", fps });
  const table = new SegmentTable(subjects);
  const errors = el("div", { class: "errors" });
  /** @type {{shown: Segment[], chosen: Segment|null, selection: [number, number]|null}} */
  const state = { shown: [], chosen: null, selection: null };

  timeline.curve = curveReader(result.activations, result.classes.length);
  timeline.grid = result.activations;
  timeline.best = info.calibrated ? 1 : Math.max(...all.map((s) => s.score), 1e-9);

  const every = el("input", { type: "checkbox", id: "every", on: { change: refresh } });
  const menu = exportMenu(context.api, job.id, job.source, () => ({
    ...floors.choice, ...(state.selection ? { start: state.selection[0], end: state.selection[1] } : {}),
  }), (error) => errors.replaceChildren(notice(error)));
  const actions = resultActions({ player, timeline, threshold, state, choose, select });
  const bar = transport(actions, signal, player);

  function refresh() {
    state.shown = floors.keep(all);
    timeline.setRows(rowsOf(state.shown, result.classes, every.checked));
    table.set(state.shown);
    threshold.counted(state.shown.length, all.length);
    empty.hidden = state.shown.length > 0 || every.checked;
    if (state.chosen && !state.shown.includes(state.chosen)) choose(null);
  }

  /** @param {Segment|null} segment */
  function choose(segment) {
    state.chosen = timeline.chosen = segment;
    table.mark(segment);
    timeline.changed();
    if (!segment) return;
    player.pause();
    player.seekFrame(Math.ceil(segment.start * fps - 1e-6));
    if (segment.end < timeline.range.start || segment.start > timeline.range.end) {
      timeline.range.follow(segment.start);
      timeline.moved();
    }
    announce(`${segment.label}, ${clock(segment.start)} to ${clock(segment.end)}, score ${score(segment.score)}`);
  }

  /** @param {[number, number]|null} selection */
  function select(selection) {
    state.selection = timeline.selection = selection;
    bar.select(selection);
    menu.selectable(selection !== null);
    timeline.changed();
    announce(selection ? `Selection from ${clock(selection[0])} to ${clock(selection[1])}` : "No selection");
  }

  const empty = el("p", { class: "empty-rows", text: "No segment reaches the threshold. Lower it, or show all classes." });
  const inside = (/** @type {number} */ t) => state.shown.filter((s) => s.start <= t && t < s.end).slice(0, 3);
  const here = el("div", { class: "here", "aria-hidden": "true" });
  player.addEventListener("time", () => {
    const now = inside(player.time);
    const said = now.map((s) => `${s.label} ${score(s.score)}`).join(", ");
    here.textContent = said;
    timeline.setTime(player.shown, `${clock(player.shown)}, frame ${player.frame}${said ? `, ${said}` : ""}`, player.speed !== 0);
  }, { signal });
  timeline.addEventListener("seek", (e) => { player.pause(); player.seek(/** @type {CustomEvent} */ (e).detail); });
  timeline.addEventListener("choose", (e) => choose(/** @type {CustomEvent} */ (e).detail));
  timeline.addEventListener("mark", (e) => { choose(/** @type {CustomEvent} */ (e).detail); actions.markSegment(); });
  table.addEventListener("choose", (e) => choose(/** @type {CustomEvent} */ (e).detail));
  threshold.addEventListener("change", refresh);
  signal.addEventListener("abort", () => player.close());
  listenToKeys(actions, signal);

  const zoom = el("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
    button("−", actions.wider, { class: "icon", "aria-label": "Zoom out", title: "Zoom out (−)" }),
    button("+", actions.closer, { class: "icon", "aria-label": "Zoom in", title: "Zoom in (+)" }),
    button("All", actions.fit, { class: "small-button", title: "Show all (0)" }));
  const element = el("div", { class: "result" },
    el("div", { class: "result-head" }, el("h1", { class: "file-name", text: job.source, title: job.source }),
      el("span", { class: "faint facts", text: facts(job, info) }), el("span", { class: "gap" }), menu.element,
      el("a", { class: "button", href: "#/", text: "Another video" })),
    ...warnings(info, known, of.plan !== null), errors,
    el("div", { class: "stage" }, el("div", { class: "picture" }, screen(context, job, player, here), bar.element), table.element),
    el("div", { class: "tools" }, threshold.element,
      el("label", { class: "check", for: "every" }, every, "All classes"),
      el("span", { class: "small faint", text: timeline.curve ? "Line: activation of the class" : "This plan gives no activation curves." }),
      el("span", { class: "gap" }), zoom),
    el("div", { class: "timeline-box" }, timeline.element, empty));
  refresh();
  bar.select(null);
  player.seekFrame(0);
  announce(`The result is here: ${count(state.shown.length, "segment")} in ${clock(duration, 0)}`);
  return element;
}

/**
 * @param {any} job
 * @param {any} info
 */
function facts(job, info) {
  const fps = info.fps ? `${Number(info.fps.toFixed(3))} fps` : "frames a second unknown, 25 taken";
  return `${clock(info.duration)} · ${fps} · plan ${job.plan} · ${info.calibrated ? "calibrated scores" : "raw scores"}`;
}

/**
 * @param {any} info
 * @param {boolean} known
 * @param {boolean} exists
 */
function warnings(info, known, exists) {
  const said = [...info.warnings];
  if (info.out_of_domain && !said.length) said.push("This video is unlike those that the plan was trained on: labels may be wrong.");
  if (!known) said.push(`The plan ${exists ? "was replaced" : "is gone"} since: its thresholds are not known, all segments are shown.`);
  return said.map((text) => el("p", { class: "warning", role: "note", text: `⚠ ${text}` }));
}
