/**
 * What is chosen, in fields.
 * @module
 */
import { button, el } from "../shared/js/dom.js";
import { clock, score } from "../shared/js/format.js";
import { personChoice } from "./people_bar.js";

/** @typedef {import("./workbench.js").Workbench} Workbench */

/**
 * @param {Workbench} bench
 * @param {import("./editor.js").Editor} editor
 * @param {Record<string, () => void>} actions
 */
export function inspector(bench, editor, actions) {
  const element = el("section", { class: "inspector", "aria-label": "What is chosen" });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !(event.target instanceof HTMLElement)) return;
    event.stopPropagation(); // out of the field; keys are the studio's again
    event.target.blur();
  });
  let shown = "";

  function nothing() {
    return [el("p", { class: "faint", text: bench.selection
      ? "A range is set: press a class to mark it, or X where nothing happens."
      : bench.book.shown.size ? "Tap a label, or choose it with ↑ and ↓."
        : "No labels yet. Play the video, and press a class's key whenever it happens: one press per action is enough." })];
  }

  /** @param {any} guess */
  function suggestion(guess) {
    const marks = bench.marks(guess);
    const point = marks.length === 1 && marks[0].kind === "point";
    return [el("div", { class: "inspector-head" }, el("h2", { text: `${guess.label}?` }), el("span", { class: "chip on", text: `score ${score(guess.score)}` })),
      el("p", { class: "number", text: `${clock(guess.start)} – ${clock(guess.end)}` }),
      el("div", { class: "inspector-row" }, marks.length && !point ? el("span", { class: "small", text: "✓ Marked already" })
        : button(point ? "Give the mark these ends" : "Accept", actions.accept, { class: "main small-button", title: "Accept (A)" }),
        button("Play", actions.playChosen, { class: "small-button", title: "Play (Enter)" }))];
  }

  /** @param {import("./book.js").Label} label */
  function fields(label) {
    const change = (/** @type {any} */ what) => editor.change(bench.book, label.id, what);
    const names = bench.classes.includes(label.label) ? bench.classes : [label.label, ...bench.classes];
    const choice = el("select", { "aria-label": "Class", on: { change: () => {
      choice.blur();
      change(label.kind === "nothing" && choice.value ? { label: choice.value, kind: "segment" } : { label: choice.value });
    } } }, ...names.map((name) => el("option", { value: name, text: name || "nothing here", selected: name === label.label })));
    const note = el("input", { value: label.note, placeholder: "Note", "aria-label": "Note", maxlength: "2000", autocomplete: "off", on: { change: () => change({ note: note.value.trim() }) } });
    const subject = personChoice(bench, label, (name) => change({ subject: name }), actions.somebody);
    const kind = label.kind === "point" ? "a moment" : label.kind === "nothing" ? "nothing happens" : clock(label.end - label.start);
    return [
      el("div", { class: "inspector-head" }, choice, el("span", { class: "gap" }),
        button("Play", actions.playChosen, { class: "small-button", title: "Play (Enter)" }),
        button("Delete", actions.remove, { class: "small-button", title: "Remove (Del)" })),
      el("p", { class: "number" }, `${clock(label.start)}${label.end > label.start ? ` – ${clock(label.end)}` : ""} `, el("span", { class: "faint", text: `· ${kind} · ${label.author}` })),
      el("div", { class: "inspector-row" }, button("[ Begins here", actions.markStart, { class: "small-button", title: "It begins at the playhead ([)" }),
        button("Ends here ]", actions.markEnd, { class: "small-button", title: "It ends with this frame (])" })),
      el("div", { class: "inspector-row" }, note, subject)];
  }

  function tell() {
    const label = bench.label;
    // What the server adds when it saves is not shown: the fields stay as they are.
    const now = label ? JSON.stringify([{ ...label, revision: 0, edited: "" }, bench.classes, bench.people]) : bench.guess ? JSON.stringify(bench.guess) : `none ${bench.selection !== null} ${bench.book.shown.size > 0}`;
    if (now === shown) return;
    shown = now;
    const inside = element.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
    element.replaceChildren(...(label ? fields(label) : bench.guess ? suggestion(bench.guess) : nothing()));
    if (inside) /** @type {HTMLElement|null} */ (element.querySelector(`[aria-label="${inside}"]`))?.focus();
  }

  bench.addEventListener("change", tell);
  bench.addEventListener("selection", tell);
  tell();
  return element;
}
