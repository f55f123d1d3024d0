/**
 * Numbers as people read them.
 * @module
 */

/**
 * Seconds as a clock: 1:02.50; hours where there are any.
 * @param {number} seconds
 * @param {number} [digits] of fractions of a second
 */
export function clock(seconds, digits = 2) {
  const scale = 10 ** digits;
  const all = Math.round(Math.abs(seconds) * scale);
  const whole = Math.floor(all / scale);
  const rest = digits ? "." + String(all % scale).padStart(digits, "0") : "";
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return (seconds < 0 ? "-" : "") + (h ? `${h}:${two(m)}` : String(m)) + `:${two(s)}${rest}`;
}

/**
 * A score: two digits, three where it is small.
 * @param {number} score
 */
export function score(score) {
  return Math.abs(score) < 0.1 && score !== 0 ? score.toFixed(3) : score.toFixed(2);
}

/**
 * Bytes: 12.3 MB.
 * @param {number} bytes
 */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/**
 * A length of time in words: 45 s, 12 min, 6 h.
 * @param {number} seconds
 */
export function span(seconds) {
  if (seconds < 100) return `${Math.round(seconds * 10) / 10} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 360) / 10} h`;
}

/**
 * A moment (seconds since 1970) as the browser's region writes it; the date only where it is not today.
 * @param {number} seconds
 */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString();
}

/**
 * "1 segment", "2 segments".
 * @param {number} n
 * @param {string} what
 */
export function count(n, what) {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}
