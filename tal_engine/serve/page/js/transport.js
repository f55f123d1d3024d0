/**
 * The bar below the picture: play, step, time and frame, selection.
 * @module
 */
import { button, el } from "./dom.js";
import { clock } from "./format.js";
import { icon } from "./icons.js";

/**
 * @param {Record<string, () => void>} actions as of the keyboard
 * @param {AbortSignal} signal
 * @param {import("./player.js").Player} player
 */
export function transport(actions, signal, player) {
  /**
   * @param {string} act
   * @param {Node|string} sign
   * @param {string} name
   * @param {string} key
   */
  function control(act, sign, name, key) {
    const made = button("", () => actions[act](), { "aria-label": name, title: `${name} (${key})`, class: "icon" });
    made.append(sign);
    return made;
  }
  const play = control("toggle", icon("play"), "Play", "Space");
  const time = el("span", { class: "number time" });
  const frame = el("span", { class: "number faint frame-number" });
  const speed = el("span", { class: "speed faint" });
  const selected = el("span", { class: "number selected" });
  const unmark = control("unmark", icon("close"), "No selection", "Esc");
  const element = el("div", { class: "transport", role: "group", "aria-label": "Playing" },
    control("previous", icon("previous"), "Segment before", "↑"), control("frameBack", icon("back"), "One frame back", "←"), play,
    control("frameForward", icon("forward"), "One frame forward", "→"), control("next", icon("next"), "Next segment", "↓"), time, frame, speed,
    el("span", { class: "gap" }),
    control("markStart", "[", "Selection begins here", "["), control("markEnd", "]", "Selection ends here", "]"), selected, unmark);

  const tell = () => {
    time.textContent = clock(player.shown);
    frame.textContent = `frame ${player.frame.toLocaleString("en")}`;
  };
  player.addEventListener("time", tell, { signal });
  player.addEventListener("state", () => {
    const on = player.speed !== 0;
    play.replaceChildren(icon(on ? "pause" : "play"));
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
