/**
 * The plans of the service: what they find, and whether they run there.
 * @module
 */
import { button, el } from "./dom.js";
import { score, size, span } from "./format.js";
import { notice } from "./notice.js";

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @param {string} name
 * @returns {Promise<HTMLElement>}
 */
export async function plansView(context, signal, name) {
  const { plans, default: usual, unusable } = await context.api.json("/v1/plans", { signal });
  const chosen = name || usual;
  const list = el("nav", { class: "side-list", "aria-label": "Plans" }, ...plans.map((/** @type {string} */ plan) =>
    el("a", { href: `#/plans/${encodeURIComponent(plan)}`, "aria-current": plan === chosen ? "true" : null },
      el("span", { text: plan }), plan === usual && el("span", { class: "chip", text: "default" }))));
  return el("div", { class: "page" }, el("h1", { text: "Plans" }),
    el("div", { class: "cards" }, list, await card(context, signal, chosen)), leftOut(unusable));
}

/**
 * Files of the folder that the service cannot read: nobody else tells whoever put them there.
 * @param {Record<string, string>} unusable
 */
function leftOut(unusable) {
  const rows = Object.entries(unusable).sort(([a], [b]) => (a < b ? -1 : 1));
  return rows.length > 0 && el("section", { class: "card", "aria-label": "Plans that cannot be used" },
    el("h2", { text: rows.length === 1 ? "One file cannot be used" : `${rows.length} files cannot be used` }),
    el("dl", { class: "facts-list" }, ...rows.flatMap(([name, why]) => [el("dt", { text: name }), el("dd", { class: "bad", text: why })])));
}

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @param {string} name
 */
async function card(context, signal, name) {
  const path = `/v1/plans/${encodeURIComponent(name)}`;
  let plan;
  try {
    plan = await context.api.json(path, { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    return notice(error);
  }
  const place = el("div", { "aria-live": "polite" });
  const doctor = button("Check that it runs here", async () => {
    doctor.disabled = true;
    place.replaceChildren(el("p", { class: "faint", text: "The service loads the plan and runs its graphs …" }));
    try {
      place.replaceChildren(report(await context.api.json(`${path}/doctor`, { signal })));
    } catch (error) {
      if (!signal.aborted) place.replaceChildren(notice(error));
    }
    doctor.disabled = false;
  });
  const encoders = plan.encoders.map((/** @type {any} */ e) => `${e.name} (${e.reads})`).join(", ");
  const rows = [
    ["Reads", plan.reads_videos ? `videos, by ${encoders}` : "features (.npz) only"],
    ["Method", plan.method],
    ["Precision", plan.precision],
    ["Scores", plan.calibrated ? "calibrated: the share of such segments that is right" : "raw"],
    ["Threshold", plan.min_score === null ? "by class, or none" : score(plan.min_score)],
    ["Snippets", `every ${span(plan.snippet_seconds)}`],
    ["Live", `events at most ${span(plan.declared_latency_s)} after the end of an action`],
    ["Size", size(plan.bytes)],
    ["SHA-256", plan.sha256],
  ];
  return el("section", { class: "card", "aria-label": `Plan ${name}` }, el("h2", { text: plan.name }),
    plan.description && el("p", { text: plan.description }),
    el("dl", { class: "facts-list" }, ...rows.flatMap(([what, value]) => [el("dt", { text: what }), el("dd", { text: value })])),
    el("h3", { text: `${plan.classes.length} classes` }),
    el("ul", { class: "tags" }, ...plan.classes.map((/** @type {string} */ c) => el("li", { text: c }))),
    el("div", {}, doctor), place);
}

/** @param {any} found */
function report(found) {
  const ok = found.status === 0;
  return el("div", { class: "start" },
    el("p", { class: `strong ${ok ? "good" : "bad"}`, text: ok ? `✓ The plan runs here, on ${found.device}.` : "✕ The plan does not run here as it should." }),
    found.findings.length ? el("ul", { class: "findings" }, ...found.findings.map((/** @type {any} */ f) =>
      el("li", { text: `${f.level}: ${f.what}${f.fix ? ` (${f.fix})` : ""}` }))) : null,
    el("details", {}, el("summary", { text: "What was found" }), el("pre", { tabindex: "0", text: JSON.stringify(found, null, 1) })));
}
