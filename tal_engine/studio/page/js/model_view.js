/**
 * The model: its training, how good it is, its thresholds, and what to do with it.
 * @module
 */
import { announce, button, el } from "../shared/js/dom.js";
import { notice } from "../shared/js/notice.js";
import { measuresCard } from "./measures_card.js";
import { thresholdsCard } from "./thresholds_card.js";
import { trainingCard } from "./training_card.js";

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 */
export function modelView(context, signal) {
  return el("div", { class: "page wide" }, el("h1", { text: "Model" }),
    el("div", { class: "model-cards" }, trainingCard(context, signal), exportCard(context, signal)),
    measuresCard(context, signal), thresholdsCard(context, signal));
}

/**
 * Save the plan; start a stream with it.
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 */
function exportCard(context, signal) {
  const { api, store } = context;
  const errors = el("div", { class: "errors" });
  const said = el("p", { class: "good", role: "status" });
  const stem = (store.project.name || "studio").replace(/[^\w.-]+/g, "-");
  const output = el("input", { id: "output", value: `${stem}.plan`, autocomplete: "off", spellcheck: "false" });
  const source = el("input", { id: "source", placeholder: "rtsp://camera/1 or 0", autocomplete: "off", spellcheck: "false" });
  const streams = el("ul", { class: "list streams", hidden: true, "aria-label": "Streams" });
  let exported = false;

  /** @param {HTMLButtonElement} press @param {() => Promise<void>} what */
  async function attempt(press, what) {
    press.disabled = true;
    said.textContent = "";
    try {
      await what();
      errors.replaceChildren();
    } catch (error) {
      if (!signal.aborted) errors.replaceChildren(notice(error));
    }
    press.disabled = false;
  }
  const save = button("Save the plan", () => void attempt(save, async () => {
    const answer = await api.json("/api/export", { method: "POST", json: { output: output.value.trim() } });
    const plan = typeof answer?.plan === "string" ? answer.plan : answer?.plan?.path || answer?.output || answer?.path || output.value;
    said.textContent = `✓ ${plan} is written`;
    exported = true;
    announce(said.textContent);
  }), { class: "main" });
  const begin = button("Start a stream", () => void attempt(begin, async () => {
    await api.json("/api/streams", { method: "POST", json: { source: source.value.trim() } });
    said.textContent = exported ? "✓ The stream runs with the plan" : "✓ The stream runs with the last plan that was saved";
    await listed();
  }));

  async function listed() {
    const answer = await api.json("/api/streams", { signal });
    const all = Array.isArray(answer) ? answer : answer.streams || [];
    streams.hidden = !all.length;
    streams.replaceChildren(...all.map((/** @type {any} */ s) => el("li", {}, el("span", { class: "grow" }, el("span", { class: "strong", text: s.source || s.name }),
      s.detail && el("span", { class: "small faint", text: s.detail })), el("span", { class: `chip ${s.state === "failed" ? "bad" : "on"}`, text: s.state || "runs" }))));
  }
  void listed().catch(() => undefined);
  return el("section", { class: "card", "aria-labelledby": "use" }, el("h2", { id: "use", text: "Use it" }),
    el("div", { class: "form-row" }, el("div", { class: "field wide" }, el("label", { for: "output", text: "Plan" }), output), save),
    el("div", { class: "form-row" }, el("div", { class: "field wide" }, el("label", { for: "source", text: "Source of a stream" }), source), begin),
    said, streams, errors);
}
