/**
 * A list of any length, of which only what can be seen is in the page.
 * @module
 */
import { el } from "../shared/js/dom.js";

/** Rows beyond the edges, so that scrolling and the focus find them. */
const BEYOND = 6;

/** @template T */
export class LongList {
  /**
   * @param {object} options
   * @param {string} options.label
   * @param {number} options.height pixels of a row
   * @param {(item: T) => HTMLElement} options.row
   * @param {(item: T) => string} options.key changes with what the row shows
   */
  constructor(options) {
    this.options = options;
    /** @type {T[]} */
    this.items = [];
    /** @type {Map<string, HTMLElement>} */
    this.made = new Map();
    this.inner = el("div", { class: "long-inner", role: "list", "aria-label": options.label });
    this.element = el("div", { class: "long-list", tabindex: "0", role: "region", "aria-label": options.label }, this.inner);
    // Asked for when they change only: asking makes the browser lay the page out.
    this.top = this.height = 0;
    const look = () => {
      [this.top, this.height] = [this.element.scrollTop, this.element.clientHeight];
      this.draw();
    };
    this.element.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(this.element);
  }

  /** @param {T[]} items */
  set(items) {
    this.items = items;
    this.inner.style.height = `${items.length * this.options.height}px`;
    this.draw();
  }

  draw() {
    const { height, row, key } = this.options;
    const first = Math.max(0, Math.floor(this.top / height) - BEYOND);
    const last = Math.min(this.items.length, Math.ceil((this.top + this.height) / height) + BEYOND);
    /** @type {Map<string, HTMLElement>} */
    const now = new Map();
    for (let i = first; i < last; i++) {
      const item = this.items[i];
      const name = key(item);
      const place = this.made.get(name) || row(item);
      place.setAttribute("role", "listitem");
      place.setAttribute("aria-setsize", String(this.items.length));
      place.setAttribute("aria-posinset", String(i + 1));
      place.style.transform = `translateY(${i * height}px)`;
      now.set(name, place);
    }
    for (const [name, place] of this.made) if (now.get(name) !== place) place.remove();
    let before = /** @type {Element|null} */ (null);
    for (const place of now.values()) {
      if (place.parentNode !== this.inner || place.previousElementSibling !== before) {
        if (before) before.after(place);
        else this.inner.prepend(place);
      }
      before = place;
    }
    this.made = now;
  }

  /**
   * Bring an item into sight.
   * @param {(item: T) => boolean} which
   */
  reveal(which) {
    const i = this.items.findIndex(which);
    if (i < 0) return;
    const top = i * this.options.height;
    if (top < this.top || top + this.options.height > this.top + this.height) this.element.scrollTop = this.top = top - this.height / 2;
  }
}
