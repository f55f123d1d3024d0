/**
 * The keyboard: one table says what keys do, for the listener and for the help.
 * @module
 */
import { button, el, show } from "./dom.js";

/** @typedef {{keys: string[], shown: string[], does: string, act: string, part: string}} Shortcut */

/**
 * @param {string} part
 * @param {string} act
 * @param {string[]} keys as events name them, with "Shift+" before
 * @param {string[]} shown
 * @param {string} does
 * @returns {Shortcut}
 */
export const key = (part, act, keys, shown, does) => ({ part, act, keys, shown, does });

/** What moves a video, wherever one is shown. */
export const PLAYING = [
  key("Playing", "toggle", [" "], ["Space"], "Play or pause"),
  key("Playing", "back", ["j"], ["J"], "Play backward; again: faster"),
  key("Playing", "pause", ["k"], ["K"], "Pause"),
  key("Playing", "forward", ["l"], ["L"], "Play forward; again: faster"),
];

/** @type {Shortcut[]} */
export const SHORTCUTS = [
  ...PLAYING,
  key("Moving", "frameBack", ["ArrowLeft", ","], ["←"], "One frame back"),
  key("Moving", "frameForward", ["ArrowRight", "."], ["→"], "One frame forward"),
  key("Moving", "secondBack", ["Shift+ArrowLeft"], ["Shift", "←"], "One second back"),
  key("Moving", "secondForward", ["Shift+ArrowRight"], ["Shift", "→"], "One second forward"),
  key("Moving", "previous", ["ArrowUp", "p"], ["↑"], "To the segment before"),
  key("Moving", "next", ["ArrowDown", "n"], ["↓"], "To the next segment"),
  key("Moving", "first", ["Home"], ["Home"], "To the beginning"),
  key("Moving", "last", ["End"], ["End"], "To the end"),
  key("Selection", "markStart", ["["], ["["], "Selection begins here"),
  key("Selection", "markEnd", ["]"], ["]"], "Selection ends here"),
  key("Selection", "markSegment", ["s"], ["S"], "Select the segment at the playhead"),
  key("Selection", "playSelection", ["Enter"], ["Enter"], "Play the selection"),
  key("Selection", "unmark", ["Escape"], ["Esc"], "No selection"),
  key("Timeline", "closer", ["+", "="], ["+"], "Zoom in at the playhead"),
  key("Timeline", "wider", ["-"], ["−"], "Zoom out"),
  key("Timeline", "fit", ["0"], ["0"], "Show all"),
  key("Timeline", "fitSelection", ["z"], ["Z"], "Zoom to the selection"),
  key("Timeline", "less", ["Shift+ArrowDown"], ["Shift", "↓"], "Lower threshold: more segments"),
  key("Timeline", "more", ["Shift+ArrowUp"], ["Shift", "↑"], "Higher threshold: fewer segments"),
];

/** Elements that use keys themselves, and which. */
const OWN_TEXT = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]";
const OWN_PRESS = "button, a[href], summary, [type=checkbox], label";

/**
 * Whether what has the focus uses a key itself.
 * @param {EventTarget|null} target
 * @param {string} name
 */
export function used(target, name) {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog") || target.closest(OWN_TEXT)) return true;
  if (target.matches("input[type=range]")) return /^(Arrow|Home|End|Page)/.test(name);
  return Boolean(target.closest(OWN_PRESS)) && (name === " " || name === "Enter");
}

/**
 * The key of an event as the table names it: where letters are not Latin, by its place.
 * @param {KeyboardEvent} event
 */
export function nameOf(event) {
  if (event.key.length !== 1) return event.key;
  const placed = /[\x20-\x7e]/.test(event.key) ? null : /^Key([A-Z])$/.exec(event.code);
  return (placed ? placed[1] : event.key).toLowerCase();
}

/**
 * Do what keys say, until `signal` ends it.
 * @param {Record<string, () => void>} actions by the `act` of the shortcuts
 * @param {AbortSignal} signal
 * @param {Shortcut[]} [shortcuts]
 */
export function listenToKeys(actions, signal, shortcuts = SHORTCUTS) {
  const table = new Map(shortcuts.flatMap((s) => s.keys.map((k) => [k, s.act])));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.defaultPrevented) return;
    const name = nameOf(event);
    const control = event.ctrlKey || event.metaKey;
    if (used(event.target, name)) return;
    const shifted = event.shiftKey && (control || name.length > 1 || table.has(`Shift+${name}`));
    const act = table.get(`${control ? "Ctrl+" : ""}${shifted ? "Shift+" : ""}${name}`);
    if (!act || !actions[act]) return;
    event.preventDefault();
    actions[act]();
  }, { signal });
}

const POINTER = "With the pointer: drag the ruler to move through the video, drag the rows to pan, "
  + "Ctrl and the wheel or two fingers to zoom, double-click a segment to select it.";

/**
 * Show what keys do.
 * @param {Shortcut[]} [shortcuts]
 * @param {string} [pointer] what the pointer does
 */
export function showHelp(shortcuts = SHORTCUTS, pointer = POINTER) {
  const dialog = el("dialog", { class: "dialog help", "aria-labelledby": "help-title" });
  const parts = [...new Set(shortcuts.map((s) => s.part))];
  dialog.append(
    el("h2", { id: "help-title", text: "Keyboard" }),
    el("div", { class: "help-parts" }, ...parts.map((part) => el("section", {}, el("h3", { text: part }),
      el("dl", {}, ...shortcuts.filter((s) => s.part === part).flatMap((s) => [
        el("dt", {}, ...s.shown.map((k) => el("kbd", { text: k }))), el("dd", { text: s.does })]))))),
    el("p", { class: "small faint", text: pointer }),
    el("div", { class: "buttons" }, button("Close", () => dialog.close(), { class: "main", autofocus: true })));
  return show(dialog);
}
