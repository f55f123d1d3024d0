/**
 * What keys and buttons do on a result.
 * @module
 */
import { playing } from "./playing.js";

/** @typedef {import("./rows.js").Segment} Segment */

/**
 * @param {object} parts
 * @param {import("./player.js").Player} parts.player
 * @param {import("./timeline.js").Timeline} parts.timeline
 * @param {import("./threshold.js").Threshold} parts.threshold
 * @param {{shown: Segment[], chosen: Segment|null, selection: [number, number]|null}} parts.state
 * @param {(segment: Segment|null) => void} parts.choose
 * @param {(selection: [number, number]|null) => void} parts.select
 */
export function resultActions({ player, timeline, threshold, state, choose, select }) {
  const { range } = timeline;
  const { fps, duration } = player;
  /** A frame's bounds: a selection takes whole frames. */
  const begin = () => player.frame / fps;
  const end = () => Math.min((player.frame + 1) / fps, duration);

  /** @param {1|-1} way */
  function neighbour(way) {
    const byTime = [...state.shown].sort((a, b) => a.start - b.start || b.score - a.score);
    if (!byTime.length) return;
    const at = state.chosen ? byTime.indexOf(state.chosen) : -1;
    if (at >= 0) choose(byTime[Math.min(Math.max(at + way, 0), byTime.length - 1)]);
    else if (way > 0) choose(byTime.find((s) => s.start > player.time) || byTime[byTime.length - 1]);
    else choose(byTime.filter((s) => s.start < player.time).pop() || byTime[0]);
  }

  return {
    ...playing(player, timeline),
    previous: () => neighbour(-1),
    next: () => neighbour(1),
    markStart() {
      const start = begin();
      select([start, state.selection && state.selection[1] > start ? state.selection[1] : duration]);
    },
    markEnd() {
      const last = end();
      select([state.selection && state.selection[0] < last ? state.selection[0] : 0, last]);
    },
    markSegment() {
      const found = state.chosen || state.shown.find((s) => s.start <= player.time && player.time < s.end);
      if (found) select([found.start, found.end]);
    },
    playSelection() {
      if (!state.selection) return;
      player.seek(state.selection[0]);
      player.play(1, state.selection[1]);
    },
    unmark: () => select(null),
    fitSelection() {
      const [start, last] = state.selection || (state.chosen ? [state.chosen.start, state.chosen.end] : [0, duration]);
      const margin = (last - start) * 0.1;
      range.set(start - margin, last + margin);
      timeline.moved();
    },
    less: () => threshold.step(-1),
    more: () => threshold.step(1),
  };
}
