/**
 * Kinds of questions, and keys of classes while they are asked: an answer, or marks where a video is watched as a whole.
 * @module
 */
import { Hold } from "./hold.js";

/** Why something is asked, in a few words. */
export const REASONS = /** @type {Record<string, string>} */ ({
  boundary: "Where are its ends?", disagreement: "Two models disagree", rare: "A rare action", likely_miss: "Missed?", likely_false: "A false alarm?", unfinished: "Watch it whole",
});

/** What asks about a whole video: it stays while actions are marked, until somebody says that this is all. */
export const WHOLE = "unfinished";

/**
 * @param {() => Hold|null} whole what marks in the video that is watched as a whole; null while moments are asked about
 * @param {(label: string) => void} answer it is this class
 * @returns {Hold}
 */
export function reviewHold(whole, answer) {
  return new Hold({
    now: () => whole()?.does.now() || 0,
    begin: (label, start) => whole()?.does.begin(label, start),
    longer: (label) => whole()?.does.longer(label),
    cancel: () => whole()?.does.cancel(),
    end: (label, start, held) => {
      const marks = whole();
      if (marks) marks.does.end(label, start, held);
      else answer(label);
    },
  });
}
