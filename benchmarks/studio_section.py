"""The part of docs/studio.md that is measured, from the stored results of bench_studio."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pages import table

_ARMS = {"queue": "the queue", "random": "moments by chance", "watching": "video after video"}


def section(document: Mapping[str, Any]) -> str:
    """A table of mAP over clicks, and what kills lost."""
    figures, lines = document["figures"], list[str]()
    if "clicks" in figures:
        lines += _clicks(figures["clicks"])
    if "planted" in figures:
        lines += _planted(figures["planted"])
    if "kills" in figures:
        k = figures["kills"]
        lines += [
            f"- {k['kills']} times kill -9 amid edits: {k['saved']} edits were answered as saved, {k['lost']} of them "
            f"lost, {k['twice']} there twice; {k['sent again']} that were not answered were sent again.",
        ]
    return "\n".join(lines)


def _clicks(part: Mapping[str, Any]) -> list[str]:
    """A row for each way to click: the mean over seeds by the number of clicks, and clicks to the goal."""
    rows, seeds = [], set[str]()
    goals = [k for k in next(iter(part["summary"].values())) if re.fullmatch(r"clicks to \d+", k)]
    for arm, runs in part["runs"].items():
        seeds |= set(runs)
        halves, ends = [_at(points, 25) for points in runs.values()], [points[-1][1] for points in runs.values()]
        summary = part["summary"][arm]
        reached = [", ".join(_clicks_of(summary[g][s]) for s in runs) for g in goals]
        longest = f"{summary['longest training, s']:.0f}"
        rows.append([_ARMS[arm], f"{_mean(halves):.1f}", f"{_mean(ends):.1f}", *reached, longest])
    each = [f"{g} (each seed)" for g in goals]
    head = ["clicks by", "mAP@0.5 at 25 clicks", "at the end", *each, "longest training, s"]
    what = f"Mean over {len(seeds)} seeds, at most 50 clicks, on two cores that others used at the same time:"
    even = part["summary"]["queue"]["clicks to the end of random"].values()
    told = (
        f"What clicks by chance reach at their end, the queue reaches after {', '.join(map(_clicks_of, even))} of 50 "
        "clicks. Its answers are clicks of this count, also *nothing here*; watching video after video costs the time "
        "of all videos, which is not counted."
    )
    return [what, "", *table(head, rows), "", told, ""]


def _planted(part: Mapping[str, Any]) -> list[str]:
    """The same on planted actions, and what the queue's questions were answered with."""
    runs = part["runs"]
    seeds = [s for s in runs["queue"] if all(s in runs.get(arm, {}) for arm in _ARMS)]
    rows = [
        [s, *(f"{_at(runs[arm][s], n):.1f}" for arm in _ARMS for n in (25, 50)),
         _clicks_of(part["summary"]["queue"]["clicks to the end of random"][s]),
         str(part["answers"]["queue"][s].get("reject", 0))]
        for s in seeds
    ]  # fmt: skip
    head = ["seed", *(f"{_ARMS[arm]}: mAP@0.5 at {n} clicks" for arm in _ARMS for n in (25, 50)),
            "clicks of the queue to the end of chance", "questions about what was marked"]  # fmt: skip
    what = (
        "The same on planted actions (features of `tal data simulate`, ten videos, five classes; settings of the queue "
        "were looked at on other seeds):"
    )
    return [what, "", *table(head, rows), ""]


def _clicks_of(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _at(points: list[list[float]], clicks: float) -> float:
    """A curve's value between its points, by a line."""
    before = [p for p in points if p[0] <= clicks]
    after = [p for p in points if p[0] >= clicks]
    if not before or not after:
        return before[-1][1] if before else after[0][1]
    a, b = before[-1], after[0]
    return a[1] if a[0] == b[0] else a[1] + (b[1] - a[1]) * (clicks - a[0]) / (b[0] - a[0])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def page_section(document: Mapping[str, Any]) -> str:
    """What keys take in the page, and what a folder of videos takes to become a plan through it."""
    figures, lines = document["figures"], list[str]()
    if "fluid" in figures:
        f = figures["fluid"]
        rows = [[key, f"{ms['median']:.0f}", f"{ms['p95']:.0f}", f"{ms['most']:.0f}"] for key, ms in f["ms"].items()]
        lines += [
            f"Milliseconds from a key to the painted frame, {f['presses']} presses of each kind, in a video of "
            f"{f['hours']:g} hours with {f['labels']:,} labels and as many suggestions, among {f['videos']} videos, "
            f"load average {f['load']:g}:",
            "",
            *table(["key", "median", "95 of 100 within", "longest"], rows),
            "",
        ]
    for seed, run in figures.get("page", {}).items():
        lines.append(
            f"- Seed {seed}, by keys and clicks in the page: {run['videos']} videos and {run['classes']} classes are "
            f"a plan after {run['minutes']:.1f} minutes, features included and thinking not, with {run['clicks']} "
            f"clicks; mAP@0.5 {run['mAP@0.5']:.1f} on {run['unseen']} other videos."
        )
    for seed, run in figures.get("motion", {}).items():
        mine, others = run["persons"]
        points, segments = run["all points"], run["all segments"]
        lines.append(
            f"- Seed {seed}, MSRC-12's Kinect skeletons as stick figures with the features of the skeletons: "
            f"{run['videos']} videos of {mine} persons and {run['classes']} gestures, {run['clicks']} clicks in "
            f"{run['minutes']:.1f} minutes; point mAP {run['point mAP']:.1f} on {run['unseen']} sequences of {others} "
            f"other persons. With all {points['labels']} action points of the same videos, each looked at as a whole, "
            f"{points['point mAP']:.1f}; with stretches of {2 * run['half_s']:g} s about them as full segments "
            f"{segments['point mAP']:.1f}, which are read as points while a class has fewer than ten."
        )
    return "\n".join(lines)
