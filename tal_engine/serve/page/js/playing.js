/**
 * What keys and buttons do with a video and its timeline, wherever both are shown.
 * @module
 */

/**
 * @param {import("./player.js").Player} player
 * @param {{range: import("./range.js").Range, moved: () => void}} timeline
 */
export function playing(player, timeline) {
  const { range } = timeline;

  /** @param {number} factor */
  function zoom(factor) {
    const inside = player.time >= range.start && player.time <= range.end;
    range.zoom(inside ? player.time : (range.start + range.end) / 2, factor);
    timeline.moved();
  }

  return {
    toggle: () => player.toggle(),
    back: () => player.shuttle(-1),
    pause: () => player.pause(),
    forward: () => player.shuttle(1),
    frameBack: () => player.step(-1),
    frameForward: () => player.step(1),
    secondBack: () => player.step(-Math.round(player.fps)),
    secondForward: () => player.step(Math.round(player.fps)),
    first: () => player.step(-player.frames),
    last: () => player.step(player.frames),
    closer: () => zoom(0.5),
    wider: () => zoom(2),
    fit() {
      range.fit();
      timeline.moved();
    },
  };
}
