/**
 * Where the video is shown; or why it is not, and how to bring it.
 * @module
 */
import { button, el } from "./dom.js";

/**
 * @param {import("./main.js").Context} context
 * @param {any} job
 * @param {import("./player.js").Player} player
 * @param {HTMLElement} here what happens at the moment
 */
export function screen(context, job, player, here) {
  const box = el("div", { class: "screen" });
  const choose = el("input", { type: "file", class: "unseen", tabindex: "-1", "aria-label": "The video of this result", on: { change: () => {
    const file = choose.files?.[0];
    if (!file) return;
    context.files.set(job.id, file);
    context.again();
  } } });

  /**
   * @param {string} title
   * @param {string} text
   * @param {boolean} ask
   */
  const blank = (title, text, ask) => box.replaceChildren(el("div", { class: "no-picture" }, el("p", { class: "strong", text: title }),
    el("p", { text }), ask && button("Choose the video", () => choose.click()), choose));

  player.addEventListener("unplayable", () => blank("This browser cannot show this file",
    "The segments are complete: the service decodes more than browsers do. The timeline moves without a picture.", false));
  if (player.video) box.append(player.video, here);
  else if (job.source.endsWith(".npz")) blank("Features have no picture", "The timeline moves without one.", false);
  else blank("The video is not here", "It was never kept by this page. Choose it from this computer to see it with its result.", true);
  return box;
}
