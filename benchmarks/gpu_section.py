"""The page of a day on a card, docs/gpu.md, and its summary, from the document that gpu_day wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import stored
from gpu_targets import PUBLISHED_S, SNIPPETS, TARGET_S, TRAINING_TIMES

Figures = Mapping[str, Any]


def summary(document: Figures) -> dict[str, Any]:
    """One line about a day: what became of each part, and the targets."""
    parts = document["parts"]
    return {
        "benchmark": "gpu_day", "rehearsal": document["rehearsal"], "card": card_of(document),
        "seconds": document.get("seconds"), "parts": {name: p["status"] for name, p in parts.items()},
        "rows": sum(len(p["figures"]) for p in parts.values()),
        "left_out": sum(len(p.get("skipped", {})) for p in parts.values()), "targets": targets(document),
    }  # fmt: skip


def card_of(document: Figures) -> str | None:
    """Name of the card; None in a rehearsal."""
    found: Figures = document["parts"].get("card", {}).get("figures", {}).get("torch", {})
    return found.get("name")


def targets(document: Figures) -> dict[str, dict[str, Any]]:
    """What was aimed at, what was measured, and whether it was reached; nothing of a rehearsal."""
    if document["rehearsal"]:
        return {}
    parts, found = document["parts"], dict[str, dict[str, Any]]()

    def enter(name: str, value: float | None, aim: float, reached: bool) -> None:
        if value is not None:
            found[name] = {"value": value, "aim": aim, "reached": reached}

    rows = parts.get("pass", {}).get("figures", {})
    passes = [r["seconds"] for n, r in rows.items() if n.startswith("engine")]
    best = min(passes, default=None)
    enter("pass_s", best, TARGET_S, best is not None and best < TARGET_S)
    rows = parts.get("flow", {}).get("figures", {})
    speeds = [r["times_real_time"] for n, r in rows.items() if n.startswith("torch, ")]
    fastest = max(speeds, default=None)
    enter("tvl1_times_real_time", fastest, 1.0, fastest is not None and fastest > 1)
    rows = parts.get("training", {}).get("figures", {})
    cores = stored("bench_accuracy").get("figures", {}).get("speed", {}).get("rows", {}).get("thumos14", {}).get("cpu")
    steps = max((rows[p]["steps_a_second"] for p in ("fp32", "bf16") if p in rows), default=None)
    times = None if steps is None or not cores else round(steps / cores, 1)
    enter("training_times_two_cores", times, TRAINING_TIMES, times is not None and times >= TRAINING_TIMES)
    return found


def section(document: Figures) -> str:
    """The lines of docs/gpu.md."""
    m = document["machine"]
    where = card_of(document) or f"{m['cpu']}, {m['cores']} cores"
    head = (
        f"**No card was at hand: this is the rehearsal on the CPU** ({where}; {document['date']}, "
        f"{document['seconds']:.0f} s), with small sizes. It shows that every part runs to its end, and nothing of "
        "what a card does."
        if document["rehearsal"]
        else f"Measured on {where}, {document['date']}, in {document['seconds']:.0f} s."
    )
    lines = [head, "", f"`{document['command']}`", "", "| part | what | status | seconds | rows | left out |"]
    lines.append("|---|---|---|---|---|---|")
    for name, p in document["parts"].items():
        out = len(p.get("skipped", {}))
        lines.append(f"| {name} | {p['title']} | {p['status']} | {p['seconds']:.0f} | {len(p['figures'])} | {out} |")
    for name, say in PARTS.items():
        if figures := document["parts"].get(name, {}).get("figures"):
            lines += ["", *say(figures)]
    lines += ["", *_targets(document), *_left_out(document)]
    return "\n".join(lines)


def _targets(document: Figures) -> list[str]:
    low, high = PUBLISHED_S
    note = f"The paper prints {low:.2f} to {high:.2f} s for the pass of {SNIPPETS:,} snippets on an RTX 3090"
    aims = f"aims are {TARGET_S:g} s for it, TV-L1 in real time, training {TRAINING_TIMES:g} times as fast as two cores"
    said = [
        f"{n} {t['value']:g} (aim {t['aim']:g}, {'reached' if t['reached'] else 'missed'})"
        for n, t in targets(document).items()
    ]
    return [f"- {note}; {aims}.", *([f"- Targets: {'; '.join(said)}."] if said else [])]


def _left_out(document: Figures) -> list[str]:
    """Rows that were not measured, by their reason."""
    by: dict[str, list[str]] = {}
    for name, p in document["parts"].items():
        for row, reason in p.get("skipped", {}).items():
            by.setdefault(reason[:120], []).append(f"{name}: {row}")
        if p["status"] in ("failed", "skipped"):
            by.setdefault(p.get("why", p["status"])[:120], []).append(name)
    return [f"- Left out ({reason}): {', '.join(rows)}." for reason, rows in by.items()]


def heads(f: Figures) -> list[str]:
    """A table of p50 / p99 by runtime."""
    sized = {n: r for n, r in f.items() if " B=" in n}
    names = list(dict.fromkeys(k for r in sized.values() for k in r))
    lines = [f"Heads, p50 / p99 ms:\n\n| head | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for row, cells in sized.items():
        lines.append(f"| {row} | {' | '.join(_cell(cells.get(n, {})) for n in names)} |")
    return lines


def _cell(cell: Figures) -> str:
    return f"{cell['p50_ms']:.3g} / {cell['p99_ms']:.3g}" if "p50_ms" in cell else "-"


def whole_pass(f: Figures) -> list[str]:
    s = f["set"]
    rows = [f"{n} {r['seconds']:.3g} s" for n, r in f.items() if "seconds" in r]
    maps = [r["map_s"] for r in f.values() if "map_s" in r]
    scored = f"; mAP apart from it {max(maps):.2g} s" if maps else ""
    what = f"{s['videos']} videos, {s['snippets']:,} snippets (lengths: {s['lengths']})"
    return [f"- Pass of {what}: {', '.join(rows)}{scored}."]


def encoders(f: Figures) -> list[str]:
    lines = ["Encoders, snippets a second:", "", "| encoder | what | batch: snippets a second |", "|---|---|---|"]
    for name, row in f.items():
        encoder, _, what = name.partition(", ")
        said = "; ".join(f"{k}: {v:g}" for k, v in row.items() if isinstance(v, (int, float)))
        lines.append(f"| {encoder} | {what} | {said} |")
    return lines


def flow(f: Figures) -> list[str]:
    rows = [
        f"{n} {r['ms_a_frame']:.3g} ms a frame ({r['times_real_time']:.2g}x real time)"
        for n, r in f.items()
        if "ms_a_frame" in r
    ]
    return [f"- TV-L1: {', '.join(rows)}."]


def end_to_end(f: Figures) -> list[str]:
    rows = [
        f"{n} {r['times_real_time']:.3g}x ({r['times_real_time_together']:.3g}x several at once)" for n, r in f.items()
    ]
    return [f"- Videos to segments, times real time: {', '.join(rows)}."]


def streams(f: Figures) -> list[str]:
    rows = [
        f"{n} {'held' if r['sustained'] else 'not held'}, limited by {r['limited_by']}"
        for n, r in f.items()
        if n.endswith("streams")
    ]
    return [f"- Live streams: **{f.get('sustained', 0)}** held; {'; '.join(rows)}."]


def training(f: Figures) -> list[str]:
    rows = [f"{n} {r['steps_a_second']:.3g} steps a second" for n, r in f.items() if "steps_a_second" in r]
    agree = f.get("losses as on the CPU", {})
    same = f"; losses differ from the CPU's by {agree['worst_difference']:.2g} at most" if agree else ""
    return [f"- Training of PVLR: {', '.join(rows)}{same}."]


def parity(f: Figures) -> list[str]:
    rows = [f"{n}: {'passed' if r['exit_status'] == 0 else 'FAILED'}" for n, r in f.items()]
    return [f"- `tal diff --gate`, card against CPU: {', '.join(rows)}."]


def checks(f: Figures) -> list[str]:
    t = f.get("pytest -m gpu", {})
    counts = ", ".join(f"{t[k]} {k}" for k in ("passed", "failed", "skipped", "errors") if k in t)
    return [f"- `pytest -m gpu`: {counts or 'not run'}."]


PARTS = {
    "head": heads, "heads": heads, "pass": whole_pass, "encoders": encoders, "flow": flow, "end_to_end": end_to_end,
    "streams": streams, "training": training, "parity": parity, "checks": checks,
}  # fmt: skip
