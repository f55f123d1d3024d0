/**
 * Server-sent events by fetch: `EventSource` can send no token, and hides why it failed.
 * @module
 */
import { Problem } from "./api.js";

/** @typedef {{event: string, id: string, data: string}} Message */

/** Puts pieces of an event stream together. */
export class Parser {
  constructor() {
    this.rest = "";
    this.event = "";
    this.id = "";
    /** @type {string[]} */
    this.data = [];
  }

  /**
   * Take a piece, and return the messages that are complete with it.
   * @param {string} text
   * @returns {Message[]}
   */
  take(text) {
    const found = [];
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() || "";
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (this.data.length) found.push({ event: this.event || "message", id: this.id, data: this.data.join("\n") });
        this.event = "";
        this.data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue; // a comment, which keeps the connection open
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") this.data.push(value);
      else if (field === "event") this.event = value;
      else if (field === "id") this.id = value;
    }
    return found;
  }
}

/**
 * Read events up to `end`; a connection that breaks is made anew, from the last known event on.
 * Between the service's own events come `lost` and `back`.
 * @param {import("./api.js").Api} api
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Message>}
 * @throws {Problem} the service refuses
 */
export async function* listen(api, path, signal) {
  let last = "";
  let tries = 0;
  while (!signal.aborted) {
    try {
      const headers = /** @type {Record<string, string>} */ (last ? { "Last-Event-ID": last } : {});
      const answer = await api.request(path, { signal, headers: { ...headers, Accept: "text/event-stream" } });
      if (tries) yield { event: "back", id: last, data: "" };
      const parser = new Parser();
      const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        for (const message of parser.take(decoder.decode(value, { stream: true }))) {
          tries = 0;
          last = message.id || last;
          yield message;
          if (message.event === "end") return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status && ![429, 503].includes(error.status)) throw error;
    }
    if (!tries) yield { event: "lost", id: last, data: "" };
    tries += 1;
    await pause(Math.min(500 * 2 ** tries, 10000), signal);
  }
}

/**
 * Wait, or until it is not wanted any more.
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
