/**
 * A video and its labels: where clicks are made.
 * @module
 */
import { announce, button, el, write } from "../shared/js/dom.js";
import { clock } from "../shared/js/format.js";
import { listenToKeys } from "../shared/js/keys.js";
import { note, notice } from "../shared/js/notice.js";
import { CHANGED, classColour, palette } from "../shared/js/theme.js";
import { classPalette } from "./class_palette.js";
import { editClasses } from "./classes_dialog.js";
import { hearClassKeys } from "./hold.js";
import { inspector } from "./inspector.js";
import { labelActions, marking } from "./label_actions.js";
import { titleOf, whose } from "./lane_rows.js";
import { LongList } from "./long_list.js";
import { peopleBar, shownOf } from "./people_bar.js";
import { classKeys, LABELLING } from "./shortcuts.js";
import { Workbench } from "./workbench.js";

/** @typedef {import("./main.js").Context} Context */

/**
 * @param {Context} context
 * @param {AbortSignal} signal
 * @param {string} id
 * @returns {Promise<HTMLElement>}
 */
export async function labelView(context, signal, id) {
  const { store, editor } = context;
  const video = store.video(id) || (id ? null : store.videos[0]);
  if (!video) {
    return el("div", { class: "page" }, note(id ? "There is no such video" : "There are no videos",
      id ? "It may have been removed from the folder." : "Start tal studio with a folder of videos: tal studio videos/",
      el("a", { href: "#/", text: "To the videos" })));
  }
  const bench = new Workbench(context, video, await store.book(video.id), signal);
  const actions = /** @type {Record<string, () => void>} */ ({ ...labelActions(bench, editor), ...between(context, video) });
  const hold = marking(bench, editor);
  const classes = classPalette(hold, signal, "Tap: mark this moment. Hold: mark until you let go");
  /** @type {Map<string, string>} */
  let byKey = new Map();

  function named() {
    const keys = classKeys(store.project.classes);
    byKey = new Map();
    store.project.classes.forEach((c, i) => keys[i] && byKey.set(keys[i], c.name));
    classes.set(store.project.classes.map((c, i) => ({ name: c.name, key: keys[i] })));
    classes.count(bench.book.counts());
  }

  const list = labelList(bench);
  const total = el("span", { class: "small faint", role: "status" });
  function told() {
    classes.count(bench.book.counts());
    list.set(bench.list);
    const labels = shownOf({ total: bench.book.shown.size, shown: bench.list.length });
    write(total, `${labels} · ${bench.unmarked.length.toLocaleString("en")} suggested`);
  }

  const again = () => context.again(bench.player.time);
  bench.addEventListener("change", told);
  bench.addEventListener("picture", again);
  bench.timeline.addEventListener("moved", (e) => {
    const { id: which, ...bounds } = /** @type {CustomEvent} */ (e).detail;
    bench.choose(bench.book.shown.get(which), false);
    editor.change(bench.book, which, bounds);
  });
  store.addEventListener("project", named, { signal });
  window.addEventListener(CHANGED, () => list.again(), { signal });
  editor.addEventListener("undone", (e) => shown(/** @type {CustomEvent} */ (e).detail), { signal });
  hearClassKeys(() => byKey, hold, signal);
  listenToKeys(actions, signal, LABELLING);

  /** @param {import("./history.js").Step} step what was undone must be seen */
  function shown(step) {
    if (step.video !== video?.id) {
      location.hash = `#/label/${encodeURIComponent(step.video)}`;
      return;
    }
    const label = bench.book.shown.get(step.forward[0]?.label.id);
    if (label) bench.choose(label);
  }

  named();
  const empty = store.project.classes.length ? null : el("div", { class: "notice" }, el("h2", { text: "Which actions are you looking for?" }),
    el("p", { text: "Name them once; each gets a key." }), button("Name the actions", () => void editClasses(context), { class: "main" }));
  const side = el("div", { class: "side" }, empty, peopleBar(bench), classes.element, inspector(bench, editor, actions),
    el("div", { class: "side-head" }, el("h2", { text: "Labels" }), total), list.element);
  const element = el("div", { class: "result studio-label", "data-video": video.id }, head(context, bench, actions, signal),
    el("div", { class: "stage" }, bench.picture(actions), side),
    ...bench.below(actions, weaker(bench), el("span", { class: "legend-studio small faint" }, key("full", "label"), key("guess", "suggestion"), key("wave", "activation"))));
  // Behind all that changes with it: scrolling makes the browser lay the page out.
  bench.addEventListener("change", () => bench.chosen && list.reveal((l) => l.id === bench.chosen));
  told();
  bench.player.seekFrame(0);
  if (context.time) bench.player.seek(context.time);
  document.title = `${video.name} · tal studio`;
  return element;
}

/**
 * A switch for suggestions below the thresholds: where something was missed, they may have it.
 * @param {Workbench} bench
 */
function weaker(bench) {
  const box = el("input", { type: "checkbox", id: "weaker", on: { change: () => {
    bench.weak = box.checked;
    bench.sorted();
    box.blur();
  } } });
  return el("label", { class: "check small", for: "weaker", title: "Suggestions below the thresholds of their classes" }, box, "Weaker suggestions");
}

/**
 * @param {string} kind
 * @param {string} text
 */
export function key(kind, text) {
  return el("span", { class: "key-of" }, el("span", { class: `key-mark ${kind}`, "aria-hidden": "true" }), text);
}

/**
 * @param {Context} context
 * @param {Workbench} bench
 * @param {Record<string, () => void>} actions
 * @param {AbortSignal} signal
 */
function head(context, bench, actions, signal) {
  const { video } = bench;
  const done = el("input", { type: "checkbox", id: "done", on: { change: () => actions.done() } });
  const errors = el("div", { class: "errors" });
  const tell = () => (done.checked = Boolean(context.store.video(video.id)?.done));
  actions.done = async () => {
    const now = !context.store.video(video.id)?.done;
    try {
      await context.store.setVideo(/** @type {any} */ (context.store.video(video.id)), { done: now });
      announce(now ? "Done: what has no label counts as background" : "Not done");
    } catch (error) {
      errors.replaceChildren(notice(error));
    }
    tell();
  };
  context.store.addEventListener("videos", tell, { signal });
  tell();
  const rate = video.fps ? `${Number(video.fps.toFixed(3))} fps` : "";
  return el("div", {}, el("div", { class: "result-head" },
    button("‹", actions.videoBefore, { class: "icon", "aria-label": "The video before", title: "The video before (Page up)" }),
    button("›", actions.videoAfter, { class: "icon", "aria-label": "The next video", title: "The next video (Page down)" }),
    el("h1", { class: "file-name", text: video.name, title: video.name }),
    video.held_out && el("span", { class: "chip held", title: "Chosen at the start to measure with; it is never trained on", text: "held out" }),
    el("span", { class: "faint facts", text: [clock(video.duration), rate, video.width ? `${video.width}×${video.height}` : "", video.codec].filter(Boolean).join(" · ") }),
    el("span", { class: "gap" }), el("label", { class: "check", for: "done", title: "What has no label is background (D)" }, done, "Done: looked at whole")),
  video.problem && video.frames > 0 && el("p", { class: "warning", role: "note", text: `⚠ ${video.problem.title}: ${video.problem.detail}` }), errors);
}

/**
 * @param {Context} context
 * @param {import("./store.js").Video} video
 */
function between(context, video) {
  const go = (/** @type {number} */ by) => {
    const all = context.store.videos;
    const next = all[all.findIndex((v) => v.id === video.id) + by];
    if (next) location.hash = `#/label/${encodeURIComponent(next.id)}`;
    else announce(by > 0 ? "This is the last video" : "This is the first video");
  };
  return { videoBefore: () => go(-1), videoAfter: () => go(1) };
}

/** @param {Workbench} bench */
function labelList(bench) {
  const list = /** @type {LongList<import("./book.js").Label> & {again: () => void}} */ (new LongList({
    label: "Labels", height: 34,
    key: (l) => `${l.id} ${l.start} ${l.end} ${l.label} ${l.subject} ${l.note} ${l.id === bench.chosen} ${bench.timeline.waiting.has(l.id)}`,
    row: (l) => {
      const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
      if (l.label) swatch.style.background = classColour(bench.classes.indexOf(l.label), palette().dark);
      const times = l.end > l.start ? `${clock(l.start)} – ${clock(l.end)}` : clock(l.start);
      return el("div", { class: "label-row", "aria-current": l.id === bench.chosen ? "true" : null },
        button("", () => bench.choose(l), { "aria-label": `Go to ${titleOf(l)}, ${times}${l.note ? `, ${l.note}` : ""}` }),
        swatch, el("span", { class: "label-name", text: l.kind === "nothing" ? "nothing here" : l.label }), l.subject && el("span", { class: "person-mark", text: whose(l) }), l.note && el("span", { class: "faint note-mark", text: "✎", title: l.note }),
        bench.timeline.waiting.has(l.id) && el("span", { class: "unsaved-dot", title: "Not saved yet" }), el("span", { class: "number faint", text: times }));
    },
  }));
  list.again = () => {
    list.made.forEach((place) => place.remove());
    list.made.clear();
    list.draw();
  };
  return list;
}
