/**
 * What the page knows of the project, kept up to date by the server's events.
 * @module
 */
import { listen } from "../shared/js/sse.js";
import { Book } from "./book.js";

/** @typedef {{name: string, key: string, color?: string}} Class */
/**
 * @typedef {object} Video
 * @property {string} id
 * @property {string} name
 * @property {number} duration seconds
 * @property {number} fps
 * @property {number} frames
 * @property {number} width
 * @property {number} height
 * @property {string} codec
 * @property {boolean} playable
 * @property {"none"|"making"|"ready"|"failed"} proxy
 * @property {number} progress of the proxy
 * @property {Record<string, {points: number, segments: number}>} labels
 * @property {boolean} held_out
 * @property {boolean} done
 * @property {string} [note]
 * @property {{title: string, detail: string}|null} problem
 * @property {number} suggestions
 */
/** @typedef {{start: number, end: number, label: string, score: number, subject?: string|number|null}} Suggestion */
/** @typedef {{name: string, source: "pose"|"project"|"labels", first: number|null, last: number|null}} Subject a person, and when it is seen */
/** @typedef {{revision: number, segments: Suggestion[], curves: Record<string, number[]>|null}} Suggested */

/** Milliseconds within which several news of one kind are fetched once. */
const SOON = 250;

/** Tells `project`, `videos`, `training`, `suggestions`, `queue`, `waiting`, `labelled` (detail: the event), `renamed` (detail: classes), `measures`, `problem`, `came` (detail: names of new videos), `connection`. */
export class Store extends EventTarget {
  /** @param {import("../shared/js/api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
    /** @type {{id: string, name: string, classes: Class[], people: string[], revision?: number, conflicts?: number, problems?: string[], exports?: {name: string}[]}} */
    this.project = { id: "", name: "", classes: [], people: [] };
    /** @type {Video[]} */
    this.videos = [];
    /** @type {any} */
    this.training = { state: "idle" };
    /** @type {Map<string, Book>} of videos that were opened */
    this.books = new Map();
    /** @type {Map<string, Promise<any>>} answers that hold until an event says otherwise */
    this.answers = new Map();
    /** @type {number|null} questions; null before they were read */
    this.waiting = null;
    this.connected = true;
    /** Whom labels are about, from one video to the next. */
    this.whom = "";
    /** @type {Map<string, ReturnType<typeof setTimeout>>} */
    this.timers = new Map();
  }

  /** @param {string} name */
  tell(name) {
    this.dispatchEvent(new Event(name));
  }

  /** Read what every view needs. */
  async start() {
    const [project, videos, training] = await Promise.all(["project", "videos", "training"].map((p) => this.api.json(`/api/${p}`)));
    Object.assign(this, { project, videos: videos.videos, training });
  }

  /** Count the questions. */
  async readWaiting() {
    this.waiting = (await this.kept("/api/queue")).items.length;
    this.tell("waiting");
  }

  /** @param {string} id */
  video(id) {
    return this.videos.find((v) => v.id === id) || null;
  }

  /**
   * Name the classes.
   * @param {{name: string, key: string, former?: string}[]} classes
   */
  async setClasses(classes) {
    await this.api.request("/api/project/classes", { method: "PUT", json: classes });
    const renamed = new Map(classes.filter((c) => c.former && c.former !== c.name).map((c) => [c.former, c.name]));
    this.dispatchEvent(new CustomEvent("renamed", { detail: renamed }));
    await this.readProject();
    await Promise.all([...this.books.values()].map((book) => this.readLabels(book)));
  }

  async readProject() {
    this.project = await this.api.json("/api/project");
    this.tell("project");
  }

  async readVideos() {
    this.videos = (await this.api.json("/api/videos")).videos;
    this.tell("videos");
  }

  /**
   * Say something of a video.
   * @param {Video} video
   * @param {{done?: boolean, note?: string}} what
   */
  async setVideo(video, what) {
    await this.api.request(`/api/videos/${encodeURIComponent(video.id)}`, { method: "PATCH", json: what });
    Object.assign(video, what);
    this.tell("videos");
    void this.readVideos().catch(() => undefined);
  }

  /**
   * The labels of a video, from the server at first.
   * @param {string} id
   * @returns {Promise<Book>}
   */
  async book(id) {
    const known = this.books.get(id);
    if (known && known.revision >= 0) return known;
    const book = known || new Book(id);
    this.books.set(id, book);
    await this.readLabels(book);
    return book;
  }

  /** @param {Book} book */
  async readLabels(book) {
    const { revision, labels } = await this.api.json(`/api/videos/${encodeURIComponent(book.video)}/labels`);
    book.load(revision, labels);
  }

  /**
   * An answer that is kept until an event makes it old.
   * @param {string} path
   * @returns {Promise<any>}
   */
  kept(path) {
    let found = this.answers.get(path);
    if (!found) {
      found = this.api.json(path);
      this.answers.set(path, found);
      found.catch(() => this.answers.delete(path));
    }
    return found;
  }

  /** @param {string} start of paths whose answers are old */
  old(start) {
    for (const path of this.answers.keys()) if (path.startsWith(start)) this.answers.delete(path);
  }

  /** @param {string} id @returns {Promise<Suggested>} */
  suggested(id) {
    return this.kept(`/api/suggestions?video=${encodeURIComponent(id)}`);
  }

  /** @param {string} id @returns {Promise<{times: number[]}>} */
  frames(id) {
    return this.kept(`/api/videos/${encodeURIComponent(id)}/frames`);
  }

  /** Other questions are asked now. */
  asks() {
    this.old("/api/queue");
    this.soon("asks", () => this.tell("queue"));
  }

  /** @param {string} id @returns {Promise<{subjects: Subject[], problem: {title: string, detail: string}|null}>} */
  subjects(id) {
    return this.api.json(`/api/videos/${encodeURIComponent(id)}/subjects`);
  }

  /**
   * Do something a moment later, and once for all of the moment.
   * @param {string} name
   * @param {() => Promise<unknown>|void} what
   */
  soon(name, what) {
    if (this.timers.has(name)) return;
    this.timers.set(name, setTimeout(() => {
      this.timers.delete(name);
      Promise.resolve(what()).catch(() => undefined); // the next event, or the view itself, asks again
    }, SOON));
  }

  /**
   * Follow the server's events up to the end of the page.
   * @param {AbortSignal} signal
   */
  async follow(signal) {
    for await (const { event, data } of listen(this.api, "/api/events", signal)) {
      if (event === "lost" || event === "back") this.connection(event === "back");
      else this.take(event, data ? JSON.parse(data) : {});
    }
  }

  /** @param {boolean} there */
  connection(there) {
    this.connected = there;
    this.tell("connection");
    if (!there) return;
    this.answers.clear();
    this.soon("videos", () => this.readVideos());
    this.soon("project", () => this.readProject());
    for (const book of this.books.values()) this.soon(`labels ${book.video}`, () => this.readLabels(book));
    for (const name of ["suggestions", "queue", "measures"]) this.tell(name);
    this.soon("training", async () => this.train(await this.api.json("/api/training")));
  }

  /** @param {any} training */
  train(training) {
    this.training = training;
    this.tell("training");
  }

  /**
   * @param {string} event
   * @param {any} data
   */
  take(event, data) {
    if (event === "training") {
      this.train({ ...this.training, ...data });
      if (["idle", "failed"].includes(data.state)) this.soon("training", async () => this.train(await this.api.json("/api/training")));
    }
    else if (event === "labels") this.labelled(data);
    else if (event === "suggestions") {
      this.old("/api/suggestions");
      this.old("/api/queue");
      this.tell("suggestions");
      this.tell("queue");
      this.soon("videos", () => this.readVideos());
    } else if (event === "proxy") {
      const video = this.video(data.video);
      if (!video) return;
      const { state, proxy = state, progress = video.progress } = data;
      Object.assign(video, { proxy: proxy || video.proxy, progress });
      this.tell("videos");
      if (video.proxy !== "making") this.soon("videos", () => this.readVideos());
    } else if (event === "measures") {
      this.old("/api/measures");
      this.old("/api/thresholds");
      this.tell("measures");
    } else if (event === "project") {
      this.old("/api/thresholds");
      this.soon("project", () => this.readProject());
      this.soon("videos", () => this.readVideos());
    } else if (event === "videos") {
      this.dispatchEvent(new CustomEvent("came", { detail: data }));
      this.soon("videos", () => this.readVideos());
      this.soon("project", () => this.readProject());
    } else if (event === "gap") this.connection(true);
    else if (event === "problem") this.dispatchEvent(new CustomEvent("problem", { detail: data }));
  }

  /** @param {{video: string, revision: number}} data */
  labelled(data) {
    const { video, revision } = data;
    this.dispatchEvent(new CustomEvent("labelled", { detail: data }));
    const book = this.books.get(video);
    if (book) {
      book.heard = Math.max(book.heard, revision);
      // Several events share one look: the newest of them counts when it is made.
      this.soon(`labels ${video}`, () => (book.revision < book.heard ? this.readLabels(book) : undefined));
    }
    this.soon("videos", () => this.readVideos());
  }
}
