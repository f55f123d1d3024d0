/**
 * The token of this session: in the address that `tal studio` prints, then in a cookie that scripts cannot read.
 * @module
 */
import { button, el, show } from "../shared/js/dom.js";

/** What the API asks for where the cookie is missing or old. */
export class Session {
  constructor() {
    this.value = "";
    /** @type {Record<string, string>} */
    this.headers = {};
    /** @type {Promise<boolean>|null} */
    this.asking = null;
    /** Somebody does not want to be asked now. */
    this.declined = false;
  }

  /** Ask for the address once for all requests that fail. @returns {Promise<boolean>} */
  renew() {
    if (this.declined) return Promise.resolve(false);
    this.asking ??= ask().then((found) => {
      this.declined = !found;
      return found;
    }).finally(() => (this.asking = null));
    return this.asking;
  }
}

async function ask() {
  const input = el("input", { id: "token", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-why" });
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "token-title" });
  dialog.append(el("form", { method: "dialog" }, el("h2", { id: "token-title", text: "This page does not know its token" }),
    el("p", { id: "token-why", text: "Open the address that tal studio printed when it started, or paste that address here. What is not saved yet stays in this browser." }),
    el("div", { class: "field" }, el("label", { for: "token", text: "Address or token" }), input),
    el("div", { class: "buttons" }, button("Not now", () => dialog.close(""), { class: "quiet" }),
      el("button", { type: "submit", class: "main", value: "ok", text: "Open" }))));
  if (await show(dialog) !== "ok") return false;
  const token = /[?&]token=([^&#\s]+)/.exec(input.value)?.[1] || encodeURIComponent(input.value.trim());
  location.replace(`./?token=${token}${location.hash}`);
  return new Promise(() => undefined); // the page is loaded anew
}
