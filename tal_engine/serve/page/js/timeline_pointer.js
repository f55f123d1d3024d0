/**
 * What pointers do on a timeline: drag the ruler to seek, the rows to pan; wheel and pinch to zoom; click to choose.
 * @module
 */
import { RULER } from "./timeline_draw.js";

/** Pixels up to which a press is a click. */
const CLICK = 4;

/**
 * @param {import("./timeline.js").Timeline} timeline
 * @param {AbortSignal} signal
 */
export function hearPointers(timeline, signal) {
  const { plot, range } = timeline;
  /** @type {Map<number, {x: number, y: number}>} pointers that are down */
  const down = new Map();
  let travelled = 0;
  let seeking = false;
  let apart = 0;
  /** @type {import("./timeline.js").Grip|null} */
  let held = null;
  const letGo = () => {
    held?.cancel();
    held = null;
  };

  const place = (/** @type {MouseEvent} */ event) => {
    const box = plot.getBoundingClientRect();
    const ruler = timeline.ruler.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top, inRuler: event.clientY < ruler.bottom };
  };
  const seek = (/** @type {number} */ x) =>
    timeline.dispatchEvent(new CustomEvent("seek", { detail: Math.max(0, range.time(x, timeline.width)) }));
  const under = (/** @type {{x: number, y: number}} */ at) => timeline.segmentAt(at.x, at.y - RULER);

  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = place(event);
    down.set(event.pointerId, at);
    plot.setPointerCapture(event.pointerId);
    [travelled, apart] = [0, 0];
    seeking = at.inRuler && down.size === 1;
    letGo(); // a second finger pinches
    if (seeking && !timeline.still) seek(at.x);
    else if (down.size === 1) held = timeline.grip(at.x, at.y - RULER, event.pointerType);
  }, { signal });

  plot.addEventListener("pointermove", (event) => {
    const at = place(event);
    const before = down.get(event.pointerId);
    if (!before) {
      timeline.point(at.inRuler ? null : under(at), at.x, at.y);
      return;
    }
    down.set(event.pointerId, at);
    travelled += Math.abs(at.x - before.x) + Math.abs(at.y - before.y);
    if (timeline.still) return;
    if (down.size === 2) pinch();
    else if (seeking) seek(at.x);
    else if (held) travelled > CLICK && held.move(range.time(at.x, timeline.width));
    else if (travelled > CLICK) {
      range.pan(((before.x - at.x) / timeline.width) * range.span);
      timeline.moved();
    }
  }, { signal });

  function pinch() {
    const [a, b] = [...down.values()];
    const now = Math.max(Math.abs(a.x - b.x), 10);
    if (apart) {
      range.zoom(range.time((a.x + b.x) / 2, timeline.width), apart / now);
      timeline.moved();
    }
    apart = now;
  }

  plot.addEventListener("pointerup", (event) => {
    const at = place(event);
    const clicked = down.delete(event.pointerId) && !down.size && travelled <= CLICK && !seeking;
    if (held && !clicked) held.drop();
    else letGo();
    held = null;
    if (!clicked) return;
    const segment = under(at);
    timeline.dispatchEvent(new CustomEvent("choose", { detail: segment }));
    if (!segment && !timeline.still) seek(at.x);
  }, { signal });
  plot.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    letGo();
  }, { signal });
  plot.addEventListener("pointerleave", () => timeline.point(null, 0, 0), { signal });

  plot.addEventListener("dblclick", (event) => {
    const segment = under(place(event));
    if (segment) timeline.dispatchEvent(new CustomEvent("mark", { detail: segment }));
  }, { signal });

  plot.addEventListener("wheel", (event) => {
    if (timeline.still) return;
    if (event.ctrlKey || event.metaKey) {
      range.zoom(range.time(place(event).x, timeline.width), 1.002 ** event.deltaY);
    } else if (range.zoomed && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
      range.pan(((event.deltaX || event.deltaY) / timeline.width) * range.span);
    } else return;
    event.preventDefault();
    timeline.moved();
  }, { signal, passive: false });
}
