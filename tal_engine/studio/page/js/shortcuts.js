/**
 * Keys of the studio. Classes have the keys that are left: digits and letters.
 * @module
 */
import { key, nameOf, PLAYING } from "../shared/js/keys.js";

/** @typedef {import("../shared/js/keys.js").Shortcut} Shortcut */

const MOVING = [
  key("Moving", "frameBack", [",", "ArrowLeft"], [",", "←"], "One frame back"),
  key("Moving", "frameForward", [".", "ArrowRight"], [".", "→"], "One frame forward"),
  key("Moving", "secondBack", ["Shift+ArrowLeft"], ["Shift", "←"], "One second back"),
  key("Moving", "secondForward", ["Shift+ArrowRight"], ["Shift", "→"], "One second forward"),
  key("Moving", "first", ["Home"], ["Home"], "To the beginning"),
  key("Moving", "last", ["End"], ["End"], "To the end"),
  key("Timeline", "closer", ["+", "="], ["+"], "Zoom in at the playhead"),
  key("Timeline", "wider", ["-"], ["−"], "Zoom out"),
  key("Timeline", "fit", ["f"], ["F"], "Show all"),
  key("Timeline", "fitChosen", ["z"], ["Z"], "Zoom to what is chosen"),
];

/** What works in every view. */
export const EVERYWHERE = [
  key("Anywhere", "undo", ["Ctrl+z"], ["Ctrl", "Z"], "Undo"),
  key("Anywhere", "redo", ["Ctrl+y", "Ctrl+Shift+z"], ["Ctrl", "Y"], "Redo"),
  key("Anywhere", "help", ["?"], ["?"], "This overview"),
];

/** @type {Shortcut[]} of the label view */
export const LABELLING = [
  key("Marking", "", [], ["1", "…", "9"], "Tap: mark this moment. Hold: mark from here until you let go"),
  key("Marking", "", [], ["Shift", "1", "…"], "Give the chosen label this class"),
  key("Marking", "markStart", ["["], ["["], "The chosen label, or else a range, begins here"),
  key("Marking", "markEnd", ["]"], ["]"], "… ends here; then a class key marks the range"),
  key("Marking", "accept", ["a"], ["A"], "Accept the suggestion that is chosen or here"),
  key("Marking", "nothing", ["x"], ["X"], "Nothing happens in the range"),
  key("People", "whom", ["w"], ["W"], "New labels are about the next person"),
  key("People", "give", ["Shift+w"], ["Shift", "W"], "The chosen label is about the next person"),
  key("Labels", "previous", ["ArrowUp", "p"], ["↑"], "To the label before"),
  key("Labels", "next", ["ArrowDown", "n"], ["↓"], "To the next label"),
  key("Labels", "remove", ["Delete", "Backspace"], ["Del"], "Remove the chosen label"),
  key("Labels", "nudgeBack", ["Ctrl+ArrowLeft"], ["Ctrl", "←"], "Move it one frame back"),
  key("Labels", "nudgeForward", ["Ctrl+ArrowRight"], ["Ctrl", "→"], "Move it one frame forward"),
  key("Labels", "note", ["m"], ["M"], "Write a note"),
  key("Labels", "playChosen", ["Enter"], ["Enter"], "Play what is chosen"),
  key("Labels", "unmark", ["Escape"], ["Esc"], "Nothing chosen, no range"),
  ...PLAYING, ...MOVING,
  key("Videos", "videoBefore", ["PageUp"], ["PgUp"], "The video before"),
  key("Videos", "videoAfter", ["PageDown"], ["PgDn"], "The next video"),
  key("Videos", "done", ["d"], ["D"], "Looked at whole: what has no label is background"),
  ...EVERYWHERE,
];

/** @type {Shortcut[]} of the review */
export const REVIEWING = [
  key("Answers", "accept", ["a", "Enter"], ["A"], "Accept"),
  key("Answers", "reject", ["r"], ["R"], "Reject"),
  key("Answers", "move", ["m"], ["M"], "It happens at the playhead, or within the bounds that were set"),
  key("Answers", "", [], ["1", "…", "9"], "It is this class; where the timeline was clicked, there"),
  key("Answers", "nothing", ["x"], ["X"], "Nothing happens here at all"),
  key("Answers", "whom", ["w"], ["W"], "What is marked is about the next person"),
  key("Answers", "skip", ["s"], ["S"], "Not now: the next question"),
  key("Answers", "markStart", ["["], ["["], "It begins here"),
  key("Answers", "markEnd", ["]"], ["]"], "It ends here"),
  key("Answers", "playChosen", ["p"], ["P"], "Play it again"),
  ...PLAYING, ...MOVING, ...EVERYWHERE,
];

export const POINTER = "With the pointer: drag a label or its ends, drag the ruler to move through the video, drag the ground to pan, "
  + "Ctrl and the wheel or two fingers to zoom. A class's button works as its key does: tap or hold.";

/** Letters that have a meaning of their own in some view. */
const TAKEN = new Set([...LABELLING, ...REVIEWING].flatMap((s) => s.keys).filter((k) => /^[a-z]$/.test(k)));
const FREE = [..."1234567890", ..."bceghioqtuvwy"];

/**
 * Whether a class can have a key.
 * @param {string} name
 */
export function isClassKey(name) {
  return /^[0-9a-z]$/.test(name) && !TAKEN.has(name);
}

/**
 * Keys for classes: their own where they can have them, else the first that is free.
 * @param {{name: string, key: string}[]} classes
 * @returns {string[]} "" where none is left
 */
export function classKeys(classes) {
  const taken = new Set();
  const own = classes.map(({ key: wanted }) => {
    const name = (wanted || "").toLowerCase();
    if (!isClassKey(name) || taken.has(name)) return "";
    taken.add(name);
    return name;
  });
  return own.map((name) => {
    if (name) return name;
    const free = FREE.find((f) => isClassKey(f) && !taken.has(f)) || "";
    taken.add(free);
    return free;
  });
}

/**
 * The class key of an event: digits by their place, for some keyboards have them above Shift.
 * @param {KeyboardEvent} event
 */
export function classKeyOf(event) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  return digit ? digit[1] : nameOf(event);
}
