"""What docs/online.md says of online students, from the stored results of bench_online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages import machine_lines, plus_minus, table


def section(document: Mapping[str, Any]) -> str:
    """A table of students, streams of windows and the file; what thresholds would give; cost; the certificate."""
    f = document["figures"]
    lines: list[str] = []
    if "procedural" in f:
        lines += _world("procedural", f["procedural"])
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


def _world(name: str, w: Mapping[str, Any]) -> list[str]:
    students = w["students"]
    rows = [_row(f"student, seed {s['seed']}", s) for s in students]
    rows += [_row(f"the teacher's stream, {n.replace('windows, ', 'look-ahead ')}", r) for n, r in w["beside"].items()]
    rows.append(["the teacher, whole videos", "", "", f"{w['teacher_whole_map_10_70']:.1f}", *[""] * 6])
    head = [
        "", "De, s", "late", "mAP@0.1:0.7 of finals", "p-mAP at 1 s", "starts: p50, s", "p99, s", "false an hour",
        "recall", "calibrated AP of snippets",
    ]  # fmt: skip
    return [
        f"{name.capitalize()}: {w['taught']} videos to learn from, thresholds on {w['fitted_on']} others, measured on "
        f"{w['videos']} ({w['instances']} instances, {60 * w['hours']:.0f} minutes); mean mAP of the students "
        f"{plus_minus(w['map_10_70'])}. mAP and p-mAP are of everything that is found; starts at the thresholds.",
        "",
        *table(head, rows),
        "",
        "Starts by threshold, first seed (shown, not chosen by): "
        + "; ".join(
            f"{r['threshold']:g}: p50 {r['delay_s'].get('p50', float('nan')):.2f} s, p99 "
            f"{r['delay_s'].get('p99', float('nan')):.2f} s, recall {100 * r['recall']:.0f} %, "
            f"{r['false_alarms_per_hour']:.0f} false an hour"
            for r in students[0]["by_threshold"]
        )
        + ".",
        "",
    ]


def _row(name: str, r: Mapping[str, Any]) -> list[str]:
    s, frames = r["starts"], r["frames"]
    delay = [f"{s['delay_s'][p]:.2f}" if p in s["delay_s"] else "-" for p in ("p50", "p99")]
    said = {"now": "no look-ahead", "ahead": "look-ahead", "whole": "whole video"}
    seen = ", ".join(f"{100 * v['calibrated_ap']:.1f} ({said[k]})" for k, v in frames.items())
    return [
        name, f"{r['declared_latency_s']:.2f}", str(r["late_events"]), f"{100 * r['average_map']:.1f}",
        f"{100 * s['p_map']['1']:.1f}", *delay, f"{s['false_alarms_per_hour']:.1f}", f"{100 * s['recall']:.0f} %", seen,
    ]  # fmt: skip
