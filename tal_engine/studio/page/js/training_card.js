/**
 * How training goes: in a chip of the top bar, and as a card.
 * @module
 */
import { button, el } from "../shared/js/dom.js";
import { moment, span } from "../shared/js/format.js";
import { notice } from "../shared/js/notice.js";

const NAMES = /** @type {Record<string, string>} */ ({
  idle: "Not training", features: "Reading videos", training: "Training", measuring: "Measuring", failed: "Training failed", waiting: "Waits for labels",
});

/** @param {any} training @returns {number|null} share that is done */
function share({ state, step, steps, video, videos }) {
  if (state === "features" && videos) return (video || 0) / videos;
  return ["training", "measuring"].includes(state) && steps ? step / steps : null;
}

/** @param {any} training */
export function trainingText(training) {
  const done = share(training);
  const left = training.left_s > 0 ? `${span(Math.ceil(training.left_s))} left` : "";
  const name = NAMES[training.state] || training.state;
  const part = training.state === "features" && training.videos ? `video ${Math.min((training.video || 0) + 1, training.videos)} of ${training.videos}` : done === null ? "" : `${Math.floor(100 * done)} %`;
  const kind = training.state === "failed" ? "bad" : ["features", "training", "measuring"].includes(training.state) ? "on" : "";
  return { short: [name, part].filter(Boolean).join(" "), long: [name, part, left, training.detail].filter(Boolean).join(" · "), left, part, name, kind, done };
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
  const running = () => ["features", "training", "measuring"].includes(store.training.state);

  function tell() {
    const { training } = store;
    const text = trainingText(training);
    title.textContent = text.name;
    title.className = training.state === "failed" ? "bad" : "";
    line.textContent = [text.part, text.left].filter(Boolean).join(" · ");
    line.hidden = !line.textContent;
    detail.textContent = training.detail || (training.state === "idle" ? "It begins by itself after new labels, and goes on from the last weights." : "");
    bar.hidden = !running();
    if (text.done === null) bar.removeAttribute("value");
    else bar.value = text.done;
    act.textContent = running() ? "Stop" : "Train now";
    act.className = running() ? "" : "main";
    const at = training.last?.at ?? training.last?.ended;
    const took = training.last?.seconds ?? training.last?.took_s;
    last.textContent = training.last && (at || took) ? `Last time: ${[at ? moment(at) : "", took ? `took ${span(Math.round(took))}` : ""].filter(Boolean).join(", ")}` : "";
  }
  store.addEventListener("training", tell, { signal });
  tell();
  return el("section", { class: "card training-card", "aria-label": "Training" },
    el("div", { class: "card-head" }, title, el("span", { class: "gap" }), act), line, bar, detail, last, errors);
}
