/**
 * The videos of the project: what is known of each, and what to do next.
 * @module
 */
import { button, el } from "../shared/js/dom.js";
import { clock, count } from "../shared/js/format.js";
import { note } from "../shared/js/notice.js";
import { classColour, palette } from "../shared/js/theme.js";
import { editClasses } from "./classes_dialog.js";
import { LongList } from "./long_list.js";

/** @typedef {import("./store.js").Video} Video */

/** @type {Record<string, [string, (v: Video) => boolean]>} */
const KINDS = {
  all: ["All", () => true],
  todo: ["Not done", (v) => !v.done],
  none: ["Without labels", (v) => !labelled(v)],
  held: ["Held out", (v) => v.held_out],
  problem: ["With problems", (v) => Boolean(v.problem)],
};

/** @param {Video} video */
function labelled(video) {
  return Object.values(video.labels).reduce((n, c) => n + c.points + c.segments, 0);
}

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
export function videosView(context, signal) {
  const { store } = context;
  const search = el("input", { type: "search", placeholder: "Find a video", "aria-label": "Find a video", autocomplete: "off", on: { input: told } });
  const kind = el("select", { "aria-label": "Which videos", on: { change: told } }, ...Object.entries(KINDS).map(([value, [text]]) => el("option", { value, text })));
  const facts = el("span", { class: "small faint", role: "status" });
  const next = el("div");
  const list = /** @type {LongList<Video>} */ (new LongList({
    label: "Videos", height: 62, row: (v) => line(v, store.project.classes.map((c) => c.name)),
    key: (v) => JSON.stringify([v, store.project.classes.map((c) => c.name), palette().dark]),
  }));

  function told() {
    const wanted = search.value.trim().toLowerCase();
    const shown = store.videos.filter((v) => KINDS[kind.value][1](v) && v.name.toLowerCase().includes(wanted));
    list.set(shown);
    const labels = store.videos.reduce((n, v) => n + labelled(v), 0);
    const part = shown.length < store.videos.length ? `${shown.length} of ` : "";
    facts.textContent = `${part}${count(store.videos.length, "video")} · ${count(labels, "label")} · ${store.videos.filter((v) => v.done).length} done`;
    next.replaceChildren(advice(context, labels));
    problems.replaceChildren(...(store.project.problems || []).map((/** @type {string} */ text) => el("p", { class: "warning", role: "note", text: `⚠ ${text}` })));
    empty.hidden = shown.length > 0 || !store.videos.length;
  }

  const problems = el("div");
  const empty = el("p", { class: "faint pad", text: "No video is like that." });
  for (const event of ["videos", "project", "waiting"]) store.addEventListener(event, told, { signal });
  window.addEventListener("tal-theme", told, { signal });
  const body = store.videos.length ? [next, el("div", { class: "form-row" }, el("div", { class: "field wide" }, search), kind), list.element, empty]
    : [note("There are no videos here", "Put videos into the folder, and start tal studio with it: tal studio videos/")];
  const element = el("div", { class: "page videos-page" }, el("div", { class: "section-head" }, el("h1", { text: "Videos" }), facts,
    el("span", { class: "gap" }), button("Actions …", () => void editClasses(context), { class: "small-button" })), problems, ...body);
  told();
  return element;
}

/**
 * What helps most now.
 * @param {import("./main.js").Context} context
 * @param {number} labels
 */
function advice(context, labels) {
  const { store } = context;
  const box = (/** @type {string} */ title, /** @type {string} */ text, /** @type {Node} */ act) =>
    el("section", { class: "next-step", "aria-label": "Next step" }, el("div", { class: "grow" }, el("h2", { text: title }), el("p", { class: "small", text })), act);
  const link = (/** @type {string} */ href, /** @type {string} */ text) => el("a", { class: "button main", href, text });
  if (!store.project.classes.length) {
    return box("Name the actions that you look for", "Each gets a key. More can come later.", button("Name the actions", () => void editClasses(context), { class: "main" }));
  }
  const first = store.videos.find((v) => !labelled(v) && !v.held_out && !v.done && (v.frames || !v.problem)) || store.videos[0];
  const seen = new Set(store.videos.flatMap((v) => Object.keys(v.labels)));
  const missing = store.project.classes.filter((c) => !seen.has(c.name)).map((c) => c.name);
  const open = link(`#/label/${encodeURIComponent(first.id)}`, `Open ${first.name}`);
  if (!labels) return box("Watch, and press a key whenever an action happens", "One press per action is enough. Training begins by itself some seconds after a label; what it finds is worth something once every action has a few.", open);
  if (missing.length) return box(`No label yet of ${missing.slice(0, 3).join(", ")}${missing.length > 3 ? ` and ${missing.length - 3} more` : ""}`, "An action without labels cannot be found.", open);
  if (store.waiting === 0) return quiet(context, box, link);
  return box("Answer questions", "The moments that help most come first; one key each.", link("#/review", "Review"));
}

/**
 * What helps where nothing is asked.
 * @param {import("./main.js").Context} context
 * @param {(title: string, text: string, act: Node) => HTMLElement} box
 * @param {(href: string, text: string) => HTMLElement} link
 */
function quiet({ store }, box, link) {
  const held = store.videos.find((v) => v.held_out && !v.done && !v.problem);
  const next = held || store.videos.find((v) => !v.done && !v.problem);
  if (!next) return box("Every video is done", "Put more into the folder: they are found by themselves.", link("#/model", "How good is it?"));
  const open = link(`#/label/${encodeURIComponent(next.id)}`, `Open ${next.name}`);
  if (held) return box("Label the held-out videos", "They are never learned from, and tell how good it is. Label each whole, and mark it as done.", open);
  return box("Label another video", "Nothing is asked at the moment. New labels begin a new training.", open);
}

/**
 * @param {Video} video
 * @param {string[]} classes
 */
function line(video, classes) {
  const { dark } = palette();
  const facts = [clock(video.duration, 0), video.fps ? `${Number(video.fps.toFixed(2))} fps` : "", video.width ? `${video.width}×${video.height}` : "", video.codec].filter(Boolean);
  const chips = classes.map((name, i) => ({ name, i, ...video.labels[name] })).filter((c) => (c.points || 0) + (c.segments || 0) > 0).map((c) => {
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = classColour(c.i, dark);
    const n = c.points + c.segments;
    return el("span", { class: "label-chip", title: `${c.name}: ${count(c.points, "point")}, ${count(c.segments, "segment")}` }, swatch, `${c.name} ${n}`);
  });
  const why = (video.problem?.detail || "").replace(`${video.name}: `, ""); // its name stands above
  const href = `#/label/${encodeURIComponent(video.id)}`;
  const open = (/** @type {Event} */ e) => /** @type {Element} */ (e.target).closest("a") || String(getSelection()) || (location.hash = href);
  return el("div", { class: "video-row", on: { click: open } }, el("div", { class: "grow" },
    el("a", { href, text: video.name }),
    el("span", { class: "small faint", text: facts.join(" · ") }),
    video.problem && el("span", { class: "small bad", text: `${video.problem.title}: ${why}`, title: why })),
  el("div", { class: "label-chips" }, ...chips, !chips.length && el("span", { class: "small faint", text: "no labels" }),
    video.suggestions ? el("span", { class: "small faint", text: `${video.suggestions} suggested` }) : null),
  el("div", { class: "video-state" }, ...state(video)));
}

/** @param {Video} video */
function state(video) {
  const chip = (/** @type {string} */ kind, /** @type {string} */ text, title = "") => el("span", { class: `chip ${kind}`, text, title: title || null });
  return [
    video.held_out && chip("held", "held out", "Chosen at the start to measure with; it is never trained on"),
    video.problem ? chip("bad", "problem", video.problem.title) : video.done ? chip("good", "✓ done", "Looked at whole: what has no label is background") : null,
    video.proxy === "making" && chip("on", `copy ${Math.round(100 * (video.progress || 0))} %`, "A copy that browsers can show is being made"),
    video.proxy === "failed" && chip("bad", "no picture"),
  ].filter(Boolean).map((n) => /** @type {Node} */ (n));
}
