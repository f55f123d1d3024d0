/**
 * The bar below the picture: play, step, time and frame, selection.
 * @module
 */
import { button, el } from "./dom.js";
import { clock } from "./format.js";

/**
 * @param {Record<string, () => void>} actions as of the keyboard
 * @param {AbortSignal} signal
 * @param {import("./player.js").Player} player
 */
export function transport(actions, signal, player) {
  const icon = (/** @type {string} */ act, /** @type {string} */ sign, /** @type {string} */ name, /** @type {string} */ key) =>
    button(sign, () => actions[act](), { "aria-label": name, title: `${name} (${key})`, class: "icon" });
  const play = icon("toggle", "▶", "Play", "Space");
  const time = el("span", { class: "number time" });
  const frame = el("span", { class: "number faint frame-number" });
  const speed = el("span", { class: "speed faint" });
  const selected = el("span", { class: "number selected" });
  const unmark = icon("unmark", "✕", "No selection", "Esc");
  const element = el("div", { class: "transport", role: "group", "aria-label": "Playing" },
    icon("previous", "⏮", "Segment before", "↑"), icon("frameBack", "‹", "One frame back", "←"), play,
    icon("frameForward", "›", "One frame forward", "→"), icon("next", "⏭", "Next segment", "↓"), time, frame, speed,
    el("span", { class: "gap" }),
    icon("markStart", "[", "Selection begins here", "["), icon("markEnd", "]", "Selection ends here", "]"), selected, unmark);

  const tell = () => {
    time.textContent = clock(player.time);
    frame.textContent = `frame ${player.frame.toLocaleString("en")}`;
  };
  player.addEventListener("time", tell, { signal });
  player.addEventListener("state", () => {
    const on = player.speed !== 0;
    play.textContent = on ? "⏸" : "▶";
    play.setAttribute("aria-label", on ? "Pause" : "Play");
    speed.textContent = on && player.speed !== 1 ? `${player.speed < 0 ? "−" : ""}${Math.abs(player.speed)}×` : "";
    tell();
  }, { signal });

  return {
    element,
    /** @param {[number, number]|null} selection */
    select(selection) {
      selected.textContent = selection ? `${clock(selection[0])} – ${clock(selection[1])} (${clock(selection[1] - selection[0])})` : "";
      unmark.hidden = !selection;
    },
  };
}
