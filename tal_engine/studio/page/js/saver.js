/**
 * Edits on their way to the server's disk: one after the other, again with the same UUID until there is an answer.
 * Nothing is called saved before the server said so, and a page that is closed or reloaded goes on where it was.
 * @module
 */
import { Problem } from "../shared/js/api.js";
import { pause } from "../shared/js/sse.js";

/** @typedef {import("./book.js").Edit} Edit */
/** @typedef {Edit & {path: string, answer?: Record<string, unknown>, more?: Record<string, string>}} Entry `answer`: of a question of the queue */
/** @typedef {{kind: "saved"|"saving"|"unsaved"|"refused", count: number, problem: Problem|null}} State */

const PREFIX = "tal.studio.unsaved.";

/** Tells `state`; `saved` (detail: {entry, answer}); `refused`, `conflict` and, of answers, `gone` (detail: {entry, problem}). */
export class Saver extends EventTarget {
  /**
   * @param {import("../shared/js/api.js").Api} api
   * @param {Storage} storage where edits survive the page
   */
  constructor(api, storage) {
    super();
    this.api = api;
    this.storage = storage;
    /** Where this window's edits are kept. */
    this.key = "";
    /** @type {Entry[]} */
    this.queue = [];
    /** @type {{entry: Entry, problem: Problem}[]} what the server will not take as it is */
    this.refused = [];
    /** @type {Problem|null} why the first of the queue is not saved yet */
    this.problem = null;
    this.running = false;
    this.waiting = new AbortController();
  }

  /**
   * Take over what earlier pages of this browser could not save; sent twice, an edit counts once.
   * @param {string} project its id: another one may have had this address
   * @param {string} name of this window
   */
  adopt(project, name) {
    const mine = `${PREFIX}${project}.`;
    this.key = mine + name;
    const keys = Object.keys(this.storage).filter((k) => k.startsWith(mine));
    /** @type {Entry[]} */
    const found = [];
    for (const key of keys) {
      try {
        found.push(...JSON.parse(this.storage.getItem(key) || "[]"));
      } catch {
        continue; // half written by a browser that crashed: nothing in it can be read
      }
      if (key !== this.key) this.storage.removeItem(key);
    }
    for (const entry of found) this.add(entry);
    return found;
  }

  /** @type {State} */
  get state() {
    const count = this.queue.length;
    if (this.refused.length) return { kind: "refused", count: this.refused.length, problem: this.refused[0].problem };
    if (this.problem && count) return { kind: "unsaved", count, problem: this.problem };
    return { kind: count ? "saving" : "saved", count, problem: null };
  }

  /** @param {Entry} entry */
  add(entry) {
    this.queue.push(entry);
    this.changed();
    void this.run();
  }

  /** Try at once what waits for its next try. */
  again() {
    /** @type {any} */ (this.api.tokens).declined = false;
    this.waiting.abort();
  }

  /** Whether an answer of the queue is on its way. @param {string} edit */
  answering(edit) {
    return this.queue.some((e) => e.answer && e.edit === edit);
  }

  /** Send what was refused once more. */
  resend() {
    const entries = this.refused.map((r) => r.entry);
    this.refused = [];
    for (const entry of entries) this.add(entry);
  }

  /** Give up what was refused. @returns {Entry[]} */
  discard() {
    const entries = this.refused.map((r) => r.entry);
    this.refused = [];
    this.changed();
    return entries;
  }

  async run() {
    if (this.running) return;
    this.running = true;
    for (let tries = 0; this.queue.length; ) {
      const entry = this.queue[0];
      try {
        const answer = await this.api.json(entry.path, { method: "POST", json: this.body(entry) });
        this.problem = null;
        tries = 0;
        this.queue.shift();
        this.follow(entry, answer);
        this.changed();
        this.dispatchEvent(new CustomEvent("saved", { detail: { entry, answer } }));
      } catch (error) {
        const problem = error instanceof Problem ? error : new Problem({ title: "The answer cannot be read", detail: String(error) }, 0);
        if (problem.passes || [401, 403].includes(problem.status)) {
          this.problem = problem;
          this.changed();
          tries += 1;
          this.waiting = new AbortController();
          await pause(Math.min(250 * 2 ** tries, 8000), this.waiting.signal);
        } else this.refuse(entry, problem);
      }
    }
    this.running = false;
  }

  /**
   * @param {Entry} entry
   * @param {Problem} problem
   */
  refuse(entry, problem) {
    this.queue.shift();
    this.problem = null;
    // An answer that comes too late has nothing to be sent again for, nor has what takes it back.
    const kind = problem.status === 409 ? "conflict" : entry.answer ? "gone" : "refused";
    if (kind === "refused") this.refused.push({ entry, problem });
    if (kind === "gone") this.queue = this.queue.filter((e) => !e.more || ![e.more.takes_back, e.more.answers_again].includes(entry.edit));
    this.changed();
    this.dispatchEvent(new CustomEvent(kind, { detail: { entry, problem } }));
  }

  /** @param {Entry} entry */
  body({ edit, author, video, changes, answer, more }) {
    if (answer) return { ...answer, edit, author };
    return { edit, author, video, ...more, changes: changes.map(({ op, label, base }) => ({ op, label, base: base ?? label.revision ?? 0 })) };
  }

  /**
   * Edits behind one that was saved build on what it made of their labels.
   * @param {Entry} entry
   * @param {{labels?: import("./book.js").Label[]}} answer
   */
  follow(entry, answer) {
    const now = new Map((answer.labels || []).map((l) => [l.id, l.revision ?? 0]));
    const mine = new Set(entry.answer ? [entry.edit] : entry.changes.map((c) => c.label.id));
    for (const next of this.queue) {
      for (const change of next.changes) {
        if (change.base === null && mine.has(change.label.id)) {
          change.base = now.get(change.label.id) ?? 0;
          mine.delete(change.label.id);
        }
      }
    }
  }

  changed() {
    const left = [...this.refused.map((r) => r.entry), ...this.queue];
    try {
      if (left.length) this.storage.setItem(this.key, JSON.stringify(left));
      else this.storage.removeItem(this.key);
    } catch {
      // The browser keeps nothing more for us: edits live in this window until the server has them, as `state` says.
    }
    this.dispatchEvent(new Event("state"));
  }
}
