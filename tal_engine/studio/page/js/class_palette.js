/**
 * The classes as buttons: what fingers and mice use instead of keys, and where keys can be looked up.
 * @module
 */
import { el, write } from "../shared/js/dom.js";
import { CHANGED, classColour, palette } from "../shared/js/theme.js";

/**
 * @param {import("./hold.js").Hold} hold
 * @param {AbortSignal} signal
 * @param {string} hint what a press does
 */
export function classPalette(hold, signal, hint) {
  const element = el("div", { class: "class-palette", role: "group", "aria-label": "Classes" });
  /** @type {Map<string, HTMLElement>} */
  let counts = new Map();
  /** @type {{name: string, key: string}[]} */
  let shown = [];

  /** @param {{name: string, key: string}[]} classes with the keys that they really have */
  function set(classes) {
    const { dark } = palette();
    shown = classes;
    counts = new Map();
    element.replaceChildren(...classes.map(({ name, key }, i) => {
      const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = classColour(i, dark);
      const number = el("span", { class: "row-count" });
      counts.set(name, number);
      const press = el("button", { type: "button", class: "class-button", title: hint, "aria-keyshortcuts": key || null },
        key && el("kbd", { text: key.toUpperCase(), "aria-hidden": "true" }), swatch, el("span", { class: "class-name", text: name }), number);
      press.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        event.preventDefault(); // the keyboard stays where it is
        press.setPointerCapture(event.pointerId);
        hold.press(name, `pointer ${name}`, event.timeStamp);
      });
      press.addEventListener("pointerup", (event) => hold.release(`pointer ${name}`, event.timeStamp));
      press.addEventListener("pointercancel", () => hold.cancel());
      press.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch is a hold
      press.addEventListener("click", (event) => {
        if (event.detail !== 0) return; // a pointer, see above
        hold.press(name, `pointer ${name}`, event.timeStamp);
        hold.release(`pointer ${name}`, event.timeStamp);
      });
      return press;
    }));
  }

  window.addEventListener(CHANGED, () => set(shown), { signal });
  return {
    element,
    set,
    /** @param {Map<string, {points: number, segments: number}>} found */
    count(found) {
      for (const [name, place] of counts) {
        const own = found.get(name);
        write(place, String(own ? own.points + own.segments : 0));
      }
    },
  };
}
