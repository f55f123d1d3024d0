/**
 * Questions whose answers help most, one key each. The next one is loaded while this one is looked at.
 * @module
 */
import { announce, button, el } from "../shared/js/dom.js";
import { clock, score } from "../shared/js/format.js";
import { listenToKeys } from "../shared/js/keys.js";
import { benchActions } from "./bench_actions.js";
import { classPalette } from "./class_palette.js";
import { hearClassKeys } from "./hold.js";
import { marking } from "./label_actions.js";
import { key } from "./label_view.js";
import { noQuestions } from "./no_questions.js";
import { peopleActions, peopleBar } from "./people_bar.js";
import { REASONS, reviewHold, WHOLE } from "./review_hold.js";
import { classKeys, REVIEWING } from "./shortcuts.js";
import { Workbench } from "./workbench.js";

/** @typedef {{id: string, video: string, start: number, end: number, label: string, score: number, reason: string, text: string}} Item */
/** @typedef {{bench: Workbench, stop: AbortController}} Ready */

/**
 * @param {import("./main.js").Context} context
 * @param {AbortSignal} signal
 * @returns {Promise<HTMLElement>}
 */
export async function reviewView(context, signal) {
  const review = new Review(context, signal);
  await review.refill();
  await review.show();
  return review.element;
}

class Review {
  /**
   * @param {import("./main.js").Context} context
   * @param {AbortSignal} signal
   */
  constructor(context, signal) {
    this.context = context;
    this.signal = signal;
    this.items = /** @type {Item[]} */ ([]);
    /** @type {Set<string>} */
    this.answered = new Set();
    /** @type {Map<string, Promise<Ready>>} by video */
    this.ready = new Map();
    /** @type {Item|null} */
    this.item = null;
    /** @type {Ready|null} */
    this.now = null;
    this.trained = this.moved = this.sought = false;
    this.asked = { start: 0, end: 0 };
    this.element = el("div", { class: "fill" });
    context.store.addEventListener("queue", () => void this.news(), { signal });
    context.store.addEventListener("labelled", (e) => /** @type {CustomEvent} */ (e).detail.author !== context.editor.author && context.store.asks(), { signal });
    context.editor.addEventListener("undone", (e) => this.undone(/** @type {CustomEvent} */ (e).detail), { signal });
    signal.addEventListener("abort", () => this.ready.forEach((r) => void r.then(({ stop }) => stop.abort())));
    const whole = () => (this.item?.reason === WHOLE ? this.marks : null);
    this.hold = reviewHold(whole, (label) => this.answer({ answer: "other", label, ...this.bounds() }, `It is ${label}`));
    /** @type {import("./hold.js").Hold|null} of the video that is watched as a whole */
    this.marks = null;
    this.classes = classPalette(this.hold, signal, "It is this class");
    this.keys = new Map();
    const named = () => {
      const { classes } = context.store.project;
      const own = classKeys(classes);
      this.keys = new Map(classes.map((c, i) => [own[i], c.name]));
      this.classes.set(classes.map((c, i) => ({ name: c.name, key: own[i] })));
    };
    context.store.addEventListener("project", named, { signal });
    named();
    hearClassKeys(() => (this.item ? this.keys : new Map()), this.hold, signal);
    this.actions = /** @type {Record<string, () => void>} */ ({});
    listenToKeys(new Proxy({}, { get: (_, name) => this.actions[String(name)] }), signal, REVIEWING);
  }

  async refill() {
    const { items, revision } = await this.context.store.kept("/api/queue");
    this.trained = revision > 0;
    if (this.gone) this.gone.hidden = !this.item || items.some((/** @type {Item} */ i) => i.id === this.item?.id);
    const current = this.item ? [this.item] : [];
    this.items = [...current, ...items.filter((/** @type {Item} */ i) => !this.answered.has(i.id) && i.id !== this.item?.id)];
  }

  /** There are other questions now; the one that is looked at stays. */
  async news() {
    try {
      await this.refill();
    } catch {
      return; // the list of before goes on
    }
    if (this.signal.aborted) return;
    if (!this.item) await this.show();
    else this.counted();
  }

  /** @param {import("./history.js").Step & {way: string}} step whose question is asked again, or not any more */
  undone({ answer, way }) {
    if (!answer) return;
    const { item } = answer;
    this.items = this.items.filter((i) => i.id !== item.id);
    if (way === "redo") this.answered.add(item.id);
    else this.answered.delete(item.id);
    if (way === "undo") this.items.unshift(item);
    void this.show();
  }

  /** @param {string} video @returns {Promise<Ready>} */
  prepare(video) {
    let found = this.ready.get(video);
    if (!found) {
      const stop = new AbortController();
      found = this.context.store.book(video).then((book) => {
        const known = this.context.store.video(video);
        if (!known) throw new Error(`the question is about a video that is gone: ${video}`);
        const bench = new Workbench(this.context, known, book, stop.signal);
        bench.timeline.addEventListener("moved", (e) => this.setBounds(/** @type {CustomEvent} */ (e).detail));
        bench.timeline.addEventListener("seek", () => (this.sought = true));
        return { bench, stop };
      });
      this.ready.set(video, found);
      found.catch(() => this.ready.delete(video));
    }
    return found;
  }

  /** Show the first question, or that there is none. */
  async show() {
    this.item = this.items[0] || null;
    this.moved = this.sought = false;
    if (!this.item) {
      this.actions = {};
      this.now?.bench.player.pause();
      this.now = null;
      this.element.replaceChildren(noQuestions(this.context.store, this.answered.size, this.trained));
      return;
    }
    const item = this.item;
    const before = this.now;
    const now = await this.prepare(item.video);
    if (this.signal.aborted || this.item !== item) return;
    this.now = now;
    if (before && before !== now) this.letGo(before);
    if (before !== now) this.build(now.bench);
    this.ask(item, now.bench);
    const next = this.items[1];
    if (next) void this.prepare(next.video).catch(() => undefined);
  }

  /** @param {Ready} before a video that is not looked at any more, unless it comes next */
  letGo(before) {
    before.bench.player.pause();
    if (this.items.slice(0, 3).some((i) => i.video === before.bench.video.id)) return;
    before.stop.abort();
    this.ready.delete(before.bench.video.id);
  }

  /** @param {Workbench} bench */
  build(bench) {
    const answers = (/** @type {string} */ text, /** @type {string} */ press, /** @type {() => void} */ act, kind = "") =>
      el("button", { type: "button", class: `answer ${kind}`, "aria-keyshortcuts": press, on: { click: act } }, el("kbd", { text: press, "aria-hidden": "true" }), text);
    const actions = (this.actions = this.actionsOf(bench));
    this.marks = marking(bench, this.context.editor);
    this.place = el("div", { class: "question" });
    this.gone = el("p", { class: "small faint", hidden: true, text: "This is asked no more: labels or suggestions have changed. Answer it, or go on with S." });
    this.left = el("span", { class: "small faint", role: "status" });
    this.accept = answers("Accept", "A", actions.accept, "main");
    [this.move, this.nothing] = [answers("Move here", "M", actions.move), answers("Nothing", "X", actions.nothing)];
    this.which = el("h2", { class: "small-head" });
    const side = el("div", { class: "side review-side" }, this.place,
      el("div", { class: "answers", role: "group", "aria-label": "Answers" },
        this.accept, answers("Reject", "R", actions.reject), this.move, this.nothing),
      peopleBar(bench), this.which, this.classes.element,
      el("div", { class: "side-foot" }, button("Play again", actions.playChosen, { class: "small-button", title: "Play it again (P)" }),
        button("Not now", actions.skip, { class: "small-button quiet", title: "The next question (S)" }), el("span", { class: "gap" }), this.left));
    this.element.replaceChildren(el("div", { class: "result studio-label" },
      el("div", { class: "result-head" }, el("h1", { class: "file-name", text: bench.video.name, title: bench.video.name }), el("span", { class: "gap" }),
        el("a", { class: "button small-link", href: `#/label/${encodeURIComponent(bench.video.id)}`, text: "Open this video" })),
      el("div", { class: "stage" }, bench.picture(actions), side),
      ...bench.below(actions, el("span", { class: "legend-studio small faint" }, key("asked", "what is asked"), key("full", "label"), key("guess", "suggestion"), key("wave", "activation")))));
  }

  /**
   * @param {Item} item
   * @param {Workbench} bench
   */
  ask(item, bench) {
    const times = item.end > item.start ? `${clock(item.start)} – ${clock(item.end)}` : clock(item.start);
    if (this.gone) this.gone.hidden = true;
    const found = Number.isFinite(item.score) ? `Suggested with score ${score(item.score)}` : null;
    this.place?.replaceChildren(
      el("div", { class: "inspector-row" }, el("span", { class: "chip on", text: REASONS[item.reason] || item.reason, title: found }), el("span", { class: "number small faint", text: times })),
      el("h2", { text: item.label ? `${item.label}?` : item.reason === WHOLE ? "Is that all?" : "What happens here?", title: item.label || null }),
      el("p", { text: item.text.charAt(0).toUpperCase() + item.text.slice(1) }), this.gone);
    const whole = item.reason === WHOLE;
    if (this.accept?.lastChild && this.move && this.nothing && this.which) {
      [this.accept.disabled, this.move.disabled, this.accept.lastChild.textContent] = [!item.label && !whole, !item.label, whole ? "That is all" : "Accept"];
      this.move.hidden = this.nothing.hidden = whole;
      this.which.textContent = whole ? "Mark what is missing" : item.label ? "It is another action" : "It is this action";
    }
    if (this.place) this.place.dataset.question = item.id;
    this.put(item);
    const margin = whole ? 0 : Math.max((item.end - item.start) * 1.5, 4);
    bench.timeline.range.set(item.start - margin, item.end + margin);
    bench.timeline.moved();
    bench.player.seek(Math.max(item.start - 0.5, 0));
    bench.player.play(1, Math.min(Math.max(item.end, item.start + 1) + 0.5, bench.player.duration));
    this.counted();
    announce(`${REASONS[item.reason] || item.reason} ${item.label}, ${times}. ${item.text}`);
  }

  /** @param {{start: number, end: number}} bounds draw what is asked: a bar of its class, or a range where that is not known */
  put({ start, end }) {
    if (!this.now || !this.item) return;
    const { bench } = this.now;
    this.asked = { start, end };
    bench.timeline.selection = this.item.label || this.item.reason === WHOLE ? null : [start, end];
    bench.timeline.drafts = !this.item.label ? [] : [{ id: "asked", video: this.item.video, kind: end > start ? "segment" : "point", start, end, label: this.item.label, subject: "", note: "", author: "" }];
    bench.timeline.chosenLabel = "asked";
    bench.timeline.changed();
  }

  /** @param {{start: number, end: number}} bounds */
  setBounds(bounds) {
    this.moved = true;
    this.put(bounds);
  }

  /** Bounds that were set, or the moment that was sought; none where the question was only looked at. */
  bounds() {
    const bench = this.now?.bench;
    if (this.moved) return this.asked;
    if (!this.sought || !bench) return {};
    const start = bench.player.startOf(bench.player.frame);
    return { start, end: start };
  }

  counted() {
    if (this.left) this.left.textContent = `${this.items.length} left · ${this.answered.size} answered`;
  }

  /**
   * Answer, and go on at once.
   * @param {Record<string, unknown>} answer
   * @param {string} said
   */
  answer(answer, said) {
    const item = this.item;
    if (!item) return;
    this.context.editor.answer(item, this.now?.bench.whom ? { ...answer, subject: this.now.bench.whom } : answer, said);
    this.answered.add(item.id);
    announce(said);
    this.items.shift();
    void this.show().then(() => this.items.length < 3 && this.context.store.soon("queue", () => this.news()));
  }

  /** @param {Workbench} bench @returns {Record<string, () => void>} */
  actionsOf(bench) {
    const { player } = bench;
    const draft = () => this.asked;
    const item = () => /** @type {Item} */ (this.item);
    return {
      ...benchActions(bench), ...peopleActions(bench, this.context.editor),
      accept: () => item().reason === WHOLE ? this.answer({ answer: "accept" }, "Done: what has no label counts as background") : !item().label ? announce("Press the key of the action that happens here") : this.answer(this.moved ? { answer: "move", ...this.bounds() } : { answer: "accept" }, "Accepted"),
      reject: () => this.answer({ answer: "reject" }, "Rejected"),
      nothing: () => this.answer({ answer: "nothing" }, "Nothing happens here"),
      move: () => {
        if (!item().label) return announce("Press the key of the action that happens here");
        this.sought = true;
        this.answer({ answer: "move", ...this.bounds() }, "Moved");
      },
      skip: () => {
        this.items.push(/** @type {Item} */ (this.items.shift()));
        void this.show();
      },
      playChosen: () => {
        player.seek(Math.max(draft().start - 0.5, 0));
        player.play(1, Math.max(draft().end, draft().start + 1) + 0.5);
      },
      markStart: () => this.bound("start", player.startOf(player.frame)),
      markEnd: () => this.bound("end", player.endOf(player.frame)),
      previous: () => bench.go(draft().start),
      next: () => bench.go(draft().end),
      unmark: () => this.item && this.ask(this.item, bench),
      fitChosen: () => this.item && this.ask(this.item, bench),
    };
  }

  /**
   * @param {"start"|"end"} which
   * @param {number} time
   */
  bound(which, time) {
    const next = { ...this.asked, [which]: time };
    if (next.end > next.start) this.setBounds(next);
    else announce("It cannot end before it begins");
  }
}
