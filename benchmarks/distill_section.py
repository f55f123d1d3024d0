"""What docs/distill.md says of students and of motion vectors, from the stored results of bench_distill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages import plus_minus, table

#: Rows of students by the part that measures them.
STUDENTS = {
    "student": "student", "flow": "student, `--flow dis_ultrafast`",
    "keep_frames": "student, `--flow dis_ultrafast --keep-frames`",
}  # fmt: skip


def section(document: Mapping[str, Any]) -> str:
    """A table, a way a row: processor time over that of decoding by clip, and mAP; then what students took."""
    figures = document["figures"]
    clips, vectors = figures["cost"]["clips"], figures["vectors"]
    here = figures.get("teacher", {}).get("map_10_70")
    scores = {
        "teacher": f"{vectors['dis']:.1f}" if here is None else f"{here:.1f}",
        "teacher, motion vectors": f"{vectors['vectors']:.1f}",
    }
    scores |= {p: plus_minus(figures[p]["student"]) if p in figures else "not measured" for p in STUDENTS}
    rows = [
        [
            STUDENTS.get(way, way),
            *(f"{c['of_decoding'][way]:.1f}x" if way in c["of_decoding"] else "" for c in clips.values()),
            score,
        ]
        for way, score in scores.items()
    ]
    head = ["`demo`", *(f"{name}, {clip['frames']} frames" for name, clip in clips.items()), "mAP@0.1:0.7"]
    lines = [
        f"Processor time of `localize` over that of decoding alone, medians of {figures['cost']['rounds']} rounds; mAP "
        f"on {vectors['held_out']} held-out procedural videos.",
        "",
        *table(head, rows),
    ]
    for part, row in STUDENTS.items():
        if part in figures:
            lines += ["", _took(row, figures[part])]
    return "\n".join(lines)


def _took(row: str, figures: Mapping[str, Any]) -> str:
    """Say what students of a row learned from, and how long."""
    runs = figures["runs"]
    return (
        f'The row "{row}": {len(runs)} training seed{"s" if len(runs) > 1 else ""} on {figures["training_videos"]} '
        f"procedural videos ({runs[0]['trained_on']['snippets']} snippets), {figures['epochs']} epochs"
        f"{minutes(runs)}; plan {figures['plan_mb']:.1f} MB. It leaves {100 * runs[0]['unexplained']:.0f} % of the "
        "variance of the features that it makes unexplained on the videos that `tal distill` held out."
    )


def minutes(runs: Sequence[Mapping[str, Any]]) -> str:
    """What training took, of the runs that say so: those that went on after a stop may be older than the figure."""
    found = [run["training_cpu_seconds"] / 60 for run in runs if "training_cpu_seconds" in run]
    if not found:
        return ""
    least, most = f"{min(found):.1f}", f"{max(found):.1f}"
    return f", {least if least == most else f'{least} to {most}'} minutes of processor time"
