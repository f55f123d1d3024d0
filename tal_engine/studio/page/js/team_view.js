/**
 * People: conflicts to settle, how far they agree, files to take along.
 * @module
 */
import { announce, button, el } from "../shared/js/dom.js";
import { clock, count } from "../shared/js/format.js";
import { note, notice } from "../shared/js/notice.js";
import { titleOf } from "./lane_rows.js";
import { askName } from "./welcome.js";

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @returns {Promise<HTMLElement>}
 */
export async function teamView(context, signal) {
  const name = el("span", { class: "strong" });
  const named = () => (name.textContent = context.editor.author);
  context.editor.addEventListener("name", named, { signal });
  named();
  const [conflicts, agreement] = await Promise.all([conflictCard(context, signal), agreementCard(context, signal)]);
  const file = (/** @type {string} */ href, /** @type {string} */ text) => el("a", { class: "button", href, download: true, text });
  return el("div", { class: "page" }, el("h1", { text: "Team" }),
    el("section", { class: "card", "aria-labelledby": "you" }, el("h2", { id: "you", text: "You" }),
      el("div", { class: "inspector-row" }, el("span", {}, "Labels from here carry the name ", name, "."), button("Change", () => void askName(context), { class: "small-button" }))),
    conflicts, agreement,
    el("section", { class: "card", "aria-labelledby": "files" }, el("h2", { id: "files", text: "Files" }),
      el("p", { class: "small faint", text: "Labels are plain files in the project's folder. The project as one file can be opened on another computer." }),
      el("div", { class: "inspector-row" }, file("api/labels.csv", "Labels as CSV"), file("api/labels.json", "Labels as JSON"), file("api/project.zip", "Project as ZIP"))));
}

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 */
async function conflictCard(context, signal) {
  const place = el("div", { class: "start" });
  async function tell() {
    const all = await context.api.json("/api/conflicts", { signal });
    place.replaceChildren(...(all.length ? all.map((/** @type {any} */ c) => conflict(context, c, tell))
      : [el("p", { class: "faint", text: "There are none: nobody changed the same label at the same time." })]));
  }
  const again = () => void tell().catch(() => undefined);
  context.editor.addEventListener("conflict", again, { signal });
  context.store.addEventListener("project", again, { signal });
  await tell();
  return el("section", { class: "card", "aria-labelledby": "conflicts" }, el("h2", { id: "conflicts", text: "Conflicts" }), place);
}

/**
 * @param {import("./main.js").Context} context
 * @param {any} found
 * @param {() => Promise<void>} again
 */
function conflict(context, found, again) {
  const errors = el("div", { class: "errors" });
  const mine = found.mine ?? found.yours;
  const name = context.store.video(found.video)?.name || found.video;
  const keep = async (/** @type {string} */ which) => {
    try {
      await context.api.request(`/api/conflicts/${encodeURIComponent(found.id)}`, { method: "POST", json: { keep: which, author: context.editor.author } });
      const book = context.store.books.get(found.video);
      if (book) await context.store.readLabels(book);
      context.store.soon("project", () => context.store.readProject());
      announce("The conflict is settled");
      await again();
    } catch (error) {
      errors.replaceChildren(notice(error));
    }
  };
  const side = (/** @type {string} */ title, /** @type {any} */ label, /** @type {string} */ which) => el("div", { class: "version" }, el("h3", { text: `${title}${label?.author ? ` · ${label.author}` : ""}` }),
    el("p", {}, ...version(label)), button("Keep this", () => void keep(which), { class: "small-button", "aria-label": `Keep ${title}` }));
  const at = mine?.start ?? found.theirs?.start ?? 0;
  return el("article", { class: "conflict" }, el("div", { class: "inspector-row" }, el("a", { class: "strong", href: `#/label/${encodeURIComponent(found.video)}`, text: name }), el("span", { class: "faint number", text: clock(at) })),
    el("div", { class: "versions" }, side("The edit that came second", mine, "mine"), side("What is kept now", found.theirs, "theirs")),
    el("div", {}, button("Keep both", () => void keep("both"), { class: "small-button" })), errors);
}

/** @param {any} label null: removed */
function version(label) {
  if (!label || label.op === "remove") return [el("span", { class: "faint", text: "removed" })];
  const times = label.end > label.start ? `${clock(label.start)} – ${clock(label.end)}` : clock(label.start);
  return [el("span", { class: "strong", text: titleOf(label) }), ` ${times}`, label.note ? el("span", { class: "faint", text: ` · ${label.note}` }) : ""];
}

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 */
async function agreementCard(context, signal) {
  const { pairs = [] } = await context.api.json("/api/agreement", { signal });
  const seconds = (/** @type {number|null} */ v) => (v === null || v === undefined ? "–" : `${v.toFixed(2)} s`);
  const head = ["People", "Kappa", "Ends differ by", "nine in ten below", "only the first", "only the second"];
  const body = pairs.length ? el("table", { class: "plain-table" }, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...pairs.map((/** @type {any} */ p) => el("tr", {}, el("th", { scope: "row", text: `${p.a} and ${p.b}` }),
      el("td", { text: p.kappa === null ? "–" : p.kappa.toFixed(2) }), el("td", { text: seconds(p.boundary_median_s) }), el("td", { text: seconds(p.boundary_p90_s) }),
      el("td", { text: only(p.only_a) }), el("td", { text: only(p.only_b) })))))
    : note("Nothing to compare yet", "Where two people label the same video, their labels are compared here: kappa over time, and how far their bounds lie apart.");
  return el("section", { class: "card", "aria-labelledby": "agreement" }, el("h2", { id: "agreement", text: "Agreement" }), body);
}

/** @param {any} found a number of labels, or they themselves */
function only(found) {
  return count(Array.isArray(found) ? found.length : found ?? 0, "label");
}
