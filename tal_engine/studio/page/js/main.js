/**
 * The studio's page: which view is shown, and what views share.
 * @module
 */
import { Api } from "../shared/js/api.js";
import { listenToKeys, showHelp } from "../shared/js/keys.js";
import { notice } from "../shared/js/notice.js";
import { page, showing } from "../shared/js/views.js";
import { Editor } from "./editor.js";
import { labelView } from "./label_view.js";
import { modelView, oneStream } from "./model_view.js";
import { reviewView } from "./review_view.js";
import { Saver } from "./saver.js";
import { Session } from "./session.js";
import { EVERYWHERE, LABELLING, POINTER, REVIEWING } from "./shortcuts.js";
import { Store } from "./store.js";
import { teamView } from "./team_view.js";
import { hearProblems } from "./toasts.js";
import { topBar } from "./top_bar.js";
import { uuid } from "./uuid.js";
import { videosView } from "./videos_view.js";
import { welcome } from "./welcome.js";

/**
 * @typedef {object} Context
 * @property {Api} api
 * @property {Store} store
 * @property {Editor} editor
 * @property {Saver} saver
 * @property {(time?: number) => void} again show the view anew, at a moment of its video
 * @property {number} time where a video begins to be shown
 * @property {() => void} help
 */

/** @typedef {(context: Context, signal: AbortSignal, name: string) => Promise<HTMLElement>|HTMLElement} View */

/** @type {Record<string, {view: View, title: string, part: string}>} by the first part of the address behind # */
const VIEWS = {
  "": { view: videosView, title: "Videos", part: "videos" },
  videos: { view: videosView, title: "Videos", part: "videos" },
  label: { view: labelView, title: "Label", part: "label" },
  review: { view: reviewView, title: "Review", part: "review" },
  model: { view: modelView, title: "Model", part: "model" },
  stream: { view: oneStream, title: "Stream", part: "model" },
  team: { view: teamView, title: "Team", part: "team" },
};
const LAST = "tal.studio.video";

async function start() {
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  const api = new Api(/** @type {any} */ (new Session()));
  const store = new Store(api);
  const saver = new Saver(api, localStorage);
  const editor = new Editor(store, saver);
  /** @type {Context} */
  const context = { api, store, editor, saver, time: 0, again: (time = 0) => { context.time = time; void route(false); }, help };

  function help() {
    void showHelp(location.hash.startsWith("#/review") ? REVIEWING : LABELLING, POINTER);
  }

  const route = showing({ views: VIEWS, title: "tal studio", context, again: context.again, named, shown: () => { context.time = 0; } });

  /**
   * The video that a view is of: to label, the last one where none is named.
   * @param {string} first
   * @param {string} name
   */
  function named(first, name) {
    if (first !== "label") return name;
    if (!name) return store.video(sessionStorage.getItem(LAST) || "")?.id || "";
    sessionStorage.setItem(LAST, name);
    return name;
  }

  document.getElementById("top-end")?.append(...topBar(context));
  listenToKeys({ undo: () => void editor.undo(), redo: () => void editor.redo(), help }, new AbortController().signal, EVERYWHERE);
  window.addEventListener("beforeunload", (event) => {
    if (saver.state.kind !== "saved") event.preventDefault(); // the browser asks; the edits are kept in it either way
  });
  await begin();

  async function begin() {
    try {
      await store.start();
    } catch (error) {
      main.replaceChildren(page(notice(error, { retry: () => void begin() })));
      return;
    }
    store.tell("project");
    hearProblems(context);
    void store.follow(new AbortController().signal).catch(() => store.connection(false));
    for (const entry of saver.adopt(store.project.id, uuid())) {
      void store.book(entry.video).then((book) => saver.queue.includes(entry) && !entry.answer && book.apply(entry)).catch(() => undefined);
    }
    window.addEventListener("hashchange", () => void route(true));
    await route(false);
    if (!editor.named) await welcome(context);
  }
}

void start();
