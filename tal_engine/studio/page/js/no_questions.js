/**
 * What Review says where nothing is asked: why, and what helps meanwhile.
 * @module
 */
import { el } from "../shared/js/dom.js";
import { note } from "../shared/js/notice.js";

/**
 * @param {import("./store.js").Store} store
 * @param {number} answered how many questions were answered here
 * @param {boolean} trained whether there are suggestions
 */
export function noQuestions(store, answered, trained) {
  const videos = el("a", { class: "button main", href: "#/", text: "To the videos" });
  const page = (/** @type {string} */ title, /** @type {string} */ text, /** @type {Node[]} */ ...more) => el("div", { class: "page" }, note(title, text, ...more));
  const meanwhile = "The next training may ask new ones. Meanwhile, held-out videos and videos without labels can be looked at.";
  const good = el("a", { href: "#/model", text: "How good is it now?" });
  if (answered) return page("All questions are answered", meanwhile, videos, good);
  if (trained) return page("No questions at the moment", `The last training found nothing to ask: what it suggests is labelled, answered, or sure enough. ${meanwhile}`, videos, good);
  const labels = store.videos.some((v) => Object.values(v.labels).some((c) => c.points + c.segments));
  if (!labels) return page("No questions yet", "First mark some actions: play a video, and press an action's key whenever it happens. Questions come after the first training.", videos);
  return page("No questions yet", "Questions come with the first suggestions: training has to run once. It begins by itself some seconds after a label.", el("a", { class: "button main", href: "#/model", text: "See the training" }));
}
