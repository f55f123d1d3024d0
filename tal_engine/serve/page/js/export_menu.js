/**
 * Files of what is shown. The service writes them, so that they are those of its API and of `tal`.
 * @module
 */
import { announce, button, el, save } from "./dom.js";

/** Form, its name, and the end of the file's name. */
const FORMS = [
  ["json", "JSON", ".json"], ["activitynet", "ActivityNet", ".activitynet.json"], ["csv", "CSV", ".csv"], ["vtt", "WebVTT", ".vtt"],
];

/**
 * @param {import("./api.js").Api} api
 * @param {string} job
 * @param {string} name of the video
 * @param {() => Record<string, unknown>} choice what is shown now
 * @param {(error: unknown) => void} failed
 */
export function exportMenu(api, job, name, choice, failed) {
  const within = el("input", { type: "checkbox", id: "within" });
  const line = el("label", { for: "within", class: "within", hidden: true }, within, "only the selection");
  const menu = el("details", { class: "menu" }, el("summary", { text: "Export" }));
  const stem = name.replace(/\.[^.]*$/, "") || "result";

  /** @param {string[]} form */
  async function write([format, , ending]) {
    menu.open = false;
    const { start, end, ...rest } = choice();
    const part = within.checked && !line.hidden ? { start, end } : {};
    try {
      const answer = await api.request(`/v1/jobs/${job}/export`, { method: "POST", json: { format, ...rest, ...part } });
      save(await answer.blob(), stem + ending);
      announce(`${stem}${ending} is saved`);
    } catch (error) {
      failed(error);
    }
  }
  menu.append(el("div", { class: "menu-items" }, el("p", { class: "small faint", text: "Segments above the threshold" }), line,
    ...FORMS.map((form) => button(form[1], () => write(form)))));
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    /** @type {HTMLElement} */ (menu.firstElementChild).focus();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget instanceof Node && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  return {
    element: menu,
    /** @param {boolean} on whether something is selected */
    selectable(on) {
      line.hidden = !on;
    },
  };
}
