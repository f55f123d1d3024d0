/**
 * The end of the top bar: what is saved, what trains, who labels, undo, help.
 * @module
 */
import { button, el, show } from "../shared/js/dom.js";
import { count } from "../shared/js/format.js";
import { themeSwitch } from "../shared/js/theme.js";
import { askName } from "./welcome.js";
import { trainingText } from "./training_card.js";

/** @param {import("./main.js").Context} context */
export function topBar(context) {
  const { store, editor } = context;
  const undo = button("↶", () => void editor.undo(), { class: "icon", "aria-label": "Undo", title: "Undo (Ctrl Z)" });
  const redo = button("↷", () => void editor.redo(), { class: "icon", "aria-label": "Redo", title: "Redo (Ctrl Y)" });
  const name = button("", () => void askName(context), { class: "who" });
  const training = el("a", { class: "chip training-chip", href: "#/model" });
  const offline = el("span", { class: "chip bad", role: "status", hidden: true, text: "No connection" });

  function steps() {
    const last = (/** @type {import("./history.js").Step[]} */ all) => all[all.length - 1];
    undo.disabled = !editor.history.done.length;
    redo.disabled = !editor.history.undone.length;
    undo.title = `Undo (Ctrl Z)${undo.disabled ? "" : `: ${last(editor.history.done).text}`}`;
    redo.title = `Redo (Ctrl Y)${redo.disabled ? "" : `: ${last(editor.history.undone).text}`}`;
  }
  function named() {
    name.textContent = editor.author;
    name.setAttribute("aria-label", `Labelling as ${editor.author}; change the name`);
    name.title = "Who labels here";
  }
  function trained() {
    const text = trainingText(store.training);
    training.textContent = text.short;
    training.title = text.long;
    training.className = `chip training-chip ${text.kind}`;
  }
  function project() {
    const place = document.getElementById("project");
    if (place) place.textContent = store.project.name || "tal studio";
    if (place) place.title = `${store.project.name} · tal studio`;
    named();
    trained();
  }
  editor.history.addEventListener("change", steps);
  editor.addEventListener("name", named);
  store.addEventListener("training", trained);
  store.addEventListener("project", project);
  store.addEventListener("connection", () => (offline.hidden = store.connected));
  counts(context);
  steps();
  named();
  return [offline, training, savedState(context), undo, redo, name,
    button("?", context.help, { class: "icon", "aria-label": "Keyboard", title: "Keyboard (?)" }), themeSwitch("Auto")];
}

/** How many questions and conflicts wait. @param {import("./main.js").Context} context */
function counts({ store, editor }) {
  const projected = () => put("team-count", store.project.conflicts || 0, "conflict");
  const put = (/** @type {string} */ id, /** @type {number} */ n, /** @type {string} */ what) => {
    const place = document.getElementById(id);
    if (!place) return;
    place.textContent = n ? String(n) : "";
    place.title = n ? count(n, what) : "";
  };
  const questions = () => store.soon("count", () => store.readWaiting());
  store.addEventListener("waiting", () => put("review-count", store.waiting || 0, "question"));
  for (const event of ["queue", "project"]) store.addEventListener(event, questions);
  store.addEventListener("project", projected);
  editor.addEventListener("conflict", () => store.soon("project", () => store.readProject()));
}

/** Whether what was done is on the server's disk. @param {import("./main.js").Context} context */
function savedState({ saver, editor }) {
  const text = el("span", { role: "status" });
  const act = button("", () => (saver.state.kind === "refused" ? void refusals(saver, editor) : saver.again()), { class: "small-button" });
  const element = el("span", { class: "saved-state" }, text, act);
  function tell() {
    const { kind, count: n, problem } = saver.state;
    element.dataset.kind = kind;
    act.hidden = kind === "saved" || kind === "saving";
    act.textContent = kind === "refused" ? "Look" : "Try now";
    text.textContent = kind === "saved" ? "✓ Saved" : kind === "saving" ? "Saving …" : `⚠ ${count(n, "edit")} not saved`;
    text.title = problem ? `${problem.title} ${problem.detail}`.trim() : kind === "saved" ? "All edits are on the disk" : "";
  }
  saver.addEventListener("state", tell);
  tell();
  return element;
}

/**
 * @param {import("./saver.js").Saver} saver
 * @param {import("./editor.js").Editor} editor
 */
async function refusals(saver, editor) {
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "refused-title" });
  dialog.append(el("h2", { id: "refused-title", text: "Edits that could not be saved" }),
    el("p", { text: "The server does not take them as they are. They stay in this browser until you decide." }),
    el("ul", { class: "list" }, ...saver.refused.map(({ entry, problem }) => el("li", {}, el("span", { class: "grow" },
      el("span", { class: "strong", text: entry.changes.map((c) => `${c.op} ${c.label.label}`).join(", ") || "answer of the queue" }),
      el("span", { class: "small", text: `${problem.title}${problem.detail ? `: ${problem.detail}` : ""}` }))))),
    el("div", { class: "buttons" }, button("Later", () => dialog.close(), { class: "quiet" }),
      button("Discard them", () => { editor.discard(); dialog.close(); }),
      button("Send again", () => { saver.resend(); dialog.close(); }, { class: "main", autofocus: true })));
  await show(dialog);
}
