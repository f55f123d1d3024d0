/**
 * What keys and buttons do with the labels of a video.
 * @module
 */
import { announce, button, el, show } from "../shared/js/dom.js";
import { clock } from "../shared/js/format.js";
import { benchActions } from "./bench_actions.js";
import { Hold } from "./hold.js";
import { titleOf, whose } from "./lane_rows.js";
import { peopleActions } from "./people_bar.js";

/** @typedef {import("./workbench.js").Workbench} Workbench */

/**
 * @param {Workbench} bench
 * @param {import("./editor.js").Editor} editor
 * @returns {Record<string, () => void>}
 */
export function labelActions(bench, editor) {
  const { player, book } = bench;

  /** @param {1|-1} way */
  function neighbour(way) {
    const all = [...bench.list, ...bench.timeline.lanes.flatMap((r) => r.segments)].sort((a, b) => a.start - b.start || a.end - b.end);
    if (!all.length) return announce("There is no label here yet");
    const now = bench.label || bench.guess;
    const at = now ? all.findIndex((s) => s === now || (/** @type {any} */ (s).id !== undefined && /** @type {any} */ (s).id === now.id)) : -1;
    const t = player.shown;
    const free = way > 0 ? all.find((s) => s.start > t) || all[all.length - 1] : [...all].reverse().find((s) => s.start < t) || all[0];
    bench.choose(at >= 0 ? all[Math.min(Math.max(at + way, 0), all.length - 1)] : free);
  }

  /**
   * Set a bound of what is chosen, or of a range.
   * @param {"start"|"end"} which
   * @param {number} time
   */
  function bound(which, time) {
    const label = bench.label;
    if (label) {
      const next = { ...label, [which]: time };
      if (next.end <= next.start) return announce(`${label.label} cannot ${which === "start" ? "begin behind its end" : "end before its beginning"}`);
      editor.change(book, label.id, { [which]: time, kind: label.kind === "point" ? "segment" : label.kind });
      return;
    }
    const [start, end] = bench.selection || [0, player.duration];
    if (which === "start") bench.select([time, end > time ? end : player.duration]);
    else bench.select([start < time ? start : 0, time]);
  }

  /** @param {number} frames */
  function nudge(frames) {
    const label = bench.label;
    if (!label) return;
    const frame = Math.min(Math.max(player.frameAt(label.start + 1e-4) + frames, 0), player.frames - 1);
    const start = player.startOf(frame);
    editor.change(book, label.id, { start, end: label.kind === "point" ? start : label.end + (start - label.start) });
    bench.go(start);
  }

  return {
    ...benchActions(bench),
    ...peopleActions(bench, editor),
    previous: () => neighbour(-1),
    next: () => neighbour(1),
    markStart: () => bound("start", player.startOf(player.frame)),
    markEnd: () => bound("end", player.endOf(player.frame)),
    accept() {
      const t = player.time;
      const guess = bench.guess || bench.unmarked.filter((s) => s.start <= t && t < s.end).sort((a, b) => b.score - a.score)[0];
      if (!guess) return announce("There is no suggestion here");
      const [mark, ...others] = bench.marks(guess);
      if (others.length || mark?.kind === "segment") return announce(`${guess.label} is marked here already`);
      if (mark) { // the same action: its moment gets its ends
        editor.change(book, mark.id, { kind: "segment", start: guess.start, end: guess.end });
        return bench.choose(book.shown.get(mark.id), false);
      }
      const made = editor.add(book, { kind: "segment", start: guess.start, end: guess.end, label: guess.label, subject: whose(guess) ? String(guess.subject) : bench.whom });
      bench.choose(made, false);
    },
    nothing() {
      if (!bench.selection) return announce("Set a range first, with [ and ]");
      const [start, end] = bench.selection;
      editor.add(book, { kind: "nothing", start, end, label: "" });
      bench.select(null);
    },
    remove() {
      if (bench.chosen) editor.remove(book, bench.chosen);
    },
    nudgeBack: () => nudge(-1),
    nudgeForward: () => nudge(1),
    note() {
      const { label } = bench;
      if (label) void ask(`Note on ${titleOf(label)} at ${clock(label.start)}`, "Note", label.note, (note) => editor.change(book, label.id, { note }));
    },
    somebody() {
      const { label } = bench;
      if (label) void ask(`Who does ${label.label} at ${clock(label.start)}?`, "Name", "", (subject) => editor.change(book, label.id, { subject }));
    },
  };
}

/**
 * Marks by class: tap and hold.
 * @param {Workbench} bench
 * @param {import("./editor.js").Editor} editor
 */
export function marking(bench, editor) {
  const { player, book } = bench;
  let label = "";
  let start = 0;
  let played = false;
  let on = false;
  const now = () => player.startOf(player.frame); // labels lie on frames, also while it plays
  player.addEventListener("time", () => {
    if (on) bench.draft({ label, start: Math.min(start, now()), end: Math.max(start, now()) });
  }, { signal: bench.signal });

  function stop() {
    on = false;
    bench.draft(null);
    if (played) player.pause();
    played = false;
  }

  return new Hold({
    now,
    begin(which, at) {
      [label, start, on] = [which, at, true];
      const range = bench.selection;
      bench.draft(range ? { label, start: range[0], end: range[1] } : { label, start, end: start });
    },
    longer() {
      if (bench.selection || player.speed) return;
      played = true;
      player.play(1);
    },
    end(which, from, held) {
      const to = now();
      stop();
      const range = bench.selection;
      bench.select(null);
      const { whom } = bench;
      const [a, b] = range || [Math.min(from, to), Math.max(from, to)];
      const long = range || (held && b - a > 1.5 / player.fps);
      const end = range ? b : player.endOf(player.frameAt(b));
      const made = editor.add(book, long ? { kind: "segment", start: a, end, label: which, subject: whom }
        : { kind: "point", start: from, end: from, label: which, subject: whom });
      bench.choose(made, false);
    },
    other(which) {
      if (bench.chosen) editor.change(book, bench.chosen, { label: which, ...(bench.label?.kind === "nothing" ? { kind: "segment" } : {}) });
    },
    cancel: stop,
  });
}

/**
 * Ask for a line of text.
 * @param {string} title
 * @param {string} field
 * @param {string} value as it is
 * @param {(text: string) => void} write
 */
async function ask(title, field, value, write) {
  const input = el("input", { id: "asked-text", value, maxlength: "2000", autocomplete: "off" });
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "asked-title" });
  dialog.append(el("form", { method: "dialog" }, el("h2", { id: "asked-title", text: title }),
    el("div", { class: "field" }, el("label", { for: "asked-text", text: field }), input),
    el("div", { class: "buttons" }, button("Cancel", () => dialog.close(""), { class: "quiet" }),
      el("button", { type: "submit", class: "main", value: "ok", text: `Keep the ${field.toLowerCase()}` }))));
  if (await show(dialog) === "ok") write(input.value.trim());
}
