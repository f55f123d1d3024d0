/**
 * The model: its training, how good it is, its thresholds, and what to do with it.
 * @module
 */
import { announce, button, el } from "../shared/js/dom.js";
import { count, size } from "../shared/js/format.js";
import { notice } from "../shared/js/notice.js";
import { streamView } from "../shared/js/stream_view.js";
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
  const exports = (store.project.exports || []).map((e) => e.name);
  const free = [stem, ...exports.map((_, i) => `${stem}-${i + 2}`)].find((name) => !exports.includes(name)) || stem;
  const output = el("input", { id: "output", value: free, maxlength: "60", autocomplete: "off", spellcheck: "false" });
  const source = el("input", { id: "source", placeholder: "rtsp://camera/1, or a video's name", list: "sources", autocomplete: "off", spellcheck: "false" });
  const sources = el("datalist", { id: "sources" }, ...store.videos.map((v) => el("option", { value: v.name })));
  const streams = el("ul", { class: "list streams", hidden: true, "aria-label": "Streams" });
  const wait = el("p", { class: "faint", role: "status", hidden: true, text: "The plan is written and tried out; this takes up to half a minute …" });

  /** @param {HTMLButtonElement} press @param {() => Promise<void>} what */
  async function attempt(press, what) {
    press.disabled = true;
    said.textContent = "";
    wait.hidden = press !== save;
    try {
      await what();
      errors.replaceChildren();
    } catch (error) {
      if (!signal.aborted) errors.replaceChildren(notice(error));
    }
    press.disabled = false;
    wait.hidden = true;
  }
  const save = button("Save the plan", () => void attempt(save, async () => {
    const answer = await api.json("/api/export", { method: "POST", json: { output: output.value.trim() } });
    said.textContent = `✓ ${answer.path || answer.name} is written (${size(answer.bytes)}, ${answer.calibrated ? "calibrated scores" : "raw scores"})`;
    announce(said.textContent);
    await store.readProject();
  }), { class: "main" });
  const begin = button("Start a stream", () => void attempt(begin, async () => {
    const { name } = await api.json("/api/streams", { method: "POST", json: { source: source.value.trim() } });
    location.hash = `#/stream/${encodeURIComponent(name)}`;
  }));

  async function listed() {
    const all = (await api.json("/api/streams", { signal })).streams;
    streams.hidden = !all.length;
    streams.replaceChildren(...all.map((/** @type {any} */ s) => el("li", {},
      el("span", { class: "grow" }, el("a", { href: `#/stream/${encodeURIComponent(s.name)}`, text: s.name }), el("span", { class: "small faint", text: `plan ${s.plan} · ${count(s.finals, "final event")}` })),
      el("span", { class: `chip ${s.state === "failed" ? "bad" : s.state === "ended" ? "" : "on"}`, text: s.state }))));
  }
  void listed().catch(() => undefined);
  return el("section", { class: "card", "aria-labelledby": "use" }, el("h2", { id: "use", text: "Use it" }),
    el("div", { class: "form-row" }, el("div", { class: "field wide" }, el("label", { for: "output", text: "Plan" }), output), save),
    el("div", { class: "form-row" }, el("div", { class: "field wide" }, el("label", { for: "source", text: "Source of a stream" }), source, sources), begin),
    wait, said, streams, errors);
}

/**
 * A stream that runs with a plan of the project, as the service's page shows it.
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @param {string} name
 */
export async function oneStream(context, signal, name) {
  return el("div", { class: "page wide" }, el("div", { class: "section-head" }, el("h1", { text: `Stream ${name}` }), el("a", { href: "#/model", text: "To the model" })),
    await streamView(/** @type {any} */ (context), signal, name));
}
