/**
 * How training goes: in a chip of the top bar, and as a card.
 * @module
 */
import { button, el } from "../shared/js/dom.js";
import { count, span } from "../shared/js/format.js";
import { notice } from "../shared/js/notice.js";

const NAMES = /** @type {Record<string, string>} */ ({
  idle: "Not training", features: "Reading videos", training: "Training", measuring: "Measuring", exporting: "Writing the plan", failed: "Training failed", waiting: "Begins soon",
});

/** States in which something goes on. */
const BUSY = ["features", "training", "measuring", "exporting"];

/** @param {any} training @returns {number|null} share that is done */
function share({ state, step, steps, videos }) {
  if (state === "features" && videos?.[1]) return videos[0] / videos[1];
  return ["training", "measuring"].includes(state) && steps ? step / steps : null;
}

/** @param {any} training */
export function trainingText(training) {
  const done = share(training);
  const left = training.left_s > 0 ? `${span(Math.ceil(training.left_s))} left` : "";
  const name = NAMES[training.state] || training.state;
  const part = training.state === "features" && training.videos?.[1] ? `video ${Math.min(training.videos[0] + 1, training.videos[1])} of ${training.videos[1]}` : done === null ? "" : `${Math.floor(100 * done)} %`;
  const kind = training.state === "failed" ? "bad" : BUSY.includes(training.state) ? "on" : "";
  return { short: training.state === "features" && part ? `Reading ${part.replace("video ", "")}` : [name, part].filter(Boolean).join(" "), long: [name, part, left, training.detail].filter(Boolean).join(" · "), left, part, name, kind, done };
}

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 */
export function trainingCard(context, signal) {
  const { store, api } = context;
  const title = el("h2");
  const line = el("p", { class: "number", role: "status" });
  const detail = el("p", { class: "small" });
  const last = el("p", { class: "small faint" });
  const bar = el("progress", { max: "1", "aria-label": "Training" });
  const errors = el("div", { class: "errors" });
  const act = button("", async () => {
    act.disabled = true;
    try {
      const told = await api.json("/api/training", { method: "POST", json: { action: running() ? "stop" : "start" } });
      if (told?.state) store.train(told);
      errors.replaceChildren();
    } catch (error) {
      errors.replaceChildren(notice(error));
    }
    act.disabled = false;
    tell();
  });
  const running = () => BUSY.includes(store.training.state);

  function tell() {
    const { training } = store;
    const text = trainingText(training);
    title.textContent = text.name;
    title.className = training.state === "failed" ? "bad" : "";
    line.textContent = [text.part, text.left].filter(Boolean).join(" · ");
    line.hidden = !line.textContent;
    const usual = training.auto === false ? "It waits until it is started." : "It begins by itself after new labels, and goes on from the last weights.";
    detail.textContent = training.detail || (training.state === "idle" ? usual : "");
    bar.hidden = !running();
    if (text.done === null) bar.removeAttribute("value");
    else bar.value = text.done;
    act.textContent = running() ? "Stop" : "Train now";
    act.className = running() ? "" : "main";
    const { labels, seconds: stages = {} } = training.last || {};
    const seconds = Object.values(stages).reduce((a, b) => a + Number(b), 0);
    last.textContent = labels !== undefined && seconds ? `The last one learned from ${count(labels || 0, "label")} in ${span(Math.round(seconds))}.` : "";
  }
  store.addEventListener("training", tell, { signal });
  tell();
  return el("section", { class: "card training-card", "aria-label": "Training" },
    el("div", { class: "card-head" }, title, el("span", { class: "gap" }), act), line, bar, detail, last, errors);
}
