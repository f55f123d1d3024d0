/**
 * Edits by this person: shown at once, saved behind, undone and redone.
 * @module
 */
import { announce } from "../shared/js/dom.js";
import { clock } from "../shared/js/format.js";
import { inverse, strange } from "./book.js";
import { titleOf } from "./lane_rows.js";
import { History } from "./history.js";
import { uuid } from "./uuid.js";

/** @typedef {import("./book.js").Label} Label */
/** @typedef {import("./book.js").Change} Change */

const NAME = "tal.studio.name";

/**
 * Tells `conflict` when the server has settled nothing yet, `undone` (detail: the step, and `way`), `kept` (detail: the
 * label, and whose it is now) where undoing would undo somebody else, `gone` (detail: why) where a question has gone, `name`.
 */
export class Editor extends EventTarget {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./saver.js").Saver} saver
   */
  constructor(store, saver) {
    super();
    this.store = store;
    this.saver = saver;
    this.history = new History();
    saver.addEventListener("saved", (e) => this.saved(/** @type {CustomEvent} */ (e).detail));
    saver.addEventListener("conflict", (e) => this.conflict(/** @type {CustomEvent} */ (e).detail));
    store.addEventListener("renamed", (e) => this.history.rename(/** @type {CustomEvent} */ (e).detail));
    saver.addEventListener("gone", (e) => this.gone(/** @type {CustomEvent} */ (e).detail));
  }

  /** Who labels. */
  get author() {
    return localStorage.getItem(NAME) || "me";
  }

  /** Whether somebody has said who labels here. */
  get named() {
    return localStorage.getItem(NAME) !== null;
  }

  /** @param {string} name */
  setAuthor(name) {
    localStorage.setItem(NAME, name);
    this.dispatchEvent(new Event("name"));
  }

  /**
   * Make changes of a video's labels.
   * @param {import("./book.js").Book} book
   * @param {Change[]} changes
   * @param {string} text what was done, in words
   */
  make(book, changes, text) {
    const back = inverse(changes, book.shown);
    this.send(book, changes);
    this.history.push({ video: book.video, forward: changes, back, text });
    announce(text);
  }

  /**
   * @param {import("./book.js").Book} book
   * @param {Change[]} changes
   * @param {{takes_back?: string, answers_again?: string}} [more]
   */
  send(book, changes, more) {
    const based = changes.map((c) => ({ op: c.op, label: { ...c.label, author: this.author }, base: this.saver.answering(c.label.id) ? null : book.base(c.label.id) }));
    const edit = { edit: uuid(), video: book.video, author: this.author, changes: based, path: "/api/edits", more };
    book.apply(edit);
    this.saver.add(edit);
  }

  /**
   * Add a label.
   * @param {import("./book.js").Book} book
   * @param {Pick<Label, "kind"|"start"|"end"|"label"> & Partial<Label>} what
   * @returns {Label}
   */
  add(book, what) {
    const label = { subject: "", note: "", ...what, id: uuid(), video: book.video, author: this.author };
    this.make(book, [{ op: "add", label }], `${name(label)} was marked at ${clock(label.start)}`);
    return label;
  }

  /**
   * Change a label.
   * @param {import("./book.js").Book} book
   * @param {string} id
   * @param {Partial<Label>} what
   */
  change(book, id, what) {
    const was = book.shown.get(id);
    if (!was || !Object.entries(what).some(([k, v]) => /** @type {any} */ (was)[k] !== v)) return;
    const label = { ...was, ...what };
    this.make(book, [{ op: "change", label }], `${name(label)}: ${clock(label.start)}${label.end > label.start ? ` to ${clock(label.end)}` : ""}`);
  }

  /**
   * Remove a label.
   * @param {import("./book.js").Book} book
   * @param {string} id
   */
  remove(book, id) {
    const was = book.shown.get(id);
    if (was) this.make(book, [{ op: "remove", label: was }], `${name(was)} at ${clock(was.start)} was removed`);
  }

  /**
   * Answer a question of the queue.
   * @param {import("./review_view.js").Item} item
   * @param {Record<string, unknown>} answer
   * @param {string} text
   */
  answer(item, answer, text) {
    const { id, video, start, end, label, reason } = item;
    const edit = uuid();
    this.saver.add({ edit, video, author: this.author, changes: [], answer: { ...answer, asked: { video, start, end, label, reason } }, path: `/api/queue/${encodeURIComponent(id)}` });
    // The label that it makes, if any, has the id of the edit; which label that is, the server says.
    const made = /** @type {Label} */ ({ id: edit, video, kind: "point", start, end, label, subject: "", note: "", author: this.author });
    this.history.push({ video, forward: [], back: answer.answer === "reject" || reason === "unfinished" ? [] : [{ op: "remove", label: made }], text, answer: { edit, item } });
  }

  undo() {
    return this.again("undo");
  }

  redo() {
    return this.again("redo");
  }

  /** @param {"undo"|"redo"} way */
  async again(way) {
    const [step, undo] = [this.history[way](), way === "undo"];
    if (!step) return;
    const book = await this.store.book(step.video);
    const { answer } = step;
    if (answer && !undo && step.back.length > step.forward.length) {
      this.history.undo(); // its label is not known before it is saved
      return announce("The answer is still on its way");
    }
    const other = strange(undo ? step.forward : step.back, book.shown);
    if (other) {
      this.history.forget(new Set([other.was.id]), answer?.edit);
      this.dispatchEvent(new CustomEvent("kept", { detail: other }));
      return;
    }
    this.send(book, undo ? step.back : step.forward, answer && (undo ? { takes_back: answer.edit } : { answers_again: answer.edit }));
    announce(`${undo ? "Undone" : "Done again"}: ${step.text}`);
    this.dispatchEvent(new CustomEvent("undone", { detail: { ...step, way } }));
  }

  /** @param {{entry: import("./saver.js").Entry, answer: any}} saved */
  saved({ entry, answer }) {
    if (entry.answer) this.answered(entry.edit, answer.labels || []);
    if (entry.answer || entry.more) this.store.asks();
    this.store.books.get(entry.video)?.settle(entry.edit, answer);
  }

  /**
   * What an answer of the queue made of the labels can be made again once it was undone.
   * @param {string} edit
   * @param {Label[]} labels
   */
  answered(edit, labels) {
    const step = [...this.history.done, ...this.history.undone].find((s) => s.answer?.edit === edit);
    const label = labels.find((l) => l.id === edit);
    if (!step) return;
    step.forward = label ? [{ op: "add", label }] : [];
    step.back = label ? [{ op: "remove", label }] : [];
  }

  /** @param {{entry: import("./saver.js").Entry, problem: import("../shared/js/api.js").Problem}} refused a question that is gone */
  gone({ entry, problem }) {
    this.history.forget(new Set([entry.edit]), entry.edit);
    this.store.asks();
    this.dispatchEvent(new CustomEvent("gone", { detail: problem }));
  }

  /** @param {{entry: import("./saver.js").Entry}} refused */
  conflict({ entry }) {
    const book = this.store.books.get(entry.video);
    book?.settle(entry.edit);
    if (book) void this.store.readLabels(book).catch(() => undefined);
    this.history.forget(new Set(entry.changes.map((c) => c.label.id)));
    this.dispatchEvent(new Event("conflict"));
  }

  /** Give up edits that the server refused. */
  discard() {
    for (const entry of this.saver.discard()) {
      this.store.books.get(entry.video)?.settle(entry.edit);
      this.history.forget(new Set(entry.changes.map((c) => c.label.id)));
    }
  }
}

/** @param {Label} label */
function name(label) {
  return label.kind === "nothing" ? "Nothing here" : titleOf(label);
}
