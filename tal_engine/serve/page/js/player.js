/**
 * A video of this computer, moved by frames; or, where there is no picture, a clock that moves alike.
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
   * @param {File|null} file null: there is no picture
   * @param {number} fps frames a second
   * @param {number} duration seconds
   */
  constructor(file, fps, duration) {
    super();
    this.fps = fps;
    this.duration = duration;
    /** Frames of the video. */
    this.frames = Math.max(1, Math.round(duration * fps));
    /** Speed now: below 0 backward, 0 paused. */
    this.speed = 0;
    /** @type {number|null} where it stops */
    this.until = null;
    this.moment = 0;
    this.timer = 0;
    this.url = file ? URL.createObjectURL(file) : "";
    /** @type {HTMLVideoElement|null} */
    this.video = null;
    if (file) this.load();
  }

  load() {
    const video = el("video", { src: this.url, preload: "auto", playsinline: true, "aria-label": "The video" });
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
      else this.seekFrame(0);
    });
  }

  /** Seconds now. */
  get time() {
    return this.video && this.speed >= 0 ? this.video.currentTime : this.moment;
  }

  /** Number of the frame that is shown. */
  get frame() {
    return Math.min(Math.max(Math.floor(this.time * this.fps + 1e-6), 0), this.frames - 1);
  }

  /** Seconds of the beginning of the frame that is shown; while it plays, of the moment. */
  get shown() {
    return this.speed ? this.time : this.frame / this.fps;
  }

  /**
   * Show a frame. Its middle is sought: its beginning may round into the frame before.
   * @param {number} number
   */
  seekFrame(number) {
    const frame = Math.min(Math.max(Math.round(number), 0), this.frames - 1);
    this.moment = (frame + 0.5) / this.fps;
    if (this.video) this.video.currentTime = this.moment;
    this.dispatchEvent(new Event("time"));
  }

  /** @param {number} seconds the frame at this moment is shown */
  seek(seconds) {
    this.seekFrame(Math.floor(seconds * this.fps + 1e-6));
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
