/**
 * The token of a service that wants one: asked for once, kept until the tab is closed.
 * @module
 */
import { button, el, show } from "./dom.js";

const KEY = "tal.token";

/** Keeps the token, and asks for it. */
export class Tokens {
  constructor() {
    this.value = sessionStorage.getItem(KEY) || "";
    /** @type {Promise<boolean>|null} */
    this.asking = null;
  }

  /** What requests carry. */
  get headers() {
    return /** @type {Record<string, string>} */ (this.value ? { Authorization: `Bearer ${this.value}` } : {});
  }

  /**
   * Get another token than the one that was refused; several requests share one question.
   * @param {string} refused
   * @returns {Promise<boolean>} whether there is one
   */
  renew(refused) {
    if (this.value !== refused) return Promise.resolve(true);
    this.asking ??= this.ask(refused !== "").finally(() => (this.asking = null));
    return this.asking;
  }

  /**
   * @param {boolean} wrong a token was refused
   * @returns {Promise<boolean>}
   */
  async ask(wrong) {
    const input = el("input", {
      type: "password", id: "token", autocomplete: "off", required: true, spellcheck: "false",
      pattern: "[\\x21-\\x7e]+", title: "Printable characters without blanks", "aria-describedby": "token-why",
    });
    const dialog = el("dialog", { class: "dialog", "aria-labelledby": "token-title" });
    const form = el("form", { method: "dialog" },
      el("h2", { id: "token-title", text: "This service needs a token" }),
      el("p", { id: "token-why", class: wrong ? "bad" : "", role: wrong ? "alert" : null, text: wrong
        ? "The service does not know this token. Check it, and try again."
        : "Its operator has it (--token-file, TAL_SERVE_TOKENS). It stays in this tab until the tab is closed." }),
      el("label", { for: "token", text: "Token" }), input,
      el("div", { class: "buttons" },
        button("Not now", () => dialog.close(""), { class: "quiet" }),
        el("button", { type: "submit", class: "main", value: "ok", text: "Use token" })));
    dialog.append(form);
    const said = await show(dialog);
    if (said !== "ok") return false;
    this.value = input.value.trim();
    sessionStorage.setItem(KEY, this.value);
    return true;
  }
}
