"""The part of docs/people.md on skeletons of real persons, from the stored results of bench_people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines, table


def section(document: Mapping[str, Any]) -> str:
    """Tables of the plan on persons that it was not trained on, and of landmark noise."""
    figures = document["figures"]
    if "skeletons" not in figures:
        return ""
    found = figures["skeletons"]
    lines = [*_localized(found), "", *_judged(found, figures.get("named")), ""]
    parts = {"skeletons": document["parts"]["skeletons"]["machine"]}
    if "named" in figures:
        parts["named"] = document["parts"]["named"]["machine"]
    if "noise" in figures:
        lines += [_noise(figures["noise"]), ""]
        parts["noise"] = document["parts"]["noise"]["machine"]
    if "live" in figures:
        lines += [*_live(figures["live"]), ""]
        parts["live"] = document["parts"]["live"]["machine"]
    return "\n".join([*lines, *machine_lines(parts, "onnxruntime")])


def _localized(found: Mapping[str, Any]) -> list[str]:
    """When actions are: mAP of untrimmed recordings."""
    captured, cameras, joined = found["subject13"]["captured"], found["subject13"]["cameras"], found["utd_joined"]

    def seen(name: str) -> str:
        return f"{cameras[name]['mean']:.1f} ({cameras[name]['sd']:.1f})"

    rows = [
        ["subject 13, as captured", f"{captured['map_50']:.1f}", f"{captured['map_10_70']:.1f}"],
        [f"{found['subject13']['what'].replace('CMU ', '')}, mean (sd)", seen("map_50"), seen("map_10_70")],
        [f"UTD-MHAD, {joined['sequences']} sequences of 9 joined clips",
         f"{joined['map_50']:.1f}", f"{joined['map_10_70']:.1f}"],
    ]  # fmt: skip
    by_class = cameras["ap_50_by_class"].items()
    classes = ", ".join(f"{c} {v['mean']:.0f}" for c, v in sorted(by_class, key=lambda x: -x[1]["mean"]))
    return [*table(["localized", "mAP@0.5", "mAP@0.1:0.7"], rows), "", f"Subject 13 by class (AP@0.5): {classes}."]


def _judged(found: Mapping[str, Any], named: Mapping[str, Any] | None) -> list[str]:
    """Whether whole clips are what they are, and what is named."""
    rows = []
    for key, name in (("utd_mhad", "UTD-MHAD, subjects 5 to 8"), ("msrc12", "MSRC-12, test persons")):
        x = found[key]
        said = None if named is None else named[key]
        rows.append([
            f"{name}: {x['mapped']} clips of mapped classes of {x['clips']}", f"{x['accuracy']:.1f}",
            f"{x['mapped_clips']['map']:.1f}", f"{x['all_clips']['map']:.1f}",
            "" if said is None else f"{said['right']:.0f} / {said['wrong']:.0f} / {said['nothing']:.0f}",
            "" if said is None else f"{said['foreign_named']:.0f}",
        ])  # fmt: skip
    head = ["whole clips, %", "right of 18 classes", "mAP among them", "mAP among all", "named right / wrong / nothing",
            "clips of other actions named"]  # fmt: skip
    return table(head, rows)


def _live(x: Mapping[str, Any]) -> list[str]:
    """Say what a file costs, how many streams run, and what looking less often costs."""
    file = x["file"]
    rows = [
        [str(r["streams"]), f"{r['cores_used']:.2f}", f"{r['cores_used_by_others']:.2f}", str(r["frames_dropped"]),
         f"{r['behind_s']:.1f}", "yes" if r["sustained"] else "no"]
        for r in x["streams"]
    ]  # fmt: skip
    head = [
        "live streams, 320 x 240, 25 fps",
        "cores",
        "cores of other programs",
        "pictures dropped",
        "behind, s",
        "kept up",
    ]
    rates = ", ".join(f"{rate} a second {v['map_50']:.1f}" for rate, v in x["rates"].items())
    return [
        f"A file of 320 x 240 at 25 frames a second: {file['real_time_of_one_core']:.1f} times real time a core, from "
        f"decoding to segments ({file['seconds_of_video']:.0f} s, {file['cpu_seconds']:.1f} s of one core).",
        "", *table(head, rows), "",
        f"mAP@0.5 of the same procedural sessions by how often poses are taken: {rates}.",
    ]  # fmt: skip


def _noise(x: Mapping[str, Any]) -> str:
    fast, slow = ("/".join(f"{1000 * v:.0f}" for v in x[k].values()) for k in ("fast_m", "slow_m"))
    return (
        f"BlazePose on {x['what']}, against exact joints: off by {slow} mm (x/y/z, standard deviation) slowly and "
        f"{fast} mm from picture to picture, of a body whose trunk is 500 mm."
    )
