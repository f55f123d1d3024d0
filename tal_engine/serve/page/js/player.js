/**
 * A video, moved by frames; or, where there is no picture, a clock that moves alike.
 * @module
 */
import { el } from "./dom.js";

/** Speeds of J and L, one press after the other. */
const SPEEDS = [1, 2, 4, 8];

/**
 * Tells `time` when the time changed, `state` when it begins or stops to play, `unplayable` when the browser
 * cannot show the file.
 */
export class Player extends EventTarget {
  /**
   * @param {File|string|null} source a file of this computer or an address; null: there is no picture
   * @param {number} fps frames a second
   * @param {number} duration seconds
   */
  constructor(source, fps, duration) {
    super();
    this.fps = fps;
    this.duration = duration;
    /** Frames of the video. */
    this.frames = Math.max(1, Math.round(duration * fps));
    /** @type {Float64Array|null} when each frame begins, where that is known; else they come at a constant rate */
    this.times = null;
    /** Speed now: below 0 backward, 0 paused. */
    this.speed = 0;
    /** @type {number|null} where it stops */
    this.until = null;
    this.moment = 0;
    this.timer = 0;
    this.url = source instanceof File ? URL.createObjectURL(source) : "";
    /** @type {HTMLVideoElement|null} */
    this.video = null;
    if (source) this.load(this.url || String(source));
  }

  /** @param {string} address */
  load(address) {
    const video = el("video", { src: address, preload: "auto", playsinline: true, "aria-label": "The video" });
    video.disablePictureInPicture = true;
    this.video = video;
    const tell = () => this.dispatchEvent(new Event("time"));
    video.addEventListener("seeked", tell);
    video.addEventListener("ended", () => this.pause());
    video.addEventListener("error", () => {
      this.moment = 0;
      this.video = null;
      this.pause();
      this.dispatchEvent(new Event("unplayable"));
    });
    video.addEventListener("loadedmetadata", () => {
      if (!video.videoWidth) video.dispatchEvent(new Event("error"));  // sound that can be played, a picture that cannot
      else this.seekFrame(this.frame);
    });
  }

  /**
   * Count frames by when they begin, as in videos of variable rate.
   * @param {Float64Array} times seconds, ascending
   */
  setTimes(times) {
    if (!times.length) return;
    const at = this.shown;
    this.times = times;
    this.frames = times.length;
    if (!this.speed) this.seek(at + 1e-4); // the beginning of a frame, whichever way it was rounded
  }

  /**
   * The frame that is shown at a moment.
   * @param {number} seconds
   */
  frameAt(seconds) {
    if (!this.times) return Math.min(Math.max(Math.floor(seconds * this.fps + 1e-6), 0), this.frames - 1);
    let [low, high] = [0, this.frames];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= seconds + 1e-6) low = middle;
      else high = middle;
    }
    return low;
  }

  /**
   * When a frame begins.
   * @param {number} frame
   */
  startOf(frame) {
    return this.times ? this.times[frame] : frame / this.fps;
  }

  /**
   * When the next frame begins, or the video ends.
   * @param {number} frame
   */
  endOf(frame) {
    return frame + 1 < this.frames ? this.startOf(frame + 1) : Math.max(this.duration, this.startOf(frame) + 1e-3);
  }

  /** Seconds now. */
  get time() {
    return this.video && this.speed >= 0 ? this.video.currentTime : this.moment;
  }

  /** Number of the frame that is shown. */
  get frame() {
    return this.frameAt(this.time);
  }

  /** Seconds of the beginning of the frame that is shown; while it plays, of the moment. */
  get shown() {
    return this.speed ? this.time : this.startOf(this.frame);
  }

  /**
   * Show a frame. Its middle is sought: its beginning may round into the frame before.
   * @param {number} number
   */
  seekFrame(number) {
    const frame = Math.min(Math.max(Math.round(number), 0), this.frames - 1);
    this.moment = this.times ? (this.startOf(frame) + this.endOf(frame)) / 2 : (frame + 0.5) / this.fps;
    if (this.video) this.video.currentTime = this.moment;
    this.dispatchEvent(new Event("time"));
  }

  /** @param {number} seconds the frame at this moment is shown */
  seek(seconds) {
    this.seekFrame(this.frameAt(seconds));
  }

  /** @param {number} frames to go on; below 0: back */
  step(frames) {
    const from = this.frame;
    this.pause();
    this.seekFrame(from + frames);
  }

  /**
   * Play.
   * @param {number} [speed] below 0: backward
   * @param {number|null} [until] seconds where it stops
   */
  play(speed = 1, until = null) {
    const at = this.time;
    if (speed > 0 && at >= this.duration - 1.5 / this.fps) this.seek(0);
    this.moment = this.time;
    [this.speed, this.until] = [speed, until];
    if (this.video && speed > 0) {
      this.video.playbackRate = speed;
      this.video.play().catch(() => this.pause());
    } else this.video?.pause();
    cancelAnimationFrame(this.timer);
    let before = performance.now();
    const tick = (/** @type {number} */ now) => {
      this.tick((now - before) / 1000);
      before = now;
      if (this.speed) this.timer = requestAnimationFrame(tick);
    };
    this.timer = requestAnimationFrame(tick);
    this.dispatchEvent(new Event("state"));
  }

  /** @param {number} seconds since the last tick */
  tick(seconds) {
    if (this.video && this.speed > 0) this.moment = this.video.currentTime;
    else this.moment = Math.min(Math.max(this.moment + Math.max(seconds, 0) * this.speed, 0), this.duration);
    if (this.video && this.speed < 0 && !this.video.seeking) this.video.currentTime = this.moment;
    this.dispatchEvent(new Event("time"));
    const over = this.speed > 0 ? this.moment >= (this.until ?? this.duration) : this.moment <= 0;
    if (over && this.speed) this.pause();
  }

  /** Stop where it is. */
  pause() {
    const was = this.speed;
    if (was < 0) this.seek(this.moment);
    [this.speed, this.until] = [0, null];
    cancelAnimationFrame(this.timer);
    if (this.video && was > 0) {
      this.video.pause();
      this.seek(this.video.currentTime);
    }
    if (was) this.dispatchEvent(new Event("state"));
  }

  toggle() {
    if (this.speed) this.pause();
    else this.play();
  }

  /** @param {1|-1} direction pressed again: faster */
  shuttle(direction) {
    const now = SPEEDS.indexOf(this.speed * direction);
    this.play(direction * SPEEDS[Math.min(now + 1, SPEEDS.length - 1)]);
  }

  /** Let go of the file. */
  close() {
    this.pause();
    if (this.video) {
      const video = this.video;
      this.video = null;
      video.removeAttribute("src");
      video.load();
    }
    if (this.url) URL.revokeObjectURL(this.url);
  }
}
