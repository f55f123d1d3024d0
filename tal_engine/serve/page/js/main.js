/**
 * The page: which view is shown, and what views share.
 * @module
 */
import { Api } from "./api.js";
import { button } from "./dom.js";
import { jobView } from "./job_view.js";
import { showHelp } from "./keys.js";
import { liveView } from "./live_view.js";
import { plansView } from "./plans_view.js";
import { themeSwitch } from "./theme.js";
import { Tokens } from "./token.js";
import { videosView } from "./videos_view.js";
import { showing } from "./views.js";

/**
 * @typedef {object} Context
 * @property {Api} api
 * @property {Map<string, File>} files by the id of their job; they never leave the browser again
 * @property {() => void} again show the view anew
 */

/** @typedef {(context: Context, signal: AbortSignal, name: string) => Promise<HTMLElement>|HTMLElement} View */

/** @type {Record<string, {view: View, title: string, part: string}>} by the first part of the address behind # */
const VIEWS = {
  "": { view: videosView, title: "Videos", part: "videos" },
  jobs: { view: jobView, title: "Result", part: "videos" },
  live: { view: liveView, title: "Live", part: "live" },
  plans: { view: plansView, title: "Plans", part: "plans" },
};

function start() {
  /** @type {Context} */
  const context = { api: new Api(new Tokens()), files: new Map(), again: () => void route(false) };
  const route = showing({ views: VIEWS, title: "tal_engine", context, again: context.again });

  document.getElementById("top-end")?.append(
    button("?", () => showHelp(), { class: "icon", "aria-label": "Keyboard", title: "Keyboard (?)" }), themeSwitch());
  document.addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (event.key !== "?" || target.closest("dialog, input:not([type=range], [type=checkbox]), select")) return;
    event.preventDefault();
    showHelp();
  });
  // A file that misses its place must not replace the page.
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  window.addEventListener("hashchange", () => void route(true));
  void route(false);
}

start();
