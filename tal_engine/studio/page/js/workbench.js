/**
 * A video to work on: its player, its timeline, its labels and suggestions. Views put their panels beside it.
 * @module
 */
import { announce, button, el, write } from "../shared/js/dom.js";
import { clock, score } from "../shared/js/format.js";
import { Player } from "../shared/js/player.js";
import { transport } from "../shared/js/transport.js";
import { Marked, marksOf, placed, laneRows, titleOf, whose } from "./lane_rows.js";
import { byPerson, called, everybody } from "./people_bar.js";
import { curvesOf } from "./lane_curve.js";
import { LaneTimeline } from "./lane_timeline.js";
import { addressOf, stage } from "./stage.js";

/** @typedef {import("./book.js").Label} Label */

/** Tells `change` when labels, suggestions or what is chosen are other than before. */
export class Workbench extends EventTarget {
  /**
   * @param {import("./main.js").Context} context
   * @param {import("./store.js").Video} video
   * @param {import("./book.js").Book} book
   * @param {AbortSignal} signal ends it
   */
  constructor(context, video, book, signal) {
    super();
    Object.assign(this, { context, video, book, signal });
    this.context = context;
    this.video = video;
    this.book = book;
    this.signal = signal;
    const fps = video.fps || 25;
    this.player = new Player(addressOf(video), fps, Math.max(video.duration || 0, 1 / fps));
    this.timeline = new LaneTimeline(this.player.duration, signal, { label: `Position in ${video.name}`, fps });
    this.timeline.snap = (time) => this.player.startOf(this.player.frameAt(time));
    /** @type {import("./store.js").Suggestion[]} those that reach the thresholds of their classes */
    this.suggestions = [];
    /** @type {import("./store.js").Suggestion[]} */
    this.all = [];
    /** @type {Record<string, {threshold: number}>} */
    this.thresholds = {};
    /** Whether weaker ones are shown too. */
    this.weak = false;
    /** @type {Map<string, import("./lane_rows.js").Placed>} */
    this.guesses = new Map();
    /** @type {string|null} */
    this.chosen = null;
    /** @type {any} a suggestion that is chosen */
    this.guess = null;
    /** @type {[number, number]|null} */
    this.selection = null;
    /** @type {import("./store.js").Subject[]} whom the server knows */
    this.subjects = [];
    /** Whom labels are about, and how many of each; "" is nobody in particular. */
    this.people = /** @type {string[]} */ ([]);
    this.counted = byPerson([]);
    this.whom = "";
    /** Whether only labels about `whom` are shown. */
    this.only = false;
    /** Of the browser, that shows what has changed; 0: none is due. */
    this.frame = 0;
    this.here = el("div", { class: "here", "aria-hidden": "true" });
    this.stage = stage(video, this.player, this.here);
    this.hear();
    void this.read();
  }

  /** The label that is chosen. @returns {Label|null} */
  get label() {
    return (this.chosen && this.book.shown.get(this.chosen)) || null;
  }

  /** Names of the classes, in order. */
  get classes() {
    return this.context.store.project.classes.map((c) => c.name);
  }

  /** Labels that are shown, by start. @returns {Label[]} */
  get list() {
    if (!this.only || !this.whom) return this.book.list;
    return this.book.list.filter((l) => l.subject === this.whom || (l.kind === "nothing" && !l.label));
  }

  hear() {
    const { player, timeline, book, signal, context } = this;
    const told = () => this.told();
    player.addEventListener("time", () => this.ticked(), { signal });
    timeline.addEventListener("seek", (e) => { player.pause(); player.seek(/** @type {CustomEvent} */ (e).detail); });
    timeline.addEventListener("dragging", (e) => player.seek(/** @type {CustomEvent} */ (e).detail));
    timeline.addEventListener("choose", (e) => this.choose(/** @type {CustomEvent} */ (e).detail));
    book.addEventListener("change", told, { signal });
    context.store.addEventListener("project", () => this.sorted(), { signal });
    context.store.addEventListener("suggestions", () => void this.readSuggestions(), { signal });
    context.store.addEventListener("videos", () => this.stateChanged(), { signal });
    signal.addEventListener("abort", () => player.close());
  }

  /** Read what may come after the picture. */
  async read() {
    void this.readSuggestions();
    void this.readSubjects();
    try {
      const { times } = await this.context.store.frames(this.video.id);
      if (!this.signal.aborted) this.player.setTimes(Float64Array.from(times));
      if (!this.signal.aborted) this.ticked();
    } catch {
      // without them frames are counted at the rate of the video
    }
  }

  async readSuggestions() {
    try {
      const { store } = this.context;
      const [{ segments, curves }, thresholds] = await Promise.all([store.suggested(this.video.id), store.kept("/api/thresholds").catch(() => ({}))]);
      if (this.signal.aborted) return;
      [this.all, this.thresholds] = [segments || [], thresholds];
      this.timeline.curves = curvesOf(curves);
    } catch {
      return; // there are none yet
    }
    this.sorted();
  }

  /** Who is in the video; without an answer those that its labels name are known. */
  async readSubjects() {
    const { subjects, problem } = await this.context.store.subjects(this.video.id).catch(() => ({ subjects: [], problem: null }));
    if (this.signal.aborted) return;
    if (problem) this.context.store.dispatchEvent(new CustomEvent("problem", { detail: problem }));
    this.subjects = subjects;
    const known = everybody(subjects, byPerson(this.book.list));
    this.whom = known.includes(this.context.store.whom) ? this.context.store.whom : "";
    this.told();
  }

  /**
   * Say whom labels are about from now on.
   * @param {string} name "" for nobody in particular
   */
  about(name) {
    this.whom = this.context.store.whom = name;
    if (this.only && this.label && this.label.subject !== name) this.choose(null);
    this.told();
    announce(`New labels are about ${called(name)}`);
  }

  /** @param {boolean} only whether to show only labels about `whom` */
  show(only) {
    this.only = only;
    if (only && this.label && this.label.subject !== this.whom) this.choose(null);
    this.told();
  }

  /** Suggestions of what no label marks yet. */
  get unmarked() {
    const marked = new Marked(this.book.list);
    return this.suggestions.filter((s) => !marksOf(s, marked).length);
  }

  /** Labels that mark the same action as a suggestion, about `whom`. @param {import("./store.js").Suggestion} guess */
  marks(guess) {
    return marksOf(whose(guess) ? guess : { ...guess, subject: this.whom }, new Marked(this.book.list));
  }

  /** Put suggestions into their rows anew. */
  sorted() {
    this.suggestions = this.weak ? this.all : this.all.filter((s) => s.score >= (this.thresholds[s.label]?.threshold ?? -Infinity));
    this.guesses = placed(this.suggestions, this.classes);
    this.timeline.renewed();
    this.told();
  }

  /** A proxy may be there now. */
  stateChanged() {
    const now = this.context.store.video(this.video.id);
    if (!now) return;
    const gained = !addressOf(this.video) && addressOf(now);
    this.video = now;
    this.stage.tell(now);
    if (gained) this.dispatchEvent(new Event("picture"));
  }

  /** Show what has changed with the next frame, once for all changes before it. */
  told() {
    if (this.chosen && !this.book.shown.has(this.chosen)) this.chosen = this.timeline.chosenLabel = null;
    this.frame ||= requestAnimationFrame(() => this.shown());
  }

  shown() {
    this.frame = 0;
    if (this.signal.aborted) return;
    this.counted = byPerson(this.book.list);
    this.people = everybody(this.subjects, this.counted);
    if (!this.people.includes(this.whom)) this.whom = ""; // the last label about somebody was undone
    if (this.label && this.label.subject !== this.whom) this.only = false; // what is chosen is seen
    this.timeline.waiting = new Set(this.book.pending.flatMap((e) => e.changes.map((c) => c.label.id)));
    this.timeline.setRows(laneRows(this.classes, this.list, this.guesses));
    this.ticked();
    this.timeline.now();
    this.dispatchEvent(new Event("change"));
  }

  ticked() {
    const { player, timeline } = this;
    const t = player.time;
    const now = [...this.book.list.filter((l) => l.start <= t && t <= Math.max(l.end, l.start + 0.3)).map(titleOf),
      ...this.suggestions.filter((s) => s.start <= t && t < s.end).map((s) => `${s.label}? ${score(s.score)}`)].slice(0, 4).join(", ");
    write(this.here, now);
    timeline.setTime(player.shown, `${clock(player.shown)}, frame ${player.frame}${now ? `, ${now}` : ""}`, player.speed !== 0);
  }

  /**
   * Choose a label or a suggestion, and go there.
   * @param {any} what null: nothing
   * @param {boolean} [go]
   */
  choose(what, go = true) {
    this.guess = this.timeline.guess = what?.found ? what : null;
    this.chosen = this.timeline.chosenLabel = what && !what.found ? what.id : null;
    if (what && go) this.go(what.start);
    this.told();
  }

  /** @param {number} time */
  go(time) {
    this.player.pause();
    this.player.seek(time + 1e-4); // a label lies on the frame that begins there, whatever rounding says
    if (time < this.timeline.range.start || time > this.timeline.range.end) {
      this.timeline.range.follow(time);
      this.timeline.moved();
    }
  }

  /** @param {[number, number]|null} selection */
  select(selection) {
    this.selection = this.timeline.selection = selection;
    this.timeline.changed();
    this.dispatchEvent(new Event("selection"));
  }

  /**
   * Show what is being marked.
   * @param {{label: string, start: number, end: number}|null} draft
   */
  draft(draft) {
    const own = draft && this.timeline.lanes.some((r) => r.label === draft.label && r.subject === whose({ subject: this.whom }));
    this.timeline.drafts = draft ? [{
      id: "draft", video: this.video.id, kind: draft.end > draft.start ? "segment" : "point", subject: own ? this.whom : "", note: "", author: "", ...draft,
    }] : [];
    this.timeline.changed();
  }

  /**
   * Picture and controls.
   * @param {Record<string, () => void>} actions
   */
  picture(actions) {
    const bar = transport(actions, this.signal, this.player);
    const tell = () => bar.select(this.selection);
    this.addEventListener("selection", tell);
    tell();
    return el("div", { class: "picture" }, this.stage.element, bar.element);
  }

  /**
   * The timeline and its tools.
   * @param {Record<string, () => void>} actions
   * @param {...Node} tools
   */
  below(actions, ...tools) {
    const zoom = el("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
      button("−", () => actions.wider(), { class: "icon", "aria-label": "Zoom out", title: "Zoom out (−)" }),
      button("+", () => actions.closer(), { class: "icon", "aria-label": "Zoom in", title: "Zoom in (+)" }),
      button("All", () => actions.fit(), { class: "small-button", title: "Show all (F)" }));
    return [el("div", { class: "tools" }, ...tools, el("span", { class: "gap" }), zoom),
      el("div", { class: "timeline-box" }, this.timeline.element)];
  }
}
