/**
 * Live streams: which there are, start and stop, and one of them as it goes on.
 * @module
 */
import { announce, button, el } from "./dom.js";
import { moment } from "./format.js";
import { note, notice } from "./notice.js";
import { pause } from "./sse.js";
import { streamView } from "./stream_view.js";

/** Milliseconds between two looks at the list. */
const LOOK = 2000;

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @param {string} name of the stream that is shown; "": none
 * @returns {Promise<HTMLElement>}
 */
export async function liveView(context, signal, name) {
  const { api } = context;
  const first = await api.json("/v1/streams", { signal });
  const plans = await api.json("/v1/plans", { signal });
  const list = el("ul", { class: "list streams", "aria-label": "Streams" });
  const empty = note("No stream runs", "Start one below, or push frames to the WebSocket /v1/push.");
  const errors = el("div", { class: "errors" });
  let told = "";

  /** @param {any[]} streams */
  function show(streams) {
    const now = JSON.stringify(streams.map((s) => [s.name, s.state, s.finals]));
    empty.hidden = streams.length > 0;
    list.hidden = !streams.length;
    if (now === told) return;
    told = now;
    const focused = document.activeElement?.closest(".streams") ? document.activeElement.getAttribute("data-key") : null;
    list.replaceChildren(...streams.map((s) => line(s)));
    if (focused) /** @type {HTMLElement|null} */ (list.querySelector(`[data-key="${CSS.escape(focused)}"]`))?.focus();
  }

  /** @param {any} s a stream */
  function line(s) {
    const over = s.ended !== null;
    const act = over
      ? button("Remove", () => ask(s, "DELETE", ""), { class: "quiet", "aria-label": `Remove ${s.name}`, "data-key": `x${s.name}` })
      : s.kind === "source" && button("Stop", () => ask(s, "POST", "/stop"), { "aria-label": `Stop ${s.name}`, "data-key": `x${s.name}` });
    return el("li", { "aria-current": s.name === name ? "true" : null }, el("span", { class: "grow" },
      el("a", { href: `#/live/${encodeURIComponent(s.name)}`, text: s.name, "data-key": s.name, "aria-current": s.name === name ? "true" : null }),
      el("span", { class: "small faint", text: `${s.kind === "push" ? "pushed" : "read"} since ${moment(s.started)} · plan ${s.plan}` })),
    el("span", { class: "small faint number", text: `${s.finals} final` }), el("span", { class: stateClass(s.state), text: s.state }), act);
  }

  /**
   * @param {any} s
   * @param {string} method
   * @param {string} rest
   */
  async function ask(s, method, rest) {
    try {
      await api.request(`/v1/streams/${encodeURIComponent(s.name)}${rest}`, { method });
      errors.replaceChildren();
      announce(method === "DELETE" ? `${s.name} was removed` : `${s.name} is being stopped`);
      if (method === "DELETE" && s.name === name) location.hash = "#/live";
      show((await api.json("/v1/streams", { signal })).streams);
    } catch (error) {
      errors.replaceChildren(notice(error));
    }
  }

  async function look() {
    while (!signal.aborted) {
      await pause(LOOK, signal);
      if (signal.aborted || document.hidden) continue;
      try {
        show((await api.json("/v1/streams", { signal })).streams);
      } catch (error) {
        if (!signal.aborted) errors.replaceChildren(notice(error));
        continue;
      }
      errors.querySelector(".notice")?.remove();
    }
  }

  show(first.streams);
  void look();
  const detail = name ? await streamView(context, signal, name) : null;
  return el("div", { class: "page wide" }, el("h1", { text: name ? `Live: ${name}` : "Live" }), errors, detail,
    el("section", { class: "start", "aria-label": "All streams" }, el("h2", { text: "Streams" }), empty, list), starter(context, first.sources, plans, errors));
}

/** @param {string} state */
function stateClass(state) {
  return state === "live" ? "chip good" : state === "failed" ? "chip bad" : state === "ended" ? "chip" : "chip on";
}

/**
 * @param {import("./main.js").Context} context
 * @param {string[]} sources
 * @param {{plans: string[], default: string}} plans
 * @param {HTMLElement} errors
 */
function starter(context, sources, plans, errors) {
  const source = el("input", { id: "source", list: "sources", required: true, maxlength: "2048", autocomplete: "off", spellcheck: "false",
    placeholder: sources.length ? `${sources[0]}, or an allowed address` : "rtsp://…", value: sources.length === 1 ? sources[0] : "" });
  const plan = el("select", { id: "live-plan" }, ...plans.plans.map((name) => el("option", { value: name, text: name, selected: name === plans.default })));
  const provisional = el("input", { type: "checkbox", id: "provisional", checked: true });
  const realtime = el("input", { type: "checkbox", id: "realtime" });
  const form = el("form", { class: "form-row", on: { submit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    const json = { source: source.value.trim(), plan: plan.value, provisional: provisional.checked, realtime: realtime.checked };
    go.disabled = true;
    try {
      const begun = await context.api.json("/v1/streams", { method: "POST", json });
      errors.replaceChildren();
      const hash = `#/live/${encodeURIComponent(begun.name)}`;
      if (location.hash === hash) context.again();
      else location.hash = hash;
    } catch (error) {
      errors.replaceChildren(notice(error));
      errors.scrollIntoView({ block: "nearest" });
    } finally {
      go.disabled = false;
    }
  } } },
  el("div", { class: "field wide" }, el("label", { for: "source", text: "Source: a name or an address that the operator allows" }), source,
    el("datalist", { id: "sources" }, ...sources.map((name) => el("option", { value: name })))),
  el("div", { class: "field" }, el("label", { for: "live-plan", text: "Plan" }), plan),
  el("label", { class: "check", for: "provisional" }, provisional, "Provisional events"),
  el("label", { class: "check", for: "realtime" }, realtime, "Pace a file as live"));
  const go = el("button", { type: "submit", class: "main", text: "Start" });
  form.append(go);
  const why = sources.length ? null : el("p", { class: "small faint", text: "The operator names sources with --allow-source; there is no name yet." });
  return el("section", { class: "start", "aria-label": "Start a stream" }, el("h2", { text: "Start a stream" }), form, why);
}
