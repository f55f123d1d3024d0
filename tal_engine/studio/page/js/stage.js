/**
 * Where a video of the project is shown; or why it is not yet.
 * @module
 */
import { el } from "../shared/js/dom.js";

/** @typedef {import("./store.js").Video} Video */

/**
 * The address of a video that the browser can show now, or null.
 * @param {Video} video
 */
export function addressOf(video) {
  if (video.problem && !video.frames) return null;
  return video.playable || video.proxy === "ready" ? `/api/videos/${encodeURIComponent(video.id)}/media` : null;
}

/**
 * @param {Video} video
 * @param {import("../shared/js/player.js").Player} player
 * @param {HTMLElement} here what happens at the moment
 */
export function stage(video, player, here) {
  const box = el("div", { class: "screen" });
  const title = el("p", { class: "strong" });
  const text = el("p");
  const bar = el("progress", { max: "1", hidden: true, "aria-label": "Copy for this browser" });
  const blank = el("div", { class: "no-picture" }, title, text, bar);
  let broken = false;

  /** @param {Video} now */
  function tell(now) {
    bar.hidden = now.proxy !== "making";
    bar.value = now.progress || 0;
    if (now.problem && !now.frames) [title.textContent, text.textContent] = [now.problem.title, now.problem.detail];
    else if (now.proxy === "making") {
      title.textContent = `A copy for this browser is being made: ${Math.round(100 * (now.progress || 0))} %`;
      text.textContent = `Browsers do not show ${now.codec || "this codec"}. Labels can be made already; the picture comes by itself.`;
    } else if (now.proxy === "failed") {
      title.textContent = "There is no picture of this video";
      text.textContent = "It could not be copied into a form that browsers show. The timeline moves without one.";
    } else if (broken) {
      title.textContent = "This browser cannot show this video";
      text.textContent = "The timeline moves without a picture. Chromium, Firefox and Safari show H.264.";
    } else {
      title.textContent = "The picture is not ready yet";
      text.textContent = `Browsers do not show ${now.codec || "this codec"}; a copy will be made.`;
    }
  }

  player.addEventListener("unplayable", () => {
    broken = true;
    tell(video);
    box.replaceChildren(blank);
  });
  tell(video);
  if (player.video) box.append(player.video, here);
  else box.append(blank);
  return { element: box, tell };
}
