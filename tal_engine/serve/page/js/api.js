/**
 * Requests to the service. Errors are problem details (RFC 9457); a missing token is asked for.
 * @module
 */

/** What went wrong, as the service says it. */
export class Problem extends Error {
  /**
   * @param {{title?: string, detail?: string, type?: string}} document
   * @param {number} status 0: there was no answer
   * @param {number} [retryAfter] seconds
   */
  constructor(document, status, retryAfter = 0) {
    super(document.detail || document.title || `status ${status}`);
    this.title = document.title || `The service answered with status ${status}`;
    this.detail = document.detail || "";
    this.kind = (document.type || "").split("/").pop() || "";
    this.status = status;
    /** @type {any} all that the service said of it */
    this.document = document;
    this.retryAfter = retryAfter;
  }

  /** Whether the same may succeed later. */
  get passes() {
    return [0, 408, 429].includes(this.status) || this.status >= 500;
  }

  /** There was no answer. */
  static unreachable() {
    const detail = "It may have stopped, or the network is down. What it has accepted is not lost.";
    return new Problem({ title: "The service cannot be reached", detail }, 0);
  }

  /**
   * Read the problem of an answer.
   * @param {number} status
   * @param {string} text
   * @param {string|null} retryAfter
   */
  static of(status, text, retryAfter) {
    let document = {};
    try {
      document = JSON.parse(text);
    } catch {
      // an answer of something between the service and us
    }
    return new Problem(document, status, Number(retryAfter) || 0);
  }
}

/** @typedef {{method?: string, json?: unknown, signal?: AbortSignal, headers?: Record<string, string>}} Asked */

/** The service behind this page. */
export class Api {
  /** @param {import("./token.js").Tokens} tokens */
  constructor(tokens) {
    this.tokens = tokens;
  }

  /**
   * Ask, and return the answer if it is a good one.
   * @param {string} path
   * @param {Asked} [asked]
   * @returns {Promise<Response>}
   * @throws {Problem}
   */
  async request(path, asked = {}) {
    for (;;) {
      const used = this.tokens.value;
      const headers = { ...asked.headers, ...this.tokens.headers };
      /** @type {RequestInit} */
      const init = { method: asked.method || "GET", headers, signal: asked.signal, cache: "no-store" };
      if (asked.json !== undefined) {
        init.body = JSON.stringify(asked.json);
        headers["Content-Type"] = "application/json";
      }
      let answer;
      try {
        answer = await fetch(path, init);
      } catch (error) {
        throw asked.signal?.aborted ? error : Problem.unreachable();
      }
      if (answer.ok) return answer;
      const problem = Problem.of(answer.status, await answer.text(), answer.headers.get("Retry-After"));
      if (answer.status !== 401 || !(await this.tokens.renew(used))) throw problem;
    }
  }

  /**
   * Ask for JSON.
   * @param {string} path
   * @param {Asked} [asked]
   * @returns {Promise<any>}
   * @throws {Problem}
   */
  async json(path, asked) {
    const answer = await this.request(path, asked);
    return answer.status === 204 ? null : answer.json();
  }

  /**
   * Send a file; fetch cannot tell how far an upload is.
   * @param {string} path
   * @param {File} file
   * @param {(sent: number) => void} progress called with bytes
   * @param {AbortSignal} signal
   * @param {Record<string, string>} [headers]
   * @returns {Promise<any>}
   * @throws {Problem}
   */
  async upload(path, file, progress, signal, headers = {}) {
    for (;;) {
      const used = this.tokens.value;
      const { status, text, retryAfter } = await send(path, file, { ...headers, ...this.tokens.headers }, progress, signal);
      if (status >= 200 && status < 300) return JSON.parse(text);
      if (status !== 401 || !(await this.tokens.renew(used))) throw Problem.of(status, text, retryAfter);
    }
  }
}

/**
 * @param {string} path
 * @param {File} file
 * @param {Record<string, string>} headers
 * @param {(sent: number) => void} progress
 * @param {AbortSignal} signal
 * @returns {Promise<{status: number, text: string, retryAfter: string|null}>}
 */
function send(path, file, headers, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () =>
      resolve({ status: request.status, text: request.responseText, retryAfter: request.getResponseHeader("Retry-After") });
    request.onerror = () => reject(Problem.unreachable());
    request.onabort = () => reject(new DOMException("The upload was cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Whether an error only says that somebody cancelled.
 * @param {unknown} error
 */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
