/**
 * Undo and redo without end: what was done in this session, and what undoes it.
 * @module
 */

/** @typedef {import("./book.js").Change} Change */
/** @typedef {{video: string, forward: Change[], back: Change[], text: string}} Step */

/** Tells `change` when something can be undone or redone that could not before, or the other way round. */
export class History extends EventTarget {
  constructor() {
    super();
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
  }

  /** @param {Step} step that was made; what was undone is gone */
  push(step) {
    this.done.push(step);
    this.undone = [];
    this.dispatchEvent(new Event("change"));
  }

  /** @returns {Step|null} the step to undo; it can be redone then */
  undo() {
    return this.move(this.done, this.undone);
  }

  /** @returns {Step|null} the step to make again */
  redo() {
    return this.move(this.undone, this.done);
  }

  /**
   * @param {Step[]} from
   * @param {Step[]} to
   */
  move(from, to) {
    const step = from.pop() || null;
    if (step) to.push(step);
    this.dispatchEvent(new Event("change"));
    return step;
  }

  /**
   * Forget the steps that built on an edit which the server did not take.
   * @param {Set<string>} ids of labels
   */
  forget(ids) {
    const keeps = (/** @type {Step} */ s) => !s.forward.some((c) => ids.has(c.label.id));
    this.done = this.done.filter(keeps);
    this.undone = this.undone.filter(keeps);
    this.dispatchEvent(new Event("change"));
  }
}
