/**
 * From a result to what is shown of it: which segments have enough score, and in which row they lie.
 * @module
 */

/**
 * @typedef {object} Segment
 * @property {number} start seconds
 * @property {number} end
 * @property {string} label
 * @property {number} label_id
 * @property {number} score
 * @property {string | number | null} [subject] who does it, where the result says so
 * @property {boolean} [provisional] it may change (live)
 * @property {boolean} [open] its end has not come (live)
 */

/**
 * @typedef {object} Row
 * @property {string} key
 * @property {string} label
 * @property {number} label_id
 * @property {string} subject "" where there is none
 * @property {Segment[]} segments best first
 * @property {number[]} lanes of each segment: those that overlap lie in lanes of their own
 * @property {number} depth how many lanes
 */

/** Most lanes of a row, and segments that are placed in them; further ones share the last lane. */
const LANES = 3;
const PLACED = 400;

/** The least score of each class: the plan's, or one for all. */
export class Floors {
  /**
   * @param {Map<string, number>} named of classes that have their own
   * @param {number} usual of the others
   * @param {number} most the plan's most segments; 0: all
   */
  constructor(named, usual, most) {
    this.named = named;
    this.usual = usual;
    this.most = most;
    /** @type {number|null} one for all; null: the plan's */
    this.one = null;
  }

  /**
   * Read them from a plan's manifest.
   * @param {any} manifest null where the plan is not there any more
   */
  static of(manifest) {
    const named = new Map(Object.entries(manifest?.thresholds?.classes || {}));
    const usual = manifest?.segment?.min_score;
    return new Floors(named, typeof usual === "number" ? usual : -Infinity, manifest?.segment?.top_k || 0);
  }

  /**
   * @param {string} label
   * @returns {number}
   */
  of(label) {
    return this.one ?? this.named.get(label) ?? this.usual;
  }

  /**
   * Keep the segments that have enough.
   * @param {Segment[]} segments best first
   */
  keep(segments) {
    const enough = segments.filter((s) => s.score >= this.of(s.label));
    return this.one === null && this.most ? enough.slice(0, this.most) : enough;
  }

  /** What `POST /v1/jobs/{id}/export` needs to know. */
  get choice() {
    if (this.one !== null) return { min_score: this.one };
    const usual = Number.isFinite(this.usual) ? { min_score: this.usual } : {};
    return { ...usual, floors: Object.fromEntries(this.named), top_k: this.most };
  }
}

/**
 * Put segments that overlap beside each other.
 * @param {Segment[]} segments best first: the best get the first lane
 * @returns {number[]}
 */
export function lanes(segments) {
  /** @type {Segment[][]} */
  const taken = [];
  return segments.map((segment, i) => {
    if (i >= PLACED) return LANES - 1;
    let lane = 0;
    while (lane < LANES - 1 && taken[lane]?.some((t) => t.start < segment.end && segment.start < t.end)) lane += 1;
    (taken[lane] ??= []).push(segment);
    return lane;
  });
}

/**
 * Name who does it: people that were followed have numbers, from 0 on.
 * @param {Segment} segment
 * @returns {string} "" where the result does not say
 */
export function who({ subject }) {
  if (subject === undefined || subject === null) return "";
  return typeof subject === "number" ? `#${subject}` : subject;
}

/**
 * Sort segments into rows: by who does it, where that is known, then by class in the order of the classes.
 * @param {Segment[]} segments best first
 * @param {string[]} classes
 * @param {boolean} all also classes that have no segment
 * @returns {Row[]}
 */
export function rowsOf(segments, classes, all) {
  /** @type {Map<string, Segment[]>} */
  const found = new Map();
  for (const s of segments) {
    const key = `${who(s)}/${s.label}`;
    const own = found.get(key);
    if (own) own.push(s);
    else found.set(key, [s]);
  }
  const subjects = [...new Set(segments.map(who))].sort();
  /** @type {Row[]} */
  const rows = [];
  for (const subject of subjects.length ? subjects : [""]) {
    classes.forEach((label, id) => {
      const own = found.get(`${subject}/${label}`) || [];
      if (!own.length && !all) return;
      const placed = lanes(own);
      rows.push({
        key: `${subject}/${label}`, label, label_id: id, subject, segments: own, lanes: placed,
        depth: Math.max(0, ...placed) + 1,
      });
    });
  }
  return rows;
}

/**
 * The range of a slider over scores.
 * @param {{segments: Segment[], info: {calibrated: boolean}}} result
 * @returns {{least: number, most: number, step: number}}
 */
export function scoreRange(result) {
  if (result.info.calibrated) return { least: 0, most: 1, step: 0.01 };
  let [least, most] = [0, 1];
  for (const s of result.segments) [least, most] = [Math.min(least, s.score), Math.max(most, s.score)];
  const step = 10 ** Math.floor(Math.log10((most - least) / 50));
  return { least: Math.floor(least / step) * step, most: Math.ceil(most / step) * step, step };
}

/**
 * @typedef {object} Curves
 * @property {number} start seconds of the first value
 * @property {number} step
 * @property {number} width of what a value is about
 * @property {number[][]} cas
 * @property {number[]|null} attention
 */

/**
 * The curve of a class, scaled to [0, 1] with all classes on one scale.
 * @param {Curves|null} curves
 * @param {number} classes how many; a column behind them is the background
 * @returns {((label_id: number) => Float32Array)|null}
 */
export function curveReader(curves, classes) {
  if (!curves || !curves.cas.length) return null;
  let [low, high] = [0, 1];
  for (const row of curves.cas) {
    for (let i = 0; i < classes; i++) {
      if (row[i] < low) low = row[i];
      if (row[i] > high) high = row[i];
    }
  }
  const known = new Map();
  return (id) => {
    if (!known.has(id)) known.set(id, Float32Array.from(curves.cas, (row) => (row[id] - low) / (high - low)));
    return known.get(id);
  };
}
