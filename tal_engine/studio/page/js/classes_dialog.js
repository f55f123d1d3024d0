/**
 * The classes of the project: their names and keys.
 * @module
 */
import { announce, button, el, show } from "../shared/js/dom.js";
import { notice } from "../shared/js/notice.js";
import { classColour, palette } from "../shared/js/theme.js";
import { classKeys, isClassKey } from "./shortcuts.js";

/** @param {import("./main.js").Context} context */
export function editClasses(context) {
  const { classes } = context.store.project;
  const keys = classKeys(classes);
  const errors = el("div", { class: "errors" });
  const rows = el("ol", { class: "class-rows" });
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "classes-title" });

  /** @param {string} name @param {string} key @param {boolean} known */
  function row(name, key, known) {
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = classColour(rows.children.length, palette().dark);
    const input = el("input", { value: name, "aria-label": `Class ${rows.children.length + 1}`, placeholder: "for example squat", maxlength: "100", autocomplete: "off" });
    const press = el("input", { value: key, "aria-label": `Key of class ${rows.children.length + 1}`, maxlength: "1", class: "key-input", autocomplete: "off" });
    const made = el("li", { "data-former": known ? name : null }, swatch, input, press);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || made.nextElementSibling || !input.value.trim()) return;
      event.preventDefault(); // the next one; Enter in the last empty field is done
      add();
    });
    return made;
  }

  function add() {
    const free = classKeys([...read().map(({ key, name }) => ({ name, key })), { name: "", key: "" }]).at(-1) || "";
    rows.append(row("", free, false));
    /** @type {HTMLInputElement} */ (rows.lastElementChild?.querySelector("input")).focus();
  }

  function read() {
    return [...rows.children].map((li) => {
      const [name, key] = [...li.querySelectorAll("input")].map((i) => i.value.trim());
      const former = /** @type {HTMLElement} */ (li).dataset.former;
      return { name, key: key.toLowerCase(), ...(former && former !== name ? { former } : {}) };
    });
  }

  /** @param {Event} event */
  async function keep(event) {
    event.preventDefault();
    const named = read().filter((c) => c.name);
    const twice = named.find((c, i) => named.findIndex((d) => d.name === c.name) < i);
    const bad = named.find((c) => c.key && !isClassKey(c.key));
    const again = named.find((c, i) => c.key && named.findIndex((d) => d.key === c.key) < i);
    const said = !named.length ? "Name at least one action." : twice ? `“${twice.name}” is there twice.`
      : bad ? `The key ${bad.key} has a meaning of its own. Digits are free, and most letters.`
        : again ? `Two classes have the key ${again.key}.` : "";
    if (said) {
      errors.replaceChildren(el("p", { class: "bad", role: "alert", text: said }));
      return;
    }
    try {
      await context.store.setClasses(named);
      dialog.close("ok");
      announce("The classes are kept");
    } catch (error) {
      errors.replaceChildren(notice(error));
    }
  }

  const form = el("form", { on: { submit: keep } }, el("h2", { id: "classes-title", text: "Actions to find" }),
    el("p", { class: "small faint", text: "A name and a key each. Renaming an action renames its labels; one without labels goes when its name is empty." }), rows,
    el("div", {}, button("Another action", add, { class: "small-button" })), errors,
    el("div", { class: "buttons" }, button("Cancel", () => dialog.close(""), { class: "quiet" }),
      el("button", { type: "submit", class: "main", text: "Keep" })));
  dialog.append(form);
  classes.forEach((c, i) => rows.append(row(c.name, keys[i], true)));
  if (!classes.length) for (const key of ["1", "2", "3"]) rows.append(row("", key, false));
  return show(dialog);
}
