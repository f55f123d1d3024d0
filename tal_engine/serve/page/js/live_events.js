/**
 * The events of a stream, put together to its actions.
 * @module
 */

/**
 * @typedef {object} LiveEvent
 * @property {"started"|"updated"|"final"|"withdrawn"} kind
 * @property {string} id
 * @property {string} label
 * @property {number} label_id
 * @property {number} score
 * @property {number} start
 * @property {number|null} end
 * @property {number} decided_at
 * @property {number} pts
 * @property {string|null} wall_time
 * @property {boolean} truncated
 */

/** Actions that are kept; older ones scroll out. */
const KEPT = 2000;

/** What is known of the actions of a stream. */
export class Actions {
  constructor() {
    /** @type {Map<string, LiveEvent>} by the id of the action, its newest event */
    this.known = new Map();
    this.now = 0;
    /** Where the first action begins: sources may count from anywhere. */
    this.first = Infinity;
    this.missed = 0;
    this.finals = 0;
  }

  /**
   * Take an event; one that comes twice counts once.
   * @param {LiveEvent} event
   * @returns {boolean} whether it says something new
   */
  take(event) {
    const before = this.known.get(event.id);
    if (before && (before.kind === "final" || before.kind === "withdrawn")) return false;
    this.first = Math.min(this.first, event.start);
    this.now = Math.max(this.now, event.pts, event.decided_at, event.end ?? 0);
    if (event.kind === "final") this.finals += 1;
    this.known.set(event.id, event);
    if (this.known.size > KEPT) this.known.delete(/** @type {string} */ (this.known.keys().next().value));
    return true;
  }

  /**
   * Segments of what happened or may have happened: without what was withdrawn.
   * @returns {import("./rows.js").Segment[]}
   */
  get segments() {
    return [...this.known.values()].filter((e) => e.kind !== "withdrawn").map((e) => ({
      start: e.start, end: e.end ?? Math.max(this.now, e.start), label: e.label, label_id: e.label_id, score: e.score,
      provisional: e.kind !== "final", open: e.end === null,
    })).sort((a, b) => b.score - a.score);
  }

  /** Names of classes that were seen, in the order of their ids. */
  get classes() {
    /** @type {string[]} */
    const names = [];
    for (const e of this.known.values()) names[e.label_id] = e.label;
    return Array.from(names, (name) => name ?? "");
  }
}
