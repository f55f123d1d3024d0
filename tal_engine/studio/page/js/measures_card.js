/**
 * How good it is: curves over labels, what helps most, classes one by one.
 * @module
 */
import { el } from "../shared/js/dom.js";
import { count } from "../shared/js/format.js";
import { note, notice } from "../shared/js/notice.js";
import { chart, forward } from "./chart.js";

/** Shares of 1 are shown in percent. @param {number|null|undefined} v */
const percent = (v) => (v === null || v === undefined ? null : 100 * v);

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 */
export function measuresCard(context, signal) {
  const body = el("div", { class: "measures" });
  const held = el("p", { class: "small faint" });

  async function tell() {
    try {
      const measures = await context.store.kept("/api/measures");
      if (signal.aborted) return;
      held.textContent = heldOut(measures.held_out, context.store.videos);
      body.replaceChildren(...shown(measures, context.store.project.classes.map((c) => c.name)));
    } catch (error) {
      if (!signal.aborted) body.replaceChildren(notice(error, { retry: () => void tell() }));
    }
  }
  context.store.addEventListener("measures", () => void tell(), { signal });
  void tell();
  return el("section", { class: "card", "aria-labelledby": "good" }, el("div", { class: "section-head" }, el("h2", { id: "good", text: "How good is it?" }), held), body);
}

/**
 * @param {any} held
 * @param {import("./store.js").Video[]} videos
 */
function heldOut(held, videos) {
  if (!held) return "";
  const names = Array.isArray(held.videos) ? held.videos : videos.filter((v) => v.held_out).map((v) => v.id);
  const n = Array.isArray(held.videos) ? held.videos.length : held.videos ?? names.length;
  const labelled = Array.isArray(held.labelled) ? held.labelled.length : held.labelled ?? 0;
  return `${count(n, "held-out video")}, ${labelled} of them done; they are never trained on.`;
}

/**
 * @param {any} measures
 * @param {string[]} classes
 */
function shown(measures, classes) {
  const advice = (measures.advice || []).length ? [el("ul", { class: "advice" }, ...measures.advice.map((/** @type {string} */ text) => el("li", { text })))] : [];
  const named = measures.measure === "point mAP" ? "mAP of points (a hit holds the labelled moment)" : "mAP at tIoU 0.5";
  const clicks = (measures.clicks || []).filter((/** @type {any} */ c) => c.mAP !== null && c.mAP !== undefined);
  if (!clicks.length) {
    return [note("Not measured yet", "Label the held-out videos whole, and check “Done: looked at whole”: what the model finds there is compared with your labels after each training."), ...advice];
  }
  const accuracy = clicks.map((/** @type {any} */ c) => ({
    x: c.labels, y: percent(c.mAP), low: percent(c.low), high: percent(c.high),
    title: `${count(c.labels, "label")}: mAP ${(100 * c.mAP).toFixed(1)}${c.low !== null && c.low !== undefined ? ` (${(100 * c.low).toFixed(1)} to ${(100 * c.high).toFixed(1)})` : ""}`,
  }));
  const alarms = clicks.filter((/** @type {any} */ c) => c.false_alarms !== null && c.false_alarms !== undefined).map((/** @type {any} */ c) => ({
    x: c.labels, y: c.false_alarms, low: c.low_fa ?? null, high: c.high_fa ?? null, title: `${count(c.labels, "label")}: ${c.false_alarms.toFixed(1)} false alarms an hour`,
  }));
  return [
    el("div", { class: "charts" }, chart(accuracy, { title: named, x: "labels", unit: "mAP, %", most: 100 }),
      alarms.length ? chart(alarms, { title: "False alarms an hour", x: "labels", unit: "an hour" }) : null),
    el("p", { class: "small faint", text: `The ${forward(accuracy).length > 1 ? "band" : "bar"} is a 90 % interval over held-out videos.` }),
    ...advice, ...byClass(measures.by_class, classes)];
}

const COLUMNS = /** @type {[string, string, (v: any) => string][]} */ ([
  ["ap", "AP, %", (v) => (100 * v).toFixed(1)], ["labels", "labels", String], ["held_out", "in held-out videos", String],
]);

/**
 * @param {any} found a list, or by name
 * @param {string[]} classes
 */
function byClass(found, classes) {
  const list = Array.isArray(found) ? found : Object.entries(found || {}).map(([label, of]) => ({ label, .../** @type {any} */ (typeof of === "number" ? { ap: of } : of) }));
  const rows = list.map((r) => ({ ...r, label: r.label ?? r.name, ap: r.ap ?? r.AP ?? r.mAP })).sort((a, b) => classes.indexOf(a.label) - classes.indexOf(b.label));
  if (!rows.length) return [];
  const columns = COLUMNS.filter(([key]) => rows.some((r) => r[key] !== undefined && r[key] !== null));
  return [el("table", { class: "plain-table" }, el("thead", {}, el("tr", {}, el("th", { scope: "col", text: "Action" }), ...columns.map(([, text]) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...rows.map((r) => el("tr", {}, el("th", { scope: "row", text: r.label }),
      ...columns.map(([key, , write]) => el("td", { text: r[key] === undefined || r[key] === null ? "–" : write(r[key]) }))))))];
}
