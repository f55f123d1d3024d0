/**
 * News that must be seen wherever somebody works: problems of the server, conflicts.
 * @module
 */
import { button, el } from "../shared/js/dom.js";
import { clock, count } from "../shared/js/format.js";
import { titleOf } from "./lane_rows.js";

/** Most that are shown at once; the oldest go. */
const MOST = 3;
/** Milliseconds for what only has to be read. */
const A_WHILE = 20_000;

/** @param {import("./main.js").Context} context */
export function hearProblems({ store, saver, editor }) {
  const place = el("div", { class: "toasts", role: "region", "aria-label": "News" });
  document.querySelector("header.top")?.after(place); // above the view, so that it covers nothing of it

  /**
   * @param {string} title
   * @param {string} text
   * @param {string} kind
   * @param {...Node} more
   */
  function show(title, text, kind, ...more) {
    const toast = el("section", { class: `notice ${kind}`, role: "alert" }, el("h2", { text: title }), text && el("p", { class: "small", text }),
      el("div", { class: "inspector-row" }, ...more, button("Close", () => toast.remove(), { class: "small-button" })));
    place.append(toast);
    while (place.children.length > MOST) place.firstElementChild?.remove();
    if (!kind && !more.length) setTimeout(() => toast.remove(), A_WHILE);
    return toast;
  }

  store.addEventListener("problem", (e) => {
    const { title, detail } = /** @type {CustomEvent} */ (e).detail;
    show(title || "The server has a problem", detail || "", "bad-notice");
  });
  store.addEventListener("came", (e) => {
    const { added } = /** @type {CustomEvent} */ (e).detail;
    const more = added.length > 5 ? ` and ${added.length - 5} more` : "";
    show(count(added.length, "new video"), `${added.slice(0, 5).join(", ")}${more}`, "");
  });
  let told = "";
  /** @type {HTMLElement|null} gone when it is true no more */
  let unsaved = null;
  saver.addEventListener("state", () => {
    const { kind, problem } = saver.state;
    if (kind !== "unsaved" || !problem) {
      if (kind !== "saved") return;
      told = "";
      unsaved?.remove();
    } else if (problem.status && problem.title !== told) {
      told = problem.title;
      unsaved = show(problem.title, `${problem.detail} What you do stays in this browser, and is sent again until it is saved.`.trim(), "bad-notice");
    }
  });
  store.addEventListener("connection", () => store.connected && saver.again());
  editor.addEventListener("conflict", () => show("Somebody else was first", "The same label was changed by someone else meanwhile. Both versions are kept until one of you decides.", "",
    el("a", { class: "button small-link", href: "#/team", text: "Compare" })));
  editor.addEventListener("kept", (e) => {
    const { was, now } = /** @type {CustomEvent} */ (e).detail;
    const who = now && now.author !== editor.author ? now.author : "Somebody";
    show("Not undone", `${who} has ${now ? "changed" : "removed"} this label (${titleOf(was)}, ${clock(was.start)}) since. To undo it would undo that too.`, "");
  });
  editor.addEventListener("gone", (e) => {
    const { status, detail } = /** @type {CustomEvent} */ (e).detail;
    if (status === 404) show("An answer was not needed any more", "Somebody has answered this question already, or a label does.", "");
    else show("An answer could not be used", detail, "");
  });
  saver.addEventListener("refused", (e) => {
    const { problem } = /** @type {CustomEvent} */ (e).detail;
    show("An edit could not be saved", problem.detail || problem.title, "bad-notice");
  });
}
