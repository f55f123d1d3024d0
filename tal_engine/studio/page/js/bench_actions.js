/**
 * What keys and buttons do with any video that is worked on.
 * @module
 */
import { playing } from "../shared/js/playing.js";

/** @typedef {import("./workbench.js").Workbench} Workbench */

/**
 * @param {Workbench} bench
 * @returns {Record<string, () => void>}
 */
export function benchActions(bench) {
  const { player, timeline } = bench;
  const { range } = timeline;

  /** @returns {[number, number]|null} */
  function target() {
    const what = bench.label || bench.guess;
    return bench.selection || (what && [what.start, what.end]);
  }

  return {
    ...playing(player, timeline),
    fitChosen() {
      const [start, end] = target() || [0, player.duration];
      const margin = Math.max((end - start) * 0.5, 1);
      range.set(start - margin, end + margin);
      timeline.moved();
    },
    playChosen() {
      const [start, end] = target() || [player.time, player.duration];
      player.seek(start);
      player.play(1, Math.max(end, start + 1));
    },
    unmark() {
      bench.select(null);
      bench.choose(null);
    },
  };
}
