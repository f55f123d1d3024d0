/**
 * A class that is tapped or held, by key or pointer: a tap marks a moment, holding marks what passes meanwhile.
 * @module
 */
import { used } from "../shared/js/keys.js";
import { classKeyOf } from "./shortcuts.js";

/** Milliseconds from which on a press is no tap. */
export const TAP = 280;

/**
 * @typedef {object} Holding
 * @property {() => number} now seconds of the video where a mark would begin or end
 * @property {(label: string, start: number) => void} begin it is pressed; shown at once
 * @property {(label: string) => void} longer it is held: what passes is marked
 * @property {(label: string, start: number, held: boolean) => void} end it was let go
 * @property {(label: string) => void} [other] with Shift
 * @property {() => void} cancel
 */

/** The press that goes on; there is one at a time. */
export class Hold {
  /** @param {Holding} does */
  constructor(does) {
    this.does = does;
    this.label = "";
    this.key = "";
    this.start = 0;
    /** When it was pressed, in milliseconds as events tell: a page that was busy hears of both ends late. */
    this.since = 0;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
  }

  /**
   * @param {string} label
   * @param {string} key what has to be let go
   * @param {number} at milliseconds, as events tell
   */
  press(label, key, at) {
    if (this.key) this.release(this.key, at);
    [this.label, this.key, this.start, this.since] = [label, key, this.does.now(), at];
    this.does.begin(label, this.start);
    this.timer = setTimeout(() => this.does.longer(label), TAP);
  }

  /**
   * @param {string} key
   * @param {number} at milliseconds, as events tell
   */
  release(key, at) {
    if (!this.key || key !== this.key) return;
    clearTimeout(this.timer);
    this.key = "";
    this.does.end(this.label, this.start, at - this.since >= TAP);
  }

  /** Forget the press, as where the window loses the keyboard. */
  cancel() {
    if (!this.key) return;
    clearTimeout(this.timer);
    this.key = "";
    this.does.cancel();
  }
}

/**
 * Hear the keys of classes.
 * @param {() => Map<string, string>} classes by key
 * @param {Hold} hold
 * @param {AbortSignal} signal
 */
export function hearClassKeys(classes, hold, signal) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || used(event.target, event.key)) return;
    const key = classKeyOf(event);
    const label = classes().get(key);
    if (label === undefined) return;
    event.preventDefault();
    if (event.repeat) return;
    if (event.shiftKey && !/^[0-9]$/.test(event.key)) hold.does.other?.(label);
    else hold.press(label, key, event.timeStamp);
  }, { signal });
  document.addEventListener("keyup", (event) => hold.release(classKeyOf(event), event.timeStamp), { signal });
  window.addEventListener("blur", () => hold.cancel(), { signal });
  signal.addEventListener("abort", () => hold.cancel());
}
