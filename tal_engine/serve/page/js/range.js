/**
 * The part of a timeline that is shown: zoom, pan, seconds to pixels and back.
 * @module
 */

/** Steps of rulers, seconds. */
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

/** From `start` to `end`, within [0, `length`] seconds. */
export class Range {
  /**
   * @param {number} length seconds of the whole
   * @param {number} [shortest] seconds of the closest view
   */
  constructor(length, shortest = 0.2) {
    this.length = Math.max(length, 1e-3);
    this.shortest = Math.min(shortest, this.length);
    this.start = 0;
    this.end = this.length;
  }

  /** Seconds that are shown. */
  get span() {
    return this.end - this.start;
  }

  /** Whether less than all is shown. */
  get zoomed() {
    return this.span < this.length * 0.999999;
  }

  /**
   * Show a part, as far as there is one.
   * @param {number} start
   * @param {number} end
   */
  set(start, end) {
    const span = Math.min(Math.max(end - start, this.shortest), this.length);
    this.start = Math.min(Math.max(start, 0), this.length - span);
    this.end = this.start + span;
  }

  /**
   * Show `factor` times as much around a moment, which stays where it is.
   * @param {number} time
   * @param {number} factor below 1: closer
   */
  zoom(time, factor) {
    const span = Math.min(Math.max(this.span * factor, this.shortest), this.length);
    const share = Math.min(Math.max((time - this.start) / this.span, 0), 1);
    this.set(time - share * span, time - share * span + span);
  }

  /** @param {number} seconds to the right */
  pan(seconds) {
    this.set(this.start + seconds, this.end + seconds);
  }

  /** Show all. */
  fit() {
    this.set(0, this.length);
  }

  /**
   * Turn a page if a moment is not shown.
   * @param {number} time
   * @returns {boolean} whether it was not
   */
  follow(time) {
    if (time >= this.start && time <= this.end) return false;
    this.set(time - this.span * 0.05, time + this.span * 0.95);
    return true;
  }

  /**
   * @param {number} time
   * @param {number} width pixels of the whole
   */
  x(time, width) {
    return ((time - this.start) / this.span) * width;
  }

  /**
   * @param {number} x
   * @param {number} width
   */
  time(x, width) {
    return this.start + (x / width) * this.span;
  }

  /**
   * Moments for a ruler: at least `room` pixels from one to the next.
   * @param {number} width
   * @param {number} [room]
   * @returns {{times: number[], step: number}}
   */
  ticks(width, room = 80) {
    const least = (this.span * room) / Math.max(width, 1);
    const step = STEPS.find((s) => s >= least) || Math.ceil(least / 14400) * 14400;
    const times = [];
    for (let i = Math.ceil(this.start / step - 1e-9); i * step <= this.end + 1e-9; i++) times.push(i * step);
    return { times, step };
  }
}
