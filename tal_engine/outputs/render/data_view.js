"use strict";
// Draws the timelines of data_view.html. Only videos in sight have a canvas; filters recount everything and redraw those.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const ROW = 12, GAP = 6, AXIS = 16, LABELS = 150, LANES = 4, CLASSES = 12;
const MISSED = data.kinds.length, FOUND = MISSED + 1;
const NAMES = [...data.kinds, "instance missed", "instance found"];
const COLOURS = [...data.kinds.map((k) => data.colours[k]), "var(--ink)", "var(--ink)"];
const state = { kinds: new Set(NAMES.keys()), classes: new Set(data.classes.keys()), score: -Infinity, text: "", order: "file", zoom: 1 };
let entries = [], shown = [], now = -1, chosen = null;

// --- what is shown

function kindOfTruth(t) {
  return data.predicted && t[2] !== null && !(t[4] !== null && t[4] >= state.score) ? MISSED : FOUND;
}

// Segments of a video that pass the filters, as {truth, label, start, end, kind, score, subject}, by start.
function segmentsOf(video) {
  const out = [];
  for (const t of video.t) {
    const kind = kindOfTruth(t);
    if (state.classes.has(t[0]) && state.kinds.has(kind)) {
      out.push({ truth: true, label: t[0], start: t[1], end: t[2], kind, score: null, subject: t[3] });
    }
  }
  for (const p of video.p) {
    if (p[3] >= state.score && state.classes.has(p[0]) && state.kinds.has(p[4])) {
      out.push({ truth: false, label: p[0], start: p[1], end: p[2], kind: p[4], score: p[3], subject: "" });
    }
  }
  return out.sort((a, b) => a.start - b.start || (b.truth ? 1 : 0) - (a.truth ? 1 : 0));
}

// Rows of a video: a class each, truth above what was found; overlapping segments below each other, LANES at most.
function layOut(segments) {
  const rows = new Map();
  for (const s of segments) {
    if (!rows.has(s.label)) rows.set(s.label, { label: s.label, truth: [], found: [], best: -Infinity });
    const row = rows.get(s.label);
    if (!s.truth) row.best = Math.max(row.best, s.score);
    const lanes = s.truth ? row.truth : row.found;
    const end = s.end ?? s.start;
    let lane = lanes.findIndex((last) => last <= s.start);
    if (lane < 0) lane = lanes.length < LANES ? lanes.length : LANES - 1;
    lanes[lane] = Math.max(lanes[lane] ?? 0, end);
    s.lane = lane;
  }
  const order = [...rows.values()].sort((a, b) => (b.truth.length > 0) - (a.truth.length > 0) || b.best - a.best);
  let y = 2;
  for (const row of order.slice(0, CLASSES)) {
    row.y = y;
    y += (row.truth.length + row.found.length) * ROW + GAP;
  }
  const kept = new Map(order.slice(0, CLASSES).map((row) => [row.label, row]));
  for (const s of segments) {
    const row = kept.get(s.label);
    s.y = row ? row.y + (s.truth ? s.lane : row.truth.length + s.lane) * ROW : null;
  }
  return { rows: [...kept.values()], left: order.length - kept.size, height: y + AXIS };
}

function refresh() {
  const text = state.text.toLowerCase(), counts = new Array(NAMES.length).fill(0);
  const keep = shown[now];
  shown = [];
  for (const entry of entries) {
    const { video } = entry, own = new Array(NAMES.length).fill(0), present = new Set();
    for (const t of video.t) if (state.classes.has(t[0])) { own[kindOfTruth(t)]++; present.add(t[0]); }
    for (const p of video.p) if (p[3] >= state.score && state.classes.has(p[0])) { own[p[4]]++; present.add(p[0]); }
    if (text && !video.n.toLowerCase().includes(text)) continue;
    own.forEach((n, k) => { counts[k] += n; });
    if (![...state.kinds].some((k) => own[k]) && !everything()) continue;
    Object.assign(entry, { own, segments: null, layout: { height: Math.min(present.size, CLASSES) * (2 * ROW + GAP) + AXIS } });
    shown.push(entry);
  }
  const wrong = (own) => own.slice(1, MISSED).reduce((a, b) => a + b, 0);
  const orders = {
    name: (a, b) => a.video.n.localeCompare(b.video.n, undefined, { numeric: true }),
    missed: (a, b) => b.own[MISSED] - a.own[MISSED], wrong: (a, b) => wrong(b.own) - wrong(a.own),
    truth: (a, b) => b.video.t.length - a.video.t.length,
  };
  if (orders[state.order]) shown.sort(orders[state.order]);
  now = shown.indexOf(keep);
  NAMES.forEach((_, k) => { const out = $(`count-${k}`); if (out) out.textContent = counts[k].toLocaleString(); });
  const right = counts[0], found = counts.slice(0, MISSED).reduce((a, b) => a + b, 0), truth = counts[MISSED] + counts[FOUND];
  $("summary").textContent = `${shown.length.toLocaleString()} of ${data.videos.length.toLocaleString()} videos, ` +
    `${truth.toLocaleString()} instances` + (data.predicted ? `, ${found.toLocaleString()} detections: ` +
    `${right.toLocaleString()} right at an overlap of ${data.tiou}` : "");
  build();
  if (chosen) {  // the same segment again, if it is still shown
    const same = now < 0 ? null : ready(shown[now]).segments.find((s) => s.truth === chosen.truth && s.label === chosen.label &&
      s.start === chosen.start && s.end === chosen.end && s.score === chosen.score && s.subject === chosen.subject);
    chosen = same ?? null;
    if (now >= 0) tell(shown[now], chosen, false); else $("told").textContent = "Choose a segment.";
  }
}

// Segments and rows of a video, made when it comes into sight: until then its height is an estimate.
function ready(entry) {
  if (!entry.segments) {
    entry.segments = segmentsOf(entry.video);
    entry.layout = layOut(entry.segments);
    entry.section.lastChild.style.height = `${entry.layout.height}px`;
    title(entry);
  }
  return entry;
}

function everything() {
  return state.kinds.size === NAMES.length && state.classes.size === data.classes.length;
}

// --- the list

const sight = new IntersectionObserver((entries) => {
  for (const e of entries) {
    const entry = shown[e.target.dataset.at];
    if (entry?.section !== e.target) continue;
    if (e.isIntersecting) draw(entry); else if (entry.canvas) { entry.canvas.remove(); entry.canvas = null; }
  }
}, { rootMargin: "600px 0px" });

function build() {
  sight.disconnect();
  if (shown.length) {
    $("list").replaceChildren(...shown.map((entry, at) => {
      entry.section.dataset.at = at;
      entry.section.lastChild.style.height = `${entry.layout.height}px`;
      title(entry);
      return entry.section;
    }));
  } else {
    const words = document.createElement("p");
    words.className = "empty";
    words.textContent = "No video has what the filters ask for.";
    $("list").replaceChildren(words);
  }
  mark();
  shown.forEach((entry) => sight.observe(entry.section));
}

function made(video) {
  const section = document.createElement("section");
  section.innerHTML = `<h2><span class="name"></span><span class="count"></span></h2><div></div>`;
  section.querySelector(".name").textContent = video.n;
  return { video, section, canvas: null, left: 0 };
}

function title(entry) {
  const text = tally(entry);
  entry.section.setAttribute("aria-label", `${entry.video.n}: ${text}`);
  entry.section.querySelector(".count").textContent = text;
}

function tally(entry) {
  const [own, parts] = [entry.own, []];
  const truth = own[MISSED] + own[FOUND];
  parts.push(`${truth} ${truth === 1 ? "instance" : "instances"}`);
  if (data.predicted) {
    const found = own.slice(0, MISSED).reduce((a, b) => a + b, 0);
    parts.push(`${own[MISSED]} missed`, `${found} ${found === 1 ? "detection" : "detections"}, ${own[0]} right`);
  }
  if (entry.video.w.length) parts.push(`whole video: ${entry.video.w.map((k) => data.classes[k]).join(", ")}`);
  if (entry.layout?.left) parts.push(`${entry.layout.left} more classes not drawn`);
  return parts.join(" · ");
}

// --- drawing

function span(entry) {
  const length = entry.video.d / state.zoom;
  const left = Math.min(Math.max(entry.left, 0), entry.video.d - length);
  return [left, length];
}

function draw(entry) {
  ready(entry);
  const holder = entry.section.lastChild, width = holder.clientWidth, ratio = window.devicePixelRatio || 1;
  if (!width) return;
  if (!entry.canvas) {
    entry.canvas = document.createElement("canvas");
    entry.canvas.setAttribute("aria-hidden", "true");
    holder.replaceChildren(entry.canvas);
  }
  const { canvas, layout } = entry, style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), quiet = style.getPropertyValue("--quiet"), line = style.getPropertyValue("--line");
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(layout.height * ratio);
  canvas.style.height = `${layout.height}px`;
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  g.font = "12px system-ui, sans-serif";
  g.textBaseline = "middle";
  const [left, length] = span(entry), scale = (width - LABELS - 4) / length, x = (t) => LABELS + (t - left) * scale;
  ticks(g, entry, left, length, x, quiet, line, width);
  for (const row of layout.rows) {
    g.fillStyle = ink;
    const high = (row.truth.length + row.found.length) * ROW;
    g.fillText(fit(g, data.classes[row.label], LABELS - 10), 0, row.y + high / 2);
    g.globalAlpha = 0.18; // a band behind the truth
    g.fillStyle = line;
    if (data.predicted) g.fillRect(LABELS, row.y - 0.5, width - LABELS, row.truth.length * ROW);
    g.globalAlpha = 1;
  }
  g.save();
  g.beginPath();
  g.rect(LABELS, 0, width - LABELS, layout.height);
  g.clip();
  const top = data.top || 1;
  for (const s of entry.segments) {
    if (s.y === null) continue;
    const a = x(s.start), b = Math.max(x(s.end ?? s.start), a + 2);
    if (b < LABELS || a > width) continue;
    bar(g, s, a, b, ink, top);
    if (s === chosen) {
      g.globalAlpha = 1;
      g.lineWidth = 2;
      g.strokeStyle = style.getPropertyValue("--focus");
      g.strokeRect(a - 1.5, s.y - 0.5, b - a + 3, ROW);
    }
  }
  g.restore();
}

// Truth has the text's colour, and is hollow where it was missed; a point is a stroke. Detections have their kind's colour, and
// their score is its strength.
function bar(g, s, a, b, ink, top) {
  g.globalAlpha = s.truth ? 1 : 0.3 + 0.7 * Math.min(Math.max(s.score / top, 0), 1);
  g.fillStyle = s.truth ? ink : COLOURS[s.kind];
  if (s.truth && s.kind === MISSED) {
    g.strokeStyle = ink;
    g.lineWidth = 1.5;
    g.strokeRect(a + 0.75, s.y + 1.25, Math.max(b - a - 1.5, 1), ROW - 3.5);
  } else {
    g.fillRect(a, s.y + 0.5, Math.max(b - a, 1.5), ROW - 2);
  }
}

function ticks(g, entry, left, length, x, quiet, line, width) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const step = steps.find((s) => length / s <= Math.max((width - LABELS) / 90, 1)) ?? 86400;
  const y = entry.layout.height - AXIS;
  g.strokeStyle = line;
  g.fillStyle = quiet;
  g.lineWidth = 0.5;
  for (let k = Math.ceil(left / step); k * step <= left + length + 1e-9; k++) {
    const at = x(k * step);
    g.beginPath();
    g.moveTo(at, 0);
    g.lineTo(at, y + 3);
    g.stroke();
    const text = clock(k * step, step < 1 ? 1 : 0);
    g.fillText(text, Math.min(at + 2, width - g.measureText(text).width - 2), y + 9);
  }
}

function fit(g, text, width) {
  if (g.measureText(text).width <= width) return text;
  while (text.length > 1 && g.measureText(`${text}…`).width > width) text = text.slice(0, -1);
  return `${text}…`;
}

function clock(seconds, digits = 2) {
  const unit = 10 ** digits, all = Math.round(seconds * unit), whole = Math.floor(all / unit);
  const rest = digits ? `.${String(all % unit).padStart(digits, "0")}` : "";
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return (h ? `${h}:${two(m)}` : `${m}`) + `:${two(s)}${rest}`;
}

function redraw() {
  for (const entry of shown) if (entry.canvas) draw(entry);
}

// --- the selected segment

function words(s) {
  const what = s.truth ? (s.end === null ? "a point in time, which no overlap can find" : !data.predicted ? "instance" : NAMES[s.kind]) : `detection, ${NAMES[s.kind]}, score ${+s.score.toPrecision(4)}`;
  const when = s.end === null ? clock(s.start) : `${clock(s.start)} to ${clock(s.end)} (${(s.end - s.start).toFixed(2)} s)`;
  return `${data.classes[s.label]}${s.subject ? ` (${s.subject})` : ""}\n${what}\n${when}`;
}

function mark() {
  shown.forEach((entry, at) => {
    entry.section.classList.toggle("now", at === now);
    entry.section.tabIndex = at === Math.max(now, 0) ? 0 : -1;
  });
}

function goTo(at, segment = null, scroll = true) {
  if (at < 0 || at >= shown.length) return;
  const before = shown[now];
  now = at;
  chosen = segment;
  const entry = shown[at];
  mark();
  if (segment && state.zoom > 1) centre(entry, segment);
  if (before?.canvas) draw(before);
  if (entry.canvas) draw(entry);
  if (scroll) entry.section.scrollIntoView({ block: "nearest" });
  entry.section.focus({ preventScroll: true });
  tell(entry, segment);
}

function centre(entry, segment) {
  const [left, length] = span(entry), end = segment.end ?? segment.start;
  if (segment.start < left || end > left + length) entry.left = (segment.start + end) / 2 - length / 2;
}

function tell(entry, segment, seek = true) {
  $("told").textContent = segment ? `${entry.video.n}\n${words(segment)}` : `${entry.video.n}\n${tally(entry)}`;
  const open = $("open"), player = $("player"), at = segment ? segment.start : 0;
  open.hidden = player.hidden = !entry.video.u;
  $("player-said").hidden = true;
  if (!entry.video.u || !seek) return;
  open.href = `${entry.video.u}#t=${at.toFixed(3)}`;
  open.textContent = `Open the video at ${clock(at)}`;
  if (player.dataset.of !== entry.video.u) {
    player.dataset.of = entry.video.u;
    player.src = open.href;
  } else if (player.readyState) {
    player.currentTime = at;
  } else {
    player.src = open.href;
  }
}

function play() {
  const player = $("player");
  if (!player.hidden) player.play().catch(() => {});
}

$("player").addEventListener("error", () => {
  $("player-said").hidden = false;
  $("player-said").textContent = "The browser cannot play this file here: it is not there, or not of a kind that it knows.";
});

// The next segment from the selected one on, of the same video or, for mistakes, of those after it.
function step(by, onlyWrong = false) {
  for (let at = Math.max(now, 0); at >= 0 && at < shown.length; at += by) {
    const entry = ready(shown[at]), from = at === now ? entry.segments.indexOf(chosen) : -1;
    let k = from < 0 ? (by > 0 ? 0 : entry.segments.length - 1) : from + by;
    for (; k >= 0 && k < entry.segments.length; k += by) {
      const s = entry.segments[k];
      if (s.y !== null && (!onlyWrong || (s.kind > 0 && s.kind <= MISSED))) return goTo(at, s);
    }
    if (!onlyWrong) return undefined;
  }
  return undefined;
}

// --- mouse

function hit(entry, event) {
  const box = entry.canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
  const [left, length] = span(entry), scale = (box.width - LABELS - 4) / length, slack = 3 / scale;
  const time = left + (px - LABELS) / scale;
  const near = entry.segments.filter((s) => s.y !== null && py >= s.y && py < s.y + ROW && time >= s.start - slack && time <= (s.end ?? s.start) + slack);
  return near.sort((a, b) => (b.score ?? 0) - (a.score ?? 0))[0] ?? null;
}

function entryOf(event) {
  const section = event.target.closest?.("section");
  return section ? shown[section.dataset.at] : undefined;
}

let drag = null;
$("list").addEventListener("pointerdown", (event) => {
  const entry = entryOf(event);
  if (entry?.canvas && event.target === entry.canvas) drag = { entry, x: event.clientX, left: span(entry)[0], moved: false };
});
window.addEventListener("pointermove", (event) => {
  if (drag && state.zoom > 1 && Math.abs(event.clientX - drag.x) > 3) {
    drag.moved = true;
    const { entry } = drag, scale = (entry.canvas.clientWidth - LABELS - 4) / span(entry)[1];
    entry.left = Math.min(Math.max(drag.left - (event.clientX - drag.x) / scale, 0), entry.video.d - span(entry)[1]);
    draw(entry);
  }
});
window.addEventListener("pointerup", () => setTimeout(() => { drag = null; }));
$("list").addEventListener("click", (event) => {
  const entry = entryOf(event);
  if (!entry || drag?.moved) return;
  goTo(Number(entry.section.dataset.at), event.target === entry.canvas ? hit(entry, event) : null, false);
});
$("list").addEventListener("dblclick", play);
$("list").addEventListener("pointermove", (event) => {
  const entry = entryOf(event), tip = $("tip");
  const s = entry?.canvas && event.target === entry.canvas ? hit(entry, event) : null;
  tip.hidden = !s;
  if (!s) return;
  tip.textContent = words(s).replaceAll("\n", ", ");
  tip.style.left = `${Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
});
$("list").addEventListener("pointerleave", () => { $("tip").hidden = true; });

// --- keys

function zoomBy(by) {
  $("zoom").value = Number($("zoom").value) + by;
  $("zoom").dispatchEvent(new Event("input"));
}

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.key === "Escape") {
    $("classes").open = false;
    (shown[Math.max(now, 0)]?.section ?? $("list")).focus();
    return;
  }
  if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|BUTTON|SUMMARY|VIDEO|A)$/.test(target.tagName)) return;
  const keys = {
    ArrowDown: () => goTo(Math.min(now + 1, shown.length - 1)), ArrowUp: () => goTo(Math.max(now - 1, 0)),
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), e: () => step(1, true), E: () => step(-1, true),
    Enter: play, o: () => { if (!$("open").hidden) window.open($("open").href, "_blank", "noopener"); },
    "+": () => zoomBy(1), "=": () => zoomBy(1), "-": () => zoomBy(-1), "/": () => $("search").focus(),
    Home: () => goTo(0), End: () => goTo(shown.length - 1), "?": () => $("help-button").click(),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
$("list").addEventListener("focusin", (event) => {
  const entry = entryOf(event);
  if (entry && now < 0) { now = Number(entry.section.dataset.at); mark(); tell(entry, null); }
});

// --- filters

let asked = false;
function soon() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; refresh(); });
}

function check(parent, key, text, set, colour) {
  const label = document.createElement("label"), box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.addEventListener("change", () => { if (box.checked) set.add(key); else set.delete(key); picked(); soon(); });
  label.append(box);
  if (colour) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.cssText = key === MISSED ? "border: 1.5px solid var(--ink)" : `background: ${colour}`;
    const count = document.createElement("span");
    count.className = "count";
    count.id = `count-${key}`;
    label.append(swatch, text, count);
    label.title = "Double-click: this kind alone, and back";
    label.addEventListener("dblclick", () => only(key));
  } else {
    label.append(text);
  }
  parent.append(label);
  return box;
}

const kindBoxes = [], classBoxes = [];
function only(key) {
  const alone = state.kinds.size === 1 && state.kinds.has(key);
  kindBoxes.forEach(([k, box]) => { box.checked = alone || k === key; });
  state.kinds = new Set(kindBoxes.filter(([, box]) => box.checked).map(([k]) => k));
  if (!data.predicted) state.kinds.add(MISSED);
  soon();
}

function picked() {
  const n = state.classes.size;
  $("chosen").textContent = n === data.classes.length ? "all" : n === 1 ? data.classes[[...state.classes][0]] : `${n} of ${data.classes.length}`;
}

function setClasses(on) {
  classBoxes.forEach((box) => { box.checked = on; });
  state.classes.clear();
  if (on) [...data.classes.keys()].forEach((k) => state.classes.add(k));
  picked();
  soon();
}

function start() {
  let low = Infinity, top = -Infinity;
  for (const video of data.videos) for (const p of video.p) { low = Math.min(low, p[3]); top = Math.max(top, p[3]); }
  data.top = top > 0 ? top : 1;
  if (data.predicted && low <= top) {
    Object.assign($("score"), { min: low, max: top, value: low });
    $("score-text").textContent = low.toPrecision(3);
    $("score").addEventListener("input", () => {
      state.score = Number($("score").value);
      $("score-text").textContent = state.score.toPrecision(3);
      soon();
    });
  } else {
    $("score-row").hidden = true;
    $("score-row").style.display = "none";
  }
  if (data.predicted) NAMES.forEach((name, k) => kindBoxes.push([k, kindBox(name, k)]));
  else for (const value of ["missed", "wrong"]) $("order").querySelector(`[value=${value}]`).remove();
  data.classes.forEach((name, k) => classBoxes.push(check($("class-list"), k, name, state.classes)));
  $("all").addEventListener("click", () => setClasses(true));
  $("none").addEventListener("click", () => setClasses(false));
  $("search").addEventListener("input", () => { state.text = $("search").value; soon(); });
  $("order").addEventListener("change", () => { state.order = $("order").value; soon(); });
  $("zoom").addEventListener("input", () => {
    state.zoom = 2 ** Number($("zoom").value);
    if (chosen) shown[now].left = (chosen.start + (chosen.end ?? chosen.start)) / 2 - shown[now].video.d / state.zoom / 2;
    redraw();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("help-button").addEventListener("click", () => {
    $("help").hidden = !$("help").hidden;
    $("help-button").setAttribute("aria-expanded", String(!$("help").hidden));
  });
  document.addEventListener("click", (event) => { if (!event.target.closest("#classes")) $("classes").open = false; });
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--top", `${document.querySelector("header").offsetHeight + 8}px`);
  }).observe(document.querySelector("header"));
  new ResizeObserver(redraw).observe($("list"));
  entries = data.videos.map(made);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  refresh();
}

function kindBox(name, k) {
  return check($("kinds"), k, name, state.kinds, COLOURS[k]);
}

start();
