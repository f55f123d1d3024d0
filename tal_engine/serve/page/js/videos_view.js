/**
 * The first view: drop a video, send it, and the jobs of before.
 * @module
 */
import { isAbort, Problem } from "./api.js";
import { announce, button, el } from "./dom.js";
import { moment, size, span } from "./format.js";
import { note, notice } from "./notice.js";

/** Below every score, calibrated or not: the page's slider decides which segments are shown. */
const ALL = "-1e9";

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @returns {Promise<HTMLElement>}
 */
export async function videosView(context, signal) {
  const { api } = context;
  const [plans, limits] = await Promise.all([api.json("/v1/plans", { signal }), api.json("/v1/limits", { signal })]);
  const plan = el("select", { id: "plan" }, ...plans.plans.map((/** @type {string} */ name) =>
    el("option", { value: name, text: name === plans.default ? `${name} (default)` : name, selected: name === plans.default })));
  const input = el("input", { type: "file", id: "file", class: "unseen", accept: "video/*,.mkv,.avi,.ts,.npz", tabindex: "-1",
    "aria-label": "Video", on: { change: () => take(input.files) } });
  const place = el("div", { class: "errors" });
  const drop = el("section", { class: "drop", "aria-label": "A new video" },
    el("img", { class: "drop-mark", src: "icon.svg", alt: "" }),
    el("h1", { text: "Drop a video to find what happens when" }),
    button("Choose a video", () => input.click(), { class: "main" }), input,
    el("p", { class: "small faint", text: `Up to ${size(limits.max_body_bytes)} and ${span(limits.max_duration)}; files of features (.npz) too. `
      + "It is sent to this service only, which removes it once it is analysed." }));

  drop.addEventListener("dragover", () => drop.classList.add("over"));
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => take(event.dataTransfer?.files));

  /** @param {FileList|null|undefined} files */
  function take(files) {
    if (!files?.length) return;
    const file = files[0];
    input.value = "";
    if (files.length > 1) announce("One video at a time: the first one is taken");
    if (file.size > limits.max_body_bytes) {
      const detail = `${file.name} has ${size(file.size)}, this service takes ${size(limits.max_body_bytes)} at most.`;
      place.replaceChildren(notice(new Problem({ title: "The file is too large", detail, type: "too-large" }, 0)));
    } else void send(file, plan.value);
  }

  /**
   * @param {File} file
   * @param {string} plan
   * @param {string} key the same when it is tried again, so that one upload never becomes two jobs
   */
  async function send(file, plan, key = crypto.randomUUID?.() || String(Math.random())) {
    const stop = new AbortController();
    const cancelled = AbortSignal.any([stop.signal, signal]);
    const { element, progress } = uploading(file, () => stop.abort());
    place.replaceChildren(element);
    start.hidden = true;
    const query = new URLSearchParams({ mode: "job", name: file.name, plan, min_score: ALL, top_k: "0" });
    try {
      const headers = { "Idempotency-Key": key };
      const job = await api.upload(`/v1/localize?${query}`, file, progress, cancelled, headers);
      context.files.set(job.id, file);
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      start.hidden = false;
      place.replaceChildren(...(isAbort(error) ? [] : [notice(error, error instanceof Problem && !error.passes ? {} : { retry: () => void send(file, plan, key) })]));
      if (isAbort(error)) announce("The upload was cancelled");
    }
  }

  const field = el("div", { class: "field" }, el("label", { for: "plan", text: "Plan" }), plan);
  const start = el("div", { class: "start" }, drop, el("div", { class: "form-row" }, field));
  return el("div", { class: "page" }, place, start, await recent(context, signal, limits));
}

/**
 * @param {File} file
 * @param {() => void} cancel
 */
function uploading(file, cancel) {
  const bar = el("progress", { max: "1", value: "0", "aria-label": `Upload of ${file.name}` });
  const told = el("span", { class: "number", text: `0 B of ${size(file.size)}` });
  const element = el("section", { class: "progress-box", "aria-label": "Upload" },
    el("h1", { class: "file-name", text: file.name }), steps(0), bar,
    el("div", { class: "progress-line" }, told, button("Cancel", cancel)));
  return {
    element,
    progress: (/** @type {number} */ sent) => {
      bar.value = file.size ? sent / file.size : 1;
      told.textContent = sent < file.size ? `${size(sent)} of ${size(file.size)}` : "All is sent; the service looks at it …";
    },
  };
}

/**
 * The steps from a file to its result.
 * @param {number} now which one goes on
 */
export function steps(now) {
  return el("ol", { class: "steps", role: "list" }, ...["Upload", "In line", "Analysis", "Result"].map((text, i) =>
    el("li", { class: i < now ? "done" : "", "aria-current": i === now ? "step" : null, text })));
}

/** How states of jobs are shown. */
const STATES = /** @type {Record<string, string>} */ ({ done: "chip good", failed: "chip bad", running: "chip on", queued: "chip on" });

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @param {any} limits
 */
async function recent(context, signal, limits) {
  const { jobs } = await context.api.json("/v1/jobs?limit=20", { signal });
  const errors = el("div", { class: "errors" });
  const list = el("ul", { class: "list" }, ...jobs.map((/** @type {any} */ job) => {
    const over = !["queued", "running"].includes(job.state);
    const forget = over && button("Remove", async () => {
      try {
        await context.api.request(`/v1/jobs/${job.id}`, { method: "DELETE" });
        line.remove();
        announce(`${job.source} was removed`);
      } catch (error) {
        errors.replaceChildren(notice(error));
      }
    }, { class: "quiet", "aria-label": `Remove the job of ${job.source}` });
    const line = el("li", {}, el("span", { class: "grow" }, el("a", { href: `#/jobs/${job.id}`, text: job.source }),
      el("span", { class: "small faint", text: `${moment(job.created)} · plan ${job.plan}` })),
      el("span", { class: STATES[job.state] || "chip", text: job.state }), forget);
    return line;
  }));
  const kept = `Results are kept ${limits.keep_hours.toLocaleString("en")} h; videos are not kept.`;
  return el("section", { class: "start", "aria-labelledby": "recent" },
    el("div", { class: "section-head" }, el("h2", { id: "recent", text: "Results of this service" }), el("span", { class: "small faint", text: kept })),
    errors, jobs.length ? list : note("Nothing yet", "What is analysed here is listed, also after the service was restarted."));
}
