/**
 * Which view of a page is shown: by the address behind #, one at a time.
 * @module
 */
import { isAbort } from "./api.js";
import { el } from "./dom.js";
import { note, notice } from "./notice.js";

/**
 * Make the function that shows the view of the address; of a view that is left, `signal` is aborted.
 * @template Context
 * @param {object} parts
 * @param {Record<string, {view: (context: Context, signal: AbortSignal, name: string) => Promise<HTMLElement>|HTMLElement, title: string, part: string}>} parts.views by the first part of the address
 * @param {string} parts.title of the whole page
 * @param {Context} parts.context what views share
 * @param {() => void} parts.again show the view anew after an error
 * @param {(first: string, rest: string) => string} [parts.named] the name that a view is given; default: the rest of the address
 * @param {() => void} [parts.shown] called when a view is made
 * @returns {(moved: boolean) => Promise<void>} moved: whether the address changed: focus goes to the new view
 */
export function showing({ views, title, context, again, named = (_, rest) => rest, shown = () => undefined }) {
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  let last = new AbortController();

  /** @param {boolean} moved */
  async function route(moved) {
    last.abort();
    const now = (last = new AbortController());
    const [, first = "", rest = ""] = /^#?\/?([^/]*)\/?(.*)$/.exec(location.hash) || [];
    const name = named(first, decoded(rest));
    const known = views[first];
    document.title = `${known ? known.title : "Not found"} · ${title}`;
    for (const link of document.querySelectorAll("nav a")) {
      if (/** @type {HTMLElement} */ (link).dataset.view === known?.part) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const content = await made(first, name, now.signal);
    shown();
    if (now.signal.aborted || !content) return;
    main.replaceChildren(content);
    main.scrollTop = 0;
    if (moved) main.focus();
  }

  /**
   * @param {string} first
   * @param {string} name
   * @param {AbortSignal} signal
   */
  async function made(first, name, signal) {
    const known = views[first];
    if (!known) return page(note("There is no such view", "The address of this page is wrong.", el("a", { href: "#/", text: "To the videos" })));
    try {
      return await known.view(context, signal, name);
    } catch (error) {
      return signal.aborted || isAbort(error) ? null : page(notice(error, { retry: again }));
    }
  }

  const skip = /** @type {HTMLElement} */ (document.getElementById("skip"));
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  return route;
}

/** @param {string} text of an address; as it is where it is no encoding of anything */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {...Node} content */
export function page(...content) {
  return el("div", { class: "page" }, ...content);
}
