/**
 * Edits by this person: shown at once, saved behind, undone and redone.
 * @module
 */
import { announce } from "../shared/js/dom.js";
import { clock } from "../shared/js/format.js";
import { difference, inverse } from "./book.js";
import { History } from "./history.js";
import { uuid } from "./uuid.js";

/** @typedef {import("./book.js").Label} Label */
/** @typedef {import("./book.js").Change} Change */

const NAME = "tal.studio.name";

/** Tells `conflict` when the server has settled nothing yet, `undone` (detail: the video) and `name`. */
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
  }

  /** Who labels. */
  get author() {
    return localStorage.getItem(NAME) || this.store.project.people[0] || "me";
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
   */
  send(book, changes) {
    const based = changes.map((c) => ({ op: c.op, label: { ...c.label, author: this.author }, base: book.base(c.label.id) }));
    const edit = { edit: uuid(), video: book.video, author: this.author, changes: based, path: "/api/edits" };
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
   * @param {{id: string, video: string}} item
   * @param {Record<string, unknown>} answer
   */
  answer(item, answer) {
    this.saver.add({ edit: uuid(), video: item.video, author: this.author, changes: [], answer, path: `/api/queue/${encodeURIComponent(item.id)}` });
  }

  undo() {
    return this.again(this.history.undo(), "back", "Undone");
  }

  redo() {
    return this.again(this.history.redo(), "forward", "Done again");
  }

  /**
   * @param {import("./history.js").Step|null} step
   * @param {"back"|"forward"} way
   * @param {string} said
   */
  async again(step, way, said) {
    if (!step) return;
    const book = await this.store.book(step.video);
    this.send(book, step[way]);
    announce(`${said}: ${step.text}`);
    this.dispatchEvent(new CustomEvent("undone", { detail: step }));
  }

  /** @param {{entry: import("./saver.js").Entry, answer: any}} saved */
  saved({ entry, answer }) {
    const book = this.store.books.get(entry.video);
    if (!book) return;
    if (entry.answer && book.revision >= 0) this.answered(book, answer);
    book.settle(entry.edit, answer);
  }

  /**
   * What an answer of the queue made of the labels can be undone too.
   * @param {import("./book.js").Book} book
   * @param {any} answer
   */
  answered(book, answer) {
    const mine = (/** @type {Label} */ l) => l.author === this.author;
    const forward = difference(book.confirmed, answer.labels || [], mine);
    if (forward.length) this.history.push({ video: book.video, forward, back: inverse(forward, book.confirmed), text: "answer of the queue" });
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
  return label.kind === "nothing" ? "Nothing here" : label.label;
}
