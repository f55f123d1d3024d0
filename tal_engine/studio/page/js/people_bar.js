/**
 * The people of a video: whom new labels are about, and whether only theirs are shown. Hidden where nobody is known.
 * @module
 */
import { announce, button, el, write } from "../shared/js/dom.js";
import { clock, count } from "../shared/js/format.js";
import { whose } from "./lane_rows.js";

/** @typedef {import("./workbench.js").Workbench} Workbench */

/** @param {string} name a person, or "" for nobody in particular */
export const called = (name) => whose({ subject: name }) || "anybody";

/**
 * @param {Workbench} bench
 * @returns {HTMLElement}
 */
export function peopleBar(bench) {
  const chips = el("div", { class: "people-chips", role: "group", "aria-label": "Whom new labels are about", "aria-keyshortcuts": "w" });
  const only = el("input", { type: "checkbox", id: "only-theirs", on: { change: () => {
    bench.show(only.checked);
    only.blur();
  } } });
  const theirs = el("span");
  const element = el("div", { class: "people", hidden: true }, el("div", { class: "small-head", text: "Labels are about", "aria-hidden": "true" }),
    el("label", { class: "check small", for: "only-theirs" }, only, theirs), chips);
  let shown = "";
  /** @type {Map<string, {press: HTMLElement, number: HTMLElement}>} */
  let made = new Map();

  function build() {
    made = new Map();
    chips.replaceChildren(...["", ...bench.people].map((name) => {
      const seen = bench.subjects.find((s) => s.name === name);
      const when = seen && seen.first !== null && seen.last !== null ? `, seen from ${clock(seen.first)} to ${clock(seen.last)}` : "";
      const number = el("span", { class: "row-count" });
      const press = button("", () => bench.about(name), { class: "person", title: `New labels are about ${called(name)}${when} (W: the next person)` });
      press.append(el("span", { class: "person-name", text: name ? called(name) : "Anybody" }), number);
      made.set(name, { press, number });
      return press;
    }));
  }

  function tell() {
    element.hidden = !bench.people.length;
    if (element.hidden) return;
    const now = JSON.stringify([bench.people, bench.subjects]);
    if (now !== shown) build();
    shown = now;
    for (const [name, { press, number }] of made) {
      press.setAttribute("aria-pressed", String(name === bench.whom));
      write(number, String(bench.counted.get(name) || 0));
    }
    only.disabled = !bench.whom;
    only.checked = bench.only && Boolean(bench.whom);
    write(theirs, bench.whom ? `Only labels about ${called(bench.whom)}` : "Only theirs");
  }

  bench.addEventListener("change", tell);
  tell();
  return element;
}

/**
 * What keys do with people.
 * @param {Workbench} bench
 * @param {import("./editor.js").Editor} editor
 * @returns {Record<string, () => void>}
 */
export function peopleActions(bench, editor) {
  /** @param {string} now @returns {string|null} who comes next of those that can be seen here */
  function after(now) {
    const t = bench.player.time;
    const here = bench.people.filter((name) => {
      const seen = bench.subjects.find((s) => s.name === name);
      return name === now || !seen || seen.first === null || seen.last === null || (seen.first <= t && t <= seen.last);
    });
    if (bench.people.length) return ["", ...here][(here.indexOf(now) + 2) % (here.length + 1)];
    announce("No persons are known in this video");
    return null;
  }

  return {
    whom() {
      const next = after(bench.whom);
      if (next !== null) bench.about(next);
    },
    give() {
      const { label } = bench;
      if (!label || label.kind === "nothing") return announce("Choose a label first: its person is changed");
      const next = after(label.subject);
      if (next === null) return;
      editor.change(bench.book, label.id, { subject: next });
      announce(`${label.label} is about ${called(next)}`);
    },
  };
}

/**
 * A choice of who does what a label says; null where nobody is known.
 * @param {Workbench} bench
 * @param {import("./book.js").Label} label
 * @param {(subject: string) => void} give
 * @param {() => void} other somebody who is not in the list
 */
export function personChoice(bench, label, give, other) {
  if (label.kind === "nothing" || (!bench.people.length && !label.subject)) return null;
  const names = ["", ...bench.people, ...(label.subject && !bench.people.includes(label.subject) ? [label.subject] : [])];
  const choice = el("select", { "aria-label": "Who does it", class: "short", title: "Who does it (Shift W: the next person)", on: { change: () => {
    choice.blur();
    if (choice.selectedIndex < names.length) give(names[choice.selectedIndex]);
    else other();
  } } }, ...names.map((name) => el("option", { text: name ? called(name) : "Anybody", selected: name === label.subject })),
  el("option", { text: "Somebody else …" }));
  return choice;
}

/**
 * How many labels are about each person.
 * @param {import("./book.js").Label[]} labels
 * @returns {Map<string, number>} by name, "" for nobody in particular
 */
export function byPerson(labels) {
  const found = new Map();
  for (const l of labels) if (l.kind !== "nothing") found.set(l.subject, (found.get(l.subject) || 0) + 1);
  return found;
}

/**
 * Everybody that labels can be about: those that the server knows, then others in the order of numbers and names.
 * @param {{name: string}[]} subjects
 * @param {Map<string, number>} counted
 */
export function everybody(subjects, counted) {
  const known = subjects.map((s) => s.name);
  const others = [...counted.keys()].filter((name) => name && !known.includes(name));
  return [...known, ...others.sort((a, b) => a.localeCompare(b, "en", { numeric: true }))];
}

/** @param {{total: number, shown: number}} labels */
export function shownOf({ total, shown }) {
  return shown === total ? count(total, "label") : `${shown.toLocaleString("en")} of ${count(total, "label")}`;
}
