/**
 * One stream: its actions on a timeline that moves on, and its events.
 * @module
 */
import { announce, button, el } from "./dom.js";
import { clock, count, score, span } from "./format.js";
import { Actions } from "./live_events.js";
import { notice } from "./notice.js";
import { rowsOf } from "./rows.js";
import { listen } from "./sse.js";
import { Timeline } from "./timeline.js";

/** Seconds that can be shown; 0: from the beginning. */
const SPANS = [60, 300, 1800, 0];
/** Most lines of the log. */
const LINES = 200;
/** What kinds of events are called. */
const KINDS = { started: "began", updated: "changed", final: "final", withdrawn: "withdrawn" };

/** @typedef {import("./live_events.js").LiveEvent} LiveEvent */

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @param {string} name
 * @returns {Promise<HTMLElement>}
 */
export async function streamView(context, signal, name) {
  const path = `/v1/streams/${encodeURIComponent(name)}`;
  const stream = await context.api.json(path, { signal });
  const plan = await context.api.json(`/v1/plans/${encodeURIComponent(stream.plan)}`, { signal }).catch(() => null);
  const actions = new Actions();
  const timeline = new Timeline(1, signal, { label: `Actions of ${name}; the table below lists them`, still: true });
  const seconds = el("select", { id: "span", on: { change: shown } },
    ...SPANS.map((s) => el("option", { value: s, text: s ? `last ${span(s)}` : "all" })));
  const every = el("input", { type: "checkbox", id: "live-every", on: { change: shown } });
  const finals = el("input", { type: "checkbox", id: "only-final", on: { change: listed } });
  const body = el("tbody");
  const nothing = el("p", { class: "faint pad", text: `No event yet. Actions are told at most ${span(stream.declared_latency_s)} after they ended.` });
  const state = el("p", { class: "faint", role: "status" });
  const lost = el("p", { class: "warning", role: "status", hidden: true, text: "The connection is lost; trying again. No event is missed." });
  const gap = el("p", { class: "warning", role: "status", hidden: true });
  /** @type {LiveEvent[]} newest first */
  const log = [];
  let waiting = 0;
  /** What readers of screens are told next: of many at once, the last. */
  let news = "";

  /** Draw and list again, once for all events of a moment. */
  function changed() {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      shown();
      listed();
      if (news) announce(news);
      news = "";
    });
  }

  function shown() {
    const { range } = timeline;
    const whole = Math.max(actions.now - Math.min(actions.first, actions.now), 1);
    const wanted = Number(seconds.value) || whole * 1.02;
    range.length = Math.max(actions.now, wanted);
    range.set(range.length - wanted, range.length);
    const inView = actions.segments.filter((s) => s.end >= range.start);
    const classes = actions.classes;
    plan?.classes.forEach((/** @type {string} */ c, /** @type {number} */ i) => (classes[i] = c));
    timeline.best = plan?.calibrated === false ? Math.max(...inView.map((s) => s.score), 1e-9) : 1;
    timeline.setRows(rowsOf(inView, classes, every.checked));
    timeline.setTime(actions.now, clock(actions.now));
  }

  function listed() {
    const lines = log.filter((e) => !finals.checked || e.kind === "final").slice(0, LINES);
    body.replaceChildren(...lines.map((e) => el("tr", { class: e.kind === "final" ? "is-final" : "is-provisional" },
      el("td", {}, el("span", { class: e.kind === "final" ? "chip good" : "chip", text: KINDS[e.kind] })),
      el("th", { scope: "row", text: e.label }), el("td", { class: "number", text: clock(e.start) }),
      el("td", { class: "number", text: e.end === null ? "open" : clock(e.end) + (e.truncated ? " (cut)" : "") }),
      el("td", { class: "number", text: score(e.score) }),
      el("td", { class: "faint", text: e.wall_time ? new Date(e.wall_time).toLocaleTimeString() : "" }))));
    nothing.hidden = lines.length > 0;
  }

  const stop = button("Stop", async () => {
    stop.disabled = true;
    try {
      await context.api.request(`${path}/stop`, { method: "POST" });
    } catch (error) {
      stop.disabled = false;
      place.prepend(notice(error));
    }
  }, { "aria-label": `Stop ${name}, and decide what is open` });
  stop.hidden = stream.kind !== "source" || stream.ended !== null;

  /** @param {any} document of the stream */
  function over(document) {
    stop.hidden = true;
    state.textContent = document.ended === null ? "The service ends this connection."
      : `The stream ended${document.problem ? `: ${document.problem.detail}` : ""}. ${count(document.finals, "final event")}.`;
  }

  async function follow() {
    try {
      for await (const message of listen(context.api, `${path}/events`, signal)) {
        const data = message.data ? JSON.parse(message.data) : null;
        if (message.event === "lost" || message.event === "back") lost.hidden = message.event === "back";
        else if (message.event === "gap") {
          actions.missed += data.missed;
          gap.textContent = `${count(actions.missed, "older event")} are not kept any more.`;
          gap.hidden = false;
        } else if (message.event === "end") over(data);
        else if (actions.take(data)) {
          log.unshift(data);
          log.length = Math.min(log.length, 10 * LINES);
          if (data.kind === "final") news = `${data.label}, ${clock(data.start)} to ${clock(data.end)}, score ${score(data.score)}`;
          changed();
        }
      }
    } catch (error) {
      if (!signal.aborted) place.prepend(notice(error));
    }
  }

  const place = el("div", { class: "stream" }, state, lost, gap,
    el("div", { class: "tools" }, el("label", { for: "span", class: "check" }, "Show", seconds),
      el("label", { class: "check", for: "live-every" }, every, "All classes"),
      el("span", { class: "legend small" }, el("span", { class: "bar solid", "aria-hidden": "true" }), "final ",
        el("span", { class: "bar dashed", "aria-hidden": "true" }), "? provisional: may change"), el("span", { class: "gap" }), stop),
    el("div", { class: "timeline-box live-box" }, timeline.element),
    el("div", { class: "tools" }, el("h2", { text: "Events" }), el("label", { class: "check", for: "only-final" }, finals, "Final only")),
    el("div", { class: "table-box live-log", tabindex: "0", role: "region", "aria-label": "Events, newest first" },
      el("table", { class: "segments" }, el("thead", {}, el("tr", {}, ...["Event", "Class", "Start", "End", "Score", "Clock"].map((text, i) =>
        el("th", { scope: "col", class: i > 1 && i < 5 ? "number" : "", text })))), body), nothing));
  shown();
  void follow();
  return place;
}
