/**
 * A job: its progress as it goes on, then its result, or what went wrong.
 * @module
 */
import { Problem } from "./api.js";
import { announce, button, el } from "./dom.js";
import { clock } from "./format.js";
import { note, notice } from "./notice.js";
import { resultView } from "./result_view.js";
import { listen } from "./sse.js";
import { steps } from "./videos_view.js";

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @param {string} id
 * @returns {Promise<HTMLElement>}
 */
export async function jobView(context, signal, id) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const job = await context.api.json(path, { signal });
  if (!["queued", "running"].includes(job.state)) return outcome(context, job, signal);
  const box = el("div", { class: "page" });
  const view = el("div", { class: "fill" }, box);
  const waiting = progressBox(job, async () => {
    try {
      await context.api.request(`${path}/cancel`, { method: "POST" });
    } catch (error) {
      if (!(error instanceof Problem && error.status === 409)) box.append(notice(error));
    }
  });
  box.append(waiting.element);
  void follow();
  return view;

  async function follow() {
    try {
      for await (const message of listen(context.api, `${path}/events`, signal)) {
        if (message.event === "lost" || message.event === "back") waiting.connection(message.event === "back");
        else waiting.tell(JSON.parse(message.data));
        if (message.event === "end") view.replaceChildren(await outcome(context, JSON.parse(message.data), signal));
      }
    } catch (error) {
      if (!signal.aborted) view.replaceChildren(el("div", { class: "page" }, notice(error, { retry: context.again })));
    }
  }
}

/**
 * @param {import("./main.js").Context} context
 * @param {any} job that is over
 * @param {AbortSignal} signal
 */
async function outcome(context, job, signal) {
  const page = (/** @type {Node} */ content) => el("div", { class: "page" }, el("h1", { class: "file-name", text: job.source }), content);
  const home = el("a", { class: "button main", href: "#/", text: "Another video" });
  if (job.state === "cancelled") return page(note("Cancelled", "The job was cancelled; there is no result.", home));
  if (job.state === "failed") {
    const told = notice(new Problem(job.problem || {}, job.problem?.status || 0));
    told.append(home);
    return page(told);
  }
  const plan = `/v1/plans/${encodeURIComponent(job.plan)}`;
  const [result, summary, manifest] = await Promise.all([
    context.api.json(`/v1/jobs/${job.id}/result?curves=true`, { signal }), unlessGone(context.api.json(plan, { signal })),
    unlessGone(context.api.json(`${plan}/manifest`, { signal }))]);
  return resultView(context, job, result, { plan: summary, manifest }, signal);
}

/**
 * A plan may be gone or broken since; the result is still there.
 * @param {Promise<any>} asked
 */
async function unlessGone(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.kind === "bad-plan")) return null;
    throw error;
  }
}

/**
 * @param {any} job
 * @param {() => void} cancel
 */
function progressBox(job, cancel) {
  const bar = el("progress", { max: "1", "aria-label": `Analysis of ${job.source}` });
  const told = el("span", { class: "number" });
  const lost = el("p", { class: "warning", role: "status", hidden: true, text: "The connection is lost; the job goes on. Trying again …" });
  const stop = button("Cancel", () => {
    stop.disabled = true;
    cancel();
  });
  const place = el("div");
  const element = el("section", { class: "progress-box", "aria-label": "Progress" }, el("h1", { class: "file-name", text: job.source }),
    place, bar, el("div", { class: "progress-line" }, told, stop), lost);
  let quarter = 0;

  /** @param {any} now */
  function tell(now) {
    const { done, total } = now.progress;
    place.replaceChildren(steps(now.state === "queued" ? 1 : 2));
    if (total > 0) bar.value = Math.min(done / total, 1);
    else bar.removeAttribute("value");
    if (now.stopping) told.textContent = "Stopping …";
    else if (now.state === "queued") told.textContent = "Waiting for its turn";
    else told.textContent = total > 0 ? `${Math.floor((100 * done) / total)} % · ${clock(done, 0)} of ${clock(total, 0)}` : "Analysing";
    stop.disabled = now.stopping;
    const reached = total > 0 ? Math.floor((4 * done) / total) : 0;
    if (reached > quarter && reached < 4) announce(`${25 * reached} percent analysed`);
    quarter = Math.max(quarter, reached);
    document.title = `${total > 0 ? `${Math.floor((100 * done) / total)} % · ` : ""}${job.source} · tal_engine`;
  }
  tell(job);
  return { element, tell, connection: (/** @type {boolean} */ there) => (lost.hidden = there) };
}
