/**
 * The first steps, and who labels.
 * @module
 */
import { button, el, show } from "../shared/js/dom.js";
import { editClasses } from "./classes_dialog.js";

/** @param {import("./main.js").Context} context */
function nameField(context) {
  const list = el("datalist", { id: "people" }, ...context.store.project.people.map((p) => el("option", { value: p })));
  const input = el("input", { id: "your-name", list: "people", value: context.editor.named ? context.editor.author : "",
    required: true, maxlength: "60", autocomplete: "nickname", pattern: ".*\\S.*", title: "Your name, so that others can see whose label it is" });
  return { input, element: el("div", { class: "field" }, el("label", { for: "your-name", text: "Your name" }), input, list) };
}

/** @param {import("./main.js").Context} context */
export async function welcome(context) {
  const { input, element } = nameField(context);
  const step = (/** @type {string} */ title, /** @type {string} */ text) => el("li", {}, el("strong", { text: title }), ` ${text}`);
  const dialog = el("dialog", { class: "dialog welcome", "aria-labelledby": "welcome-title" });
  dialog.append(el("form", { method: "dialog" }, el("h2", { id: "welcome-title", text: "Teach it by single presses" }),
    el("ol", { class: "welcome-steps" },
      step("Name the actions", "that you look for. Each gets a key."),
      step("Watch and press.", "One press of the key anywhere inside an action is enough; hold it to mark from here to there."),
      step("Answer questions.", "Training runs beside you. Review shows the moments that help most, one key each."),
      step("Look at the model.", "Held-out videos tell how good it is. Then save it as a plan, or start a stream with it.")),
    element, el("p", { class: "small faint", text: "Everything is saved on this computer's disk after every press. Press ? for all keys." }),
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "main", value: "ok", text: "Begin" }))));
  await show(dialog);
  context.editor.setAuthor(input.value.trim() || context.editor.author);
  if (!context.store.project.classes.length) await editClasses(context);
}

/** @param {import("./main.js").Context} context */
export async function askName(context) {
  const { input, element } = nameField(context);
  input.addEventListener("focus", () => input.select(), { once: true }); // another name takes its place
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "name-title" });
  dialog.append(el("form", { method: "dialog" }, el("h2", { id: "name-title", text: "Who labels here?" }), element,
    el("p", { class: "small faint", text: "Labels carry it from now on. It is kept in this browser." }),
    el("div", { class: "buttons" }, button("Cancel", () => dialog.close(""), { class: "quiet" }),
      el("button", { type: "submit", class: "main", value: "ok", text: "Keep" }))));
  if (await show(dialog) === "ok" && input.value.trim()) context.editor.setAuthor(input.value.trim());
}
