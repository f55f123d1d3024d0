/**
 * Undo and redo without end: what was done in this session, and what undoes it.
 * @module
 */

/** @typedef {import("./book.js").Change} Change */
/** @typedef {{edit: string, item: any}} Answered an answer of the queue: its edit, and the question */
/** @typedef {{video: string, forward: Change[], back: Change[], text: string, answer?: Answered}} Step */

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

  /** @param {Map<string, string>} classes that are called otherwise now: steps of before are about the same labels */
  rename(classes) {
    for (const c of [...this.done, ...this.undone].flatMap((s) => [...s.forward, ...s.back])) {
      c.label = { ...c.label, label: classes.get(c.label.label) ?? c.label.label };
    }
  }

  /**
   * Forget the steps that built on an edit which the server did not take.
   * @param {Set<string>} ids of labels
   * @param {string} [answer] the edit of an answer of the queue
   */
  forget(ids, answer) {
    const keeps = (/** @type {Step} */ s) => !s.forward.some((c) => ids.has(c.label.id)) && (!answer || s.answer?.edit !== answer);
    this.done = this.done.filter(keeps);
    this.undone = this.undone.filter(keeps);
    this.dispatchEvent(new Event("change"));
  }
}
