/**
 * What went wrong, for people.
 * @module
 */
import { button, el } from "./dom.js";
import { Problem } from "./api.js";

/** What one can do about problems of these kinds. */
const HELP = new Map([
  ["busy", "All places are taken. Try again in a moment."],
  ["unavailable", "The service is stopping or starting. Try again in a moment."],
  ["bad-video", "Check that the file plays elsewhere, or convert it, for example to H.264 in MP4."],
  ["too-large", "Cut or compress the video, or ask the operator for higher limits."],
  ["no-encoder", "Choose a plan that reads videos, or drop a file of features (.npz)."],
  ["source-not-allowed", "The operator lists sources with --allow-source."],
  ["storage", "The operator has to make room on the service's disk."],
]);

/**
 * Make the notice of an error.
 * @param {unknown} error
 * @param {{retry?: () => void, retryText?: string}} [options]
 * @returns {HTMLElement}
 */
export function notice(error, options = {}) {
  const problem = error instanceof Problem ? error : new Problem({ title: "The page made an error", detail: String(error) }, 0);
  const help = HELP.get(problem.kind);
  const wait = problem.retryAfter ? ` The service says: in ${problem.retryAfter} s.` : "";
  return el("section", { class: "notice bad-notice", role: "alert" },
    el("h2", { text: problem.title }),
    problem.detail && el("p", { class: "detail", text: problem.detail }),
    (help || wait) && el("p", { text: `${help || ""}${wait}`.trim() }),
    problem.status ? el("p", { class: "small faint", text: `Status ${problem.status}${problem.kind ? ` · ${problem.kind}` : ""}` }) : null,
    options.retry && button(options.retryText || "Try again", options.retry));
}

/**
 * Make a quiet note, as for what is empty.
 * @param {string} title
 * @param {string} text
 * @param {...(Node|null|false)} more
 */
export function note(title, text, ...more) {
  return el("section", { class: "notice" }, el("h2", { text: title }), el("p", { text }), ...more);
}
