/**
 * Signs of buttons, drawn: fonts have them in colours of their own, or not at all.
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";

/** Paths within 24 × 24. */
const PATHS = {
  play: "M7 4l13 8-13 8z",
  pause: "M6 4h4v16H6zM14 4h4v16h-4z",
  previous: "M5 4h3v16H5zM20 4v16L9 12z",
  next: "M16 4h3v16h-3zM4 4l11 8-11 8z",
  back: "M15.5 4l2 2-6 6 6 6-2 2-8-8z",
  forward: "M8.5 4l-2 2 6 6-6 6 2 2 8-8z",
  close: "M6 4.5l6 6 6-6L19.5 6l-6 6 6 6-1.5 1.5-6-6-6 6L4.5 18l6-6-6-6z",
};

/**
 * @param {keyof typeof PATHS} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: "16", height: "16", fill: "currentColor", "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
