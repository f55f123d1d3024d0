"""What docs/online.md says of online students, from the stored results of bench_online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages import machine_lines, plus_minus, table

#: Parts of the benchmark that are worlds, and what their truth is.
WORLDS = {
    "procedural": "Procedural videos",
    "overlapping": "Procedural videos, snippets that overlap by half",
    "surgery": "VTS, open surgery",
    "skeletons": "MSRC-12, skeletons",
}


def section(document: Mapping[str, Any]) -> str:
    """A table of students, streams of windows and the file; what thresholds would give; cost; the certificate."""
    f = document["figures"]
    lines: list[str] = []
    for part, title in WORLDS.items():
        if part in f:
            lines += _world(title, f[part])
    if "cost" in f:
        c = f["cost"]
        lines.append(
            f"- Processor time of a stream-second of features, one thread, medians: student "
            f"{c['ms_a_stream_second']['student']:.2f} ms, windows {c['ms_a_stream_second']['windows']:.2f} ms "
            f"({c['student_over_windows']:.2f} times)."
        )
    if "certify" in f:
        lines.append(_certified(f["certify"]["runs"]))
    parts = {p: document.get("parts", {}).get(p, document)["machine"] for p in f}
    return "\n".join([*lines, *machine_lines(parts, "onnxruntime")])


def _certified(runs: Sequence[Mapping[str, Any]]) -> str:
    def total(name: str) -> int:
        return sum(r[name] for r in runs)

    first, starts = runs[0], max(r["start_lateness_s"]["max"] for r in runs)
    growth = ", ".join(f"{r['slope']['mib_per_hour']:+.3f} (noise {r['slope']['noise']:.3f})" for r in runs)
    return (
        f"- {sum(r['hours'] for r in runs):.1f} stream-hours of features in {len(runs)} run{'s' * (len(runs) > 1)}: "
        f"{total('finals')} finals, {total('late_events')} later than {first['declared_latency_s']:.2f} s (longest "
        f"{max(r['lateness_s']['max'] for r in runs):.2f} s); {total('starts')} starts, {total('late_starts')} later "
        f"than {first['declared_start_latency_s']:.2f} s (longest {starts:.2f} s); "
        f"memory, MiB an hour: {growth}."
    )


def _world(title: str, w: Mapping[str, Any]) -> list[str]:
    students, points = w["students"], w["measure"] == "point_map"
    rows = [_row(f"student, seed {s['seed']}", s) for s in students]
    rows += [_row(f"the teacher's stream, {n.replace('windows, ', 'look-ahead ')}", r) for n, r in w["beside"].items()]
    rows.append(["the teacher, whole videos", "", "", f"{w['teacher_whole']:.1f}", *[""] * 6])
    measure = "point mAP of finals" if points else "mAP@0.1:0.7 of finals"
    last = "F1 of starts, 1/3 s" if points else "calibrated AP of snippets"
    head = ["", "De, s", "late", measure, "p-mAP at 1 s", "starts: p50, s", "p99, s", "false an hour", "recall", last]
    shares = ", ".join(f"{s['fitted']['share']['chosen']:g}" for s in students)
    what = "action points" if points else "instances"
    return [
        f"**{title}**: {w['taught']} videos to learn from, thresholds on {w['fitted_on']} others, measured on "
        f"{w['videos']} ({w['instances']} {what}, {60 * w['hours']:.0f} minutes); snippets every {w['step_s']:.2f} s; "
        f"finals of the students {plus_minus(w['finals'])}, shares that were chosen {shares}{_passes(students)}. mAP "
        "and p-mAP are of everything that is found; starts at the thresholds for 2 false alarms an "
        f"hour{_rule(students)}.",
        "",
        *table(head, rows),
        "",
        "By threshold of starts, first seed (shown, not chosen by); *any* is the rule on the largest activation:",
        "",
        *_curve(students[0]["by_threshold"], w["hours"], points),
        "",
    ]


def _passes(students: Sequence[Mapping[str, Any]]) -> str:
    """Which passes of training were kept, where the students say so."""
    of = [p for s in students if (p := s["fitted"].get("passes"))]
    return f", passes that were kept {', '.join(str(p['kept']) + ' of ' + str(p['run']) for p in of)}" if of else ""


def _rule(students: Sequence[Mapping[str, Any]]) -> str:
    """What tells starts: students of before evidence do not say where their threshold is from."""
    by_evidence = all("from_the_tail" in s["fitted"]["starts"] for s in students)
    return ", by evidence" if by_evidence else ", by `now`: students of before evidence"


def _curve(rows: Sequence[Mapping[str, Any]], hours: float, points: bool) -> list[str]:
    """What each threshold gives; what of the false alarms lies in an action of another class."""
    head = ["threshold", "recall", "false an hour", "p50, s", "p99, s", "any: recall", "false an hour", "p50, s"]
    if not points:
        head.insert(3, "of them in another class's action")
    out = []
    for r in rows:
        a = r["any"]
        cells = [f"{r['threshold']:g}", *_rate(r), *_delays(r, "p50", "p99"), *_rate(a), *_delays(a, "p50")]
        if not points:
            cells.insert(3, f"{r['other_class'] / hours:.1f}")
        out.append(cells)
    return table(head, out)


def _rate(r: Mapping[str, Any]) -> list[str]:
    return [f"{100 * r['recall']:.0f} %", f"{r['false_alarms_per_hour']:.1f}"]


def _delays(r: Mapping[str, Any], *names: str) -> list[str]:
    return [f"{r['delay_s'][n]:.2f}" if n in r["delay_s"] else "-" for n in names]


def _row(name: str, r: Mapping[str, Any]) -> list[str]:
    s = r["starts"]
    said = {"now": "no look-ahead", "ahead": "look-ahead", "whole": "whole video"}
    if "frames" in r:
        seen = ", ".join(f"{100 * v['calibrated_ap']:.1f} ({said[k]})" for k, v in r["frames"].items())
    else:
        seen = f"{100 * s['f1_near']:.1f} %"
    finals = r["average_map"] if "average_map" in r else r["point_map"]
    recall, false = _rate(s)
    return [
        name, f"{r['declared_latency_s']:.2f}", str(r["late_events"]), f"{100 * finals:.1f}",
        f"{100 * s['p_map']['1']:.1f}", *_delays(s, "p50", "p99"), false, recall, seen,
    ]  # fmt: skip
