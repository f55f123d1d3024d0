/**
 * Light or dark: the system's choice, unless somebody chose otherwise here.
 * @module
 */
import { el } from "./dom.js";

const KEY = "tal.theme";
const CHOICES = [["auto", "System colours"], ["light", "Light"], ["dark", "Dark"]];

/** Colours of pictures have changed; sent to the window. */
export const CHANGED = "tal-theme";

/** @param {string} choice */
function apply(choice) {
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  window.dispatchEvent(new Event(CHANGED));
}

/**
 * Take the choice of before, and return the switch.
 * @param {string} [auto] what the system's choice is called
 */
export function themeSwitch(auto = CHOICES[0][1]) {
  const known = localStorage.getItem(KEY) || "auto";
  const select = el("select", { "aria-label": "Colours", title: "Colours", on: { change: () => {
    localStorage.setItem(KEY, select.value);
    apply(select.value);
  } } }, ...CHOICES.map(([value, text]) => el("option", { value, text: value === "auto" ? auto : text, selected: value === known })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new Event(CHANGED)));
  apply(known);
  return select;
}

/** @typedef {{dark: boolean, ink: string, faint: string, line: string, accent: string, ground: string, select: string}} Palette */

/**
 * The colours that pictures use now.
 * @returns {Palette}
 */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const of = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  const [ink, faint, line, accent, ground, select] = ["ink", "faint", "line", "accent", "ground", "select"].map(of);
  return { dark: of("dark") === "1", ink, faint, line, accent, ground, select };
}

/**
 * The colour of a class, far from those of the classes before it.
 * @param {number} id
 * @param {boolean} dark
 * @param {number} [alpha]
 */
export function classColour(id, dark, alpha = 1) {
  const hue = (250 + id * 137.508) % 360;
  return `oklch(${dark ? 0.76 : 0.5} ${dark ? 0.13 : 0.14} ${hue.toFixed(1)} / ${alpha})`;
}
