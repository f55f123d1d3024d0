/**
 * Elements without HTML: texts of services and files only ever become text.
 * @module
 */

/**
 * @typedef {Object<string, unknown>} Properties
 * `class`, `text`, `on` (listeners by event), and attributes; false and null leave an attribute out, true sets it empty.
 */

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} [properties]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(/** @type {object} */ (value))) element.addEventListener(event, listener);
    } else if (name === "text") element.textContent = String(value);
    else if (name === "class") element.className = String(value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * Make a button.
 * @param {string} text
 * @param {(event: Event) => void} press
 * @param {Properties} [properties]
 */
export function button(text, press, properties = {}) {
  return el("button", { type: "button", text, ...properties, on: { click: press } });
}

/**
 * Write a text where another one is: writing alone makes the browser lay the page out.
 * @param {Element} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @type {ReturnType<typeof setTimeout>|undefined} */
let clearing;

/**
 * Tell readers of screens something, politely.
 * @param {string} text
 */
export function announce(text) {
  const place = document.getElementById("said");
  if (!place) return;
  place.textContent = text;
  clearTimeout(clearing);
  clearing = setTimeout(() => (place.textContent = ""), 5000);
}

/**
 * Show a dialog until it is closed; focus goes back to where it was.
 * @param {HTMLDialogElement} dialog
 * @returns {Promise<string>} the dialog's return value
 */
export function show(dialog) {
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.showModal();
  dialog.scrollTop = 0; // the focus may lie below what is seen
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before instanceof HTMLElement) before.focus();
      resolve(dialog.returnValue);
    });
  });
}

/**
 * Hand a file to the user.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
