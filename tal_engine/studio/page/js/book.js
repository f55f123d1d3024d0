/**
 * The labels of a video: what the server has confirmed, with the edits over it that are still on their way.
 * @module
 */

/**
 * @typedef {object} Label
 * @property {string} id
 * @property {string} video
 * @property {"point"|"segment"|"nothing"} kind
 * @property {number} start seconds
 * @property {number} end
 * @property {string} label its class; "" where nothing happens at all
 * @property {string} subject who does it; "" where nobody is named
 * @property {string} note
 * @property {string} author
 * @property {number} [revision] of the label, as the server counts
 * @property {string|number} [edited]
 */

/** @typedef {{op: "add"|"change"|"remove", label: Label, base?: number|null}} Change */
/** @typedef {{edit: string, video: string, author: string, changes: Change[]}} Edit */

/** Tells `change` when other labels are to be shown. */
export class Book extends EventTarget {
  /** @param {string} video its id */
  constructor(video) {
    super();
    this.video = video;
    this.revision = -1;
    /** The newest revision that was heard of. */
    this.heard = -1;
    /** @type {Map<string, Label>} what is on the server's disk */
    this.confirmed = new Map();
    /** @type {Edit[]} on their way, in order */
    this.pending = [];
    /** @type {Map<string, Label>} */
    this.shown = new Map();
    /** @type {Label[]|null} */
    this.sorted = null;
  }

  /** What is shown, by start. */
  get list() {
    this.sorted ??= [...this.shown.values()].sort((a, b) => a.start - b.start || a.end - b.end || (a.id < b.id ? -1 : 1));
    return this.sorted;
  }

  /**
   * Take the server's labels; older ones than those that are known say nothing new.
   * @param {number} revision
   * @param {Label[]} labels all of the video
   * @returns {boolean} whether they were taken
   */
  load(revision, labels) {
    const taken = this.take(revision, labels);
    if (taken) this.rebuild();
    return taken;
  }

  /**
   * @param {number} revision
   * @param {Label[]} labels
   */
  take(revision, labels) {
    if (revision < this.revision) return false;
    this.revision = revision;
    this.confirmed = new Map(labels.map((l) => [l.id, l]));
    return true;
  }

  /**
   * Show an edit before the server has it.
   * @param {Edit} edit
   */
  apply(edit) {
    this.pending.push(edit);
    for (const change of edit.changes) put(this.shown, change);
    this.tell();
  }

  /**
   * An edit is no longer on its way: the server has it, or does not take it.
   * @param {string} edit
   * @param {{revision: number, labels?: Label[]}} [answer] with it, as the server has them now
   */
  settle(edit, answer) {
    if (answer?.labels) this.take(answer.revision, answer.labels);
    this.pending = this.pending.filter((e) => e.edit !== edit);
    this.rebuild();
  }

  rebuild() {
    this.shown = new Map(this.confirmed);
    for (const edit of this.pending) for (const change of edit.changes) put(this.shown, change);
    this.tell();
  }

  tell() {
    this.sorted = null;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * The revision that a change of a label now builds on; null where an edit of our own is on its way before it.
   * @param {string} id
   * @returns {number|null}
   */
  base(id) {
    if (this.pending.some((e) => e.changes.some((c) => c.label.id === id))) return null;
    return this.confirmed.get(id)?.revision ?? 0;
  }

  /** Whether an edit of this label is still on its way. @param {string} id */
  waits(id) {
    return this.pending.some((e) => e.changes.some((c) => c.label.id === id));
  }

  /** How many labels of each class are shown. @returns {Map<string, {points: number, segments: number}>} */
  counts() {
    const found = new Map();
    for (const l of this.shown.values()) {
      if (l.kind === "nothing") continue;
      const own = found.get(l.label) || { points: 0, segments: 0 };
      own[l.kind === "point" ? "points" : "segments"] += 1;
      found.set(l.label, own);
    }
    return found;
  }
}

/**
 * @param {Map<string, Label>} labels
 * @param {Change} change
 */
function put(labels, change) {
  if (change.op === "remove") labels.delete(change.label.id);
  else labels.set(change.label.id, change.label);
}

/**
 * What undoes changes, last first.
 * @param {Change[]} changes
 * @param {Map<string, Label>} before labels as they were
 * @returns {Change[]}
 */
export function inverse(changes, before) {
  const now = new Map(before);
  /** @type {Change[]} */
  const back = [];
  for (const change of changes) {
    const was = now.get(change.label.id);
    if (change.op === "add") back.unshift({ op: "remove", label: change.label });
    else if (was) back.unshift({ op: change.op === "remove" ? "add" : "change", label: was });
    put(now, change);
  }
  return back;
}

/**
 * A label that is not as changes left it: somebody else has changed or removed it since, or added it again.
 * @param {Change[]} changes that were made
 * @param {Map<string, Label>} now
 * @returns {{was: Label, now: Label|null}|null}
 */
export function strange(changes, now) {
  const last = new Map(changes.map((c) => [c.label.id, c]));
  for (const [id, { op, label }] of last) {
    const there = now.get(id) || null;
    if (op === "remove" ? there : !there || !same(label, there)) return { was: label, now: there };
  }
  return null;
}

/**
 * @param {Label} a
 * @param {Label} b
 */
function same(a, b) {
  const end = (/** @type {Label} */ l) => (l.kind === "point" ? l.start : l.end);
  return a.kind === b.kind && a.start === b.start && end(a) === end(b) && a.label === b.label && (a.subject || "") === (b.subject || "") && (a.note || "") === (b.note || "");
}
