"""What docs/distill.md says of students and of motion vectors, from the stored results of bench_distill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages import plus_minus, table


def section(document: Mapping[str, Any]) -> str:
    """A table, a way a row: processor time over that of decoding by clip, and mAP; then what a student took."""
    figures = document["figures"]
    clips, students, vectors = figures["cost"]["clips"], figures["student"], figures["vectors"]
    scores = {
        "teacher": f"{vectors['dis']:.1f}",
        "teacher, motion vectors": f"{vectors['vectors']:.1f}",
        "student": plus_minus(students["student"]),
    }
    rows = [
        [way, *(f"{clip['of_decoding'][way]:.1f}x" for clip in clips.values()), score] for way, score in scores.items()
    ]
    head = ["`demo`", *(f"{name}, {clip['frames']} frames" for name, clip in clips.items()), "mAP@0.1:0.7"]
    runs = students["runs"]
    lines = [
        f"Processor time of `localize` over that of decoding alone, medians of {figures['cost']['rounds']} rounds; mAP "
        f"on {students['held_out']} held-out procedural videos.",
        "",
        *table(head, rows),
        "",
        f"The student: {len(runs)} training seed{'s' if len(runs) > 1 else ''} on {students['training_videos']} "
        f"procedural videos ({runs[0]['trained_on']['snippets']} snippets), {students['epochs']} epochs"
        f"{minutes(runs)}; plan {students['plan_mb']:.1f} MB. It leaves {100 * runs[0]['unexplained']:.0f} % of the "
        "features' variance unexplained on the videos that `tal distill` held out.",
    ]
    return "\n".join(lines)


def minutes(runs: Sequence[Mapping[str, Any]]) -> str:
    """What training took, of the runs that say so: those that went on after a stop may be older than the figure."""
    found = [run["training_cpu_seconds"] / 60 for run in runs if "training_cpu_seconds" in run]
    return f", {min(found):.1f} to {max(found):.1f} minutes of processor time" if found else ""
