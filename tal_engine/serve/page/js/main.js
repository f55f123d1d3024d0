/**
 * The page: which view is shown, and what views share.
 * @module
 */
import { Api, isAbort } from "./api.js";
import { button, el } from "./dom.js";
import { jobView } from "./job_view.js";
import { showHelp } from "./keys.js";
import { liveView } from "./live_view.js";
import { note, notice } from "./notice.js";
import { plansView } from "./plans_view.js";
import { themeSwitch } from "./theme.js";
import { Tokens } from "./token.js";
import { videosView } from "./videos_view.js";

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
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  /** @type {Context} */
  const context = { api: new Api(new Tokens()), files: new Map(), again: () => void route(false) };
  let shown = new AbortController();

  /** @param {boolean} moved whether the address changed: focus goes to the new view */
  async function route(moved) {
    shown.abort();
    const now = (shown = new AbortController());
    const [, first = "", rest = ""] = /^#?\/?([^/]*)\/?(.*)$/.exec(location.hash) || [];
    const known = VIEWS[first];
    document.title = `${known ? known.title : "Not found"} · tal_engine`;
    for (const link of document.querySelectorAll("nav a")) {
      if (/** @type {HTMLElement} */ (link).dataset.view === known?.part) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const content = await made(known?.view, rest, now.signal);
    if (now.signal.aborted || !content) return;
    main.replaceChildren(content);
    main.scrollTop = 0;
    if (moved) main.focus();
  }

  /**
   * @param {View|undefined} view
   * @param {string} rest
   * @param {AbortSignal} signal
   */
  async function made(view, rest, signal) {
    if (!view) return page(note("There is no such view", "The address of this page is wrong.", el("a", { href: "#/", text: "To the videos" })));
    try {
      return await view(context, signal, decodeURIComponent(rest));
    } catch (error) {
      return signal.aborted || isAbort(error) ? null : page(notice(error, { retry: context.again }));
    }
  }

  const skip = /** @type {HTMLElement} */ (document.getElementById("skip"));
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
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

/** @param {...Node} content */
function page(...content) {
  return el("div", { class: "page" }, ...content);
}

start();
