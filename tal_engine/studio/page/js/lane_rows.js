/**
 * Rows of the studio's timeline: labels above, suggestions below, by subject and class.
 * @module
 */
import { lanes } from "../shared/js/rows.js";

/** @typedef {import("./book.js").Label} Label */
/** @typedef {import("./store.js").Suggestion} Suggestion */
/** @typedef {Suggestion & {label_id: number, found: true}} Guess a suggestion in its row */
/** @typedef {import("../shared/js/rows.js").Row & {labels: Label[]}} LaneRow */

/** @typedef {{guesses: Guess[], lanes: number[], depth: number}} Placed */

/**
 * Put suggestions into their rows: once, for labels change at every key and suggestions seldom.
 * @param {Suggestion[]} suggestions
 * @param {string[]} classes in order
 * @returns {Map<string, Placed>} by subject and class
 */
export function placed(suggestions, classes) {
  /** @type {Map<string, Guess[]>} */
  const found = new Map();
  for (const s of suggestions) {
    const key = rowOf(s);
    const own = found.get(key) || [];
    own.push({ ...s, label_id: classes.indexOf(s.label), found: true });
    found.set(key, own);
  }
  return new Map([...found].map(([key, guesses]) => {
    guesses.sort((a, b) => b.score - a.score);
    const rows = lanes(guesses);
    return [key, { guesses, lanes: rows, depth: Math.max(0, ...rows) + 1 }];
  }));
}

/**
 * @param {string[]} classes in order
 * @param {Label[]} labels by start
 * @param {Map<string, Placed>} suggestions
 * @returns {LaneRow[]} each class has a row; subjects have their own where anybody is named
 */
export function laneRows(classes, labels, suggestions) {
  const everywhere = labels.filter((l) => l.kind === "nothing" && !l.label);
  const found = byRow(labels.filter((l) => l.kind !== "nothing" || l.label));
  const guessed = [...suggestions.values()].map(({ guesses }) => whose(guesses[0]));
  const subjects = [...new Set(["", ...[...found.values()].map((row) => whose(row.labels[0])), ...guessed])].sort(inOrder);
  /** @type {LaneRow[]} */
  const rows = [];
  for (const subject of subjects) {
    classes.forEach((label, id) => {
      const key = rowOf({ subject, label });
      const [own, guessed] = [found.get(key)?.labels, suggestions.get(key)];
      if (!own && !guessed && subject) return;
      const labelled = everywhere.length ? [...(own || []), ...everywhere].sort((a, b) => a.start - b.start) : own || [];
      rows.push({ key, label, label_id: id, subject, segments: guessed?.guesses || [], lanes: guessed?.lanes || [], depth: guessed?.depth || 1, labels: labelled });
    });
  }
  return rows;
}

/** @typedef {{labels: Label[], longest: number}} MarkedRow labels by start, and seconds of the longest */

/**
 * Labels by subject and class.
 * @param {Label[]} labels by start
 * @param {(label: Label) => string} [rowName]
 */
export function byRow(labels, rowName = rowOf) {
  /** @type {Map<string, MarkedRow>} */
  const found = new Map();
  for (const l of labels) {
    const key = rowName(l);
    const own = found.get(key);
    if (!own) found.set(key, { labels: [l], longest: l.end - l.start });
    else {
      own.labels.push(l);
      own.longest = Math.max(own.longest, l.end - l.start);
    }
  }
  return found;
}

/** Labels that suggestions are compared with: of a person where the suggestion names one, else of anybody. */
export class Marked {
  /** @param {Label[]} labels by start */
  constructor(labels) {
    this.labels = labels;
    /** @type {Map<string, MarkedRow>|null} */
    this.rows = null;
    /** @type {Map<string, MarkedRow>|null} */
    this.classes = null;
  }

  /** @param {{subject?: string|number|null, label: string}} guess @returns {MarkedRow|undefined} */
  row(guess) {
    if (whose(guess)) return (this.rows ??= byRow(this.labels)).get(rowOf(guess));
    return (this.classes ??= byRow(this.labels, (l) => l.label)).get(guess.label);
  }
}

/**
 * Labels that mark the same action as a suggestion: within it, or about where it is.
 * @param {Suggestion} guess
 * @param {Marked} marked
 */
export function marksOf(guess, marked) {
  const row = marked.row(guess);
  if (!row) return [];
  const found = [];
  for (let i = firstFrom(row.labels, guess.start - row.longest); i < row.labels.length && row.labels[i].start <= guess.end; i++) {
    const l = row.labels[i];
    if ((guess.start <= l.start && l.end <= guess.end) || overlap(guess, l) >= 0.5) found.push(l);
  }
  return found;
}

/**
 * The first of labels that begins at a time or later.
 * @param {Label[]} labels by start
 * @param {number} time
 */
function firstFrom(labels, time) {
  let [low, high] = [0, labels.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (labels[middle].start < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The name of a row, for programs.
 * @param {{subject?: string|number|null, label: string}} what
 */
function rowOf(what) {
  return `${whose(what).replaceAll("/", "//")}/${what.label}`;
}

/**
 * People that were followed by number, then others by name.
 * @param {string} a
 * @param {string} b
 */
const inOrder = (a, b) => a.localeCompare(b, "en", { numeric: true });

/**
 * What is said of a label: its class, and who does it where that is known.
 * @param {{kind?: string, label: string, subject?: string|number|null}} label
 */
export function titleOf(label) {
  const name = label.kind === "nothing" ? "nothing here" : label.label;
  return whose(label) ? `${name} · ${whose(label)}` : name;
}

/**
 * Who does it, as rows are named: people that were followed have numbers, from 0 on.
 * @param {{subject?: string|number|null}} what
 */
export function whose({ subject }) {
  return subject === null || subject === undefined || subject === "" ? "" : /^\d+$/.test(String(subject)) ? `#${subject}` : String(subject);
}

/**
 * Whether suggestions are right, as far as labels say: a segment fits one that it shares half of both with, a point
 * lies inside, and each label is found once, by the best.
 * @param {Suggestion[]} suggestions
 * @param {Label[]} labels
 * @returns {{hits: Set<Suggestion>, missed: Label[]}}
 */
export function verdicts(suggestions, labels) {
  const hits = new Set();
  const left = new Set(labels.filter((l) => l.kind !== "nothing"));
  for (const s of [...suggestions].sort((a, b) => b.score - a.score)) {
    let [best, most] = [/** @type {Label|null} */ (null), 0];
    for (const l of left) {
      if (l.label !== s.label) continue;
      const fits = l.kind === "point" ? Number(s.start <= l.start && l.start <= s.end) : overlap(s, l);
      if (fits >= 0.5 && fits > most) [best, most] = [l, fits];
    }
    if (!best) continue;
    hits.add(s);
    left.delete(best);
  }
  return { hits, missed: [...left] };
}

/**
 * Intersection over union.
 * @param {{start: number, end: number}} a
 * @param {{start: number, end: number}} b
 */
export function overlap(a, b) {
  const shared = Math.min(a.end, b.end) - Math.max(a.start, b.start);
  if (shared <= 0) return 0;
  return shared / (Math.max(a.end, b.end) - Math.min(a.start, b.start));
}
