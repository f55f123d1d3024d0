"""The part of docs/fit.md on what the table of heads was measured on, from the stored results of bench_fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages import machine_lines, plus_minus, table

from tal_engine.lab.fitting.rules import rule_for

_WHAT = {
    "msrc12": "MSRC-12, real skeletons",
    "vts": "VTS, open surgery",
    "gym": "gym clips, I3D",
    "tiny": "procedural videos, small encoders",
    "lite0": "procedural videos, `lite0`",
}
F1 = ("F1@10", "F1@25", "F1@50")
#: The head that `tal fit` takes, by kind of label.
CHOSEN = {kind: rule_for(kind, 0).head for kind in ("video", "point", "segment")}
_MEASURE = {"video": "video mAP", "point": "point mAP", "segment": "mAP@0.1:0.7"}


def section(document: Mapping[str, Any]) -> str:
    """A table for each set: labels that were trained on, head, figure, calibration error, seconds."""
    lines: list[str] = []
    for name, part in document["figures"].items():
        seeds = sorted({s for r in part["rows"].values() for s in r["runs"]})
        measure = _MEASURE[part["measured"]]
        folds = next(iter(part["rows"].values()))["folds"]
        lines += [
            f"{_WHAT[name]}: {part['videos']} videos of {part['groups']} groups, {60 * part['hours']:.0f} minutes, "
            f"{part['classes']} classes, {part['labels']} labels; {folds} folds, {len(seeds)} seed"
            f"{'s' if len(seeds) > 1 else ''}.",
            "",
            *table(
                [
                    "labels",
                    "head",
                    f"{measure}, %",
                    *_more(part),
                    "calibration error, points",
                    "false alarms an hour",
                    "CPU s",
                ],
                _rows(part, measure),
            ),
            "",
            *_said(part, measure),
        ]
    lines.append(
        "F1 and false alarms are of what passes the thresholds of best F1. All heads have the settings of the "
        "table, none its own best; a figure without a deviation is of one seed, and such a difference may be chance."
    )
    machines = {_WHAT[n]: document["parts"][n]["machine"] for n in document["figures"]}
    return "\n".join([*lines, *machine_lines(machines, "torch")])


def _rows(part: Mapping[str, Any], measure: str) -> list[list[str]]:
    kept = [r for r in part["rows"].values() if not _repeats(r, part["rows"], measure)]
    rows = sorted(kept, key=lambda r: (r["kind"], -r["summary"][measure]["mean"]))
    return [
        [r["kind"], f"`{r['head']}`{_before(r)}", plus_minus(r["summary"][measure]),
         *("/".join(f"{r['summary'][f]['mean']:.0f}" for f in F1) for _ in _more(part)),
         plus_minus(r["summary"]["ECE"]) if "ECE" in r["summary"] else "-",
         f"{r['summary']['false alarms an hour']['mean']:.0f}", f"{r['summary']['cpu_s']['mean']:.0f}"]
        for r in rows
    ]  # fmt: skip


def _before(row: Mapping[str, Any]) -> str:
    """What is said of a row with the settings that `tal fit` had before."""
    return ", before" if row.get("widest") == 0 else ""


def _said(part: Mapping[str, Any], measure: str) -> list[str]:
    """How far the head of `tal fit` is from the best one for each kind of label, and points from segments."""
    rows = {k: r for k, r in part["rows"].items() if not _before(r)}
    mean = {k: r["summary"][measure]["mean"] for k, r in rows.items()}
    best = {kind: max((k for k in mean if rows[k]["kind"] == kind), key=mean.__getitem__, default=None)
            for kind in CHOSEN}  # fmt: skip
    words = [
        f"from {_KIND[kind]} {mean[f'{kind}: {head}'] - mean[top]:+.1f} (`{rows[top]['head']}`)"
        for kind, head in CHOSEN.items()
        if (top := best[kind]) is not None and sum(r["kind"] == kind for r in rows.values()) > 1
    ]
    out = [f"The head of `tal fit` less the best of those measured, {measure}: {', '.join(words)}."]
    points, top = mean.get(f"point: {CHOSEN['point']}"), best["segment"]
    share = [f"Points give {points / mean[top]:.0%} of what segments give."] if points and top else []
    return [" ".join([*(out if words else []), *share]), ""] if words or share else []


def _more(part: Mapping[str, Any]) -> list[str]:
    """Heading of the segmental F1 where the truth has segments."""
    return ["F1@10/25/50"] if part["measured"] == "segment" else []


def _repeats(row: Mapping[str, Any], rows: Mapping[str, Any], measure: str) -> bool:
    """Whether a head that reads no times got the same of stronger labels as of labels of videos."""
    weak = rows.get(f"video: {row['head']}")
    same = weak is not None and weak["summary"][measure]["values"] == row["summary"][measure]["values"]
    return row["kind"] != "video" and same


#: What rows of bench_mixed are called.
_MIXED = ("all", "strong", "weak")
_KIND = {"video": "labels of videos", "point": "points", "segment": "segments"}


def mixed_section(document: Mapping[str, Any]) -> str:
    """A table for all sets: what a share of the videos has, what the others have, and the figure of each way."""
    rows: list[list[str]] = []
    for name, part in document["figures"].items():
        settings = dict.fromkeys((r["strong"], r["weak"], r["share"]) for r in part["rows"].values())
        for strong, weak, share in sorted(settings):
            of = [r for r in part["rows"].values() if (r["strong"], r["weak"], r["share"]) == (strong, weak, share)]
            mine = {r["row"]: r for r in of}
            cells = [
                f"{plus_minus(mine[k]['summary'])} (`{mine[k]['head']}`)" if k in mine else "not measured"
                for k in _MIXED
            ]
            rows.append([_WHAT[name], f"{_KIND[strong]} in {share:.0%}, {_KIND[weak]} in the others", *cells])
    measures = ", ".join(f"{_WHAT[n]}: {p['measure']}, {p['videos']} videos" for n, p in document["figures"].items())
    most = max(len(r["runs"]) for p in document["figures"].values() for r in p["rows"].values())
    said = f"{measures}. Held out in 2 folds; a figure without a deviation is of one seed, others are of {most}"
    machines = {_WHAT[n]: document["parts"][n]["machine"] for n in document["figures"]}
    head = ["set", "training videos", "all, %", "strong, %", "weak, %"]
    return "\n".join([*table(head, rows), "", f"{said}.", *machine_lines(machines, "torch")])


def calibration(document: Mapping[str, Any]) -> str:
    """The calibration of the plan `demo` in words, for docs/scores.md."""
    f = document["figures"]
    whole, shown, few = f["all"], f["reported"], f["few"]
    return (
        f"The plan `demo` on {f['videos']} rendered videos of {f['seconds_of_each']:g} s that nothing was fitted on, "
        f"{f['instances']} actions: expected calibration error {whole['found']:.3f} over all {whole['outcomes']} "
        f"segments, most of which score near 0, and {shown['found']:.3f} over the {shown['outcomes']} that are "
        f"reported. A perfectly calibrated plan would show {shown['by_chance']:.3f} on as many by luck "
        f"(p = {shown['p']:.2f}); with the bias taken off, the root mean square error is {shown['corrected']:.3f}. Of "
        f"{few['outcomes']} reported segments alone, as an earlier figure of 0.18 was, the error is "
        f"{few['found']:.2f} on average and {few['by_chance']:.2f} by luck."
    )


def whole(document: Mapping[str, Any]) -> str:
    """Processor time of a fit from nothing, and where its seconds went."""
    part = document["figures"]
    runs = list(part["runs"].values())
    stages = runs[0]["seconds"]
    training = sum(s for name, s in stages.items() if name.startswith(("fold", "half", "all")))
    share, cpu = 100 * training / sum(stages.values()), _seconds([r["cpu_s"] for r in runs])
    lines = [
        f"{part['videos']} videos of {part['seconds_each']:.0f} s, one click each, `lite0`, four folds, the learning",
        f"curve and the final head (nine runs of training): {cpu} s of processor time on two threads, {share:.0f} % of",
        f"the time in training. By the clock {_seconds([r['wall_s'] for r in runs])} s.",
    ]
    if (busy := max(r["load_before"] for r in runs)) > 1:
        lines.append(f"Others used the cores too (load {busy:.0f} at the start): by itself it is faster.")
    return "\n".join([" ".join(lines), "", *machine_lines({"all": document["machine"]}, "torch")])


def _seconds(values: Sequence[float]) -> str:
    return f"{min(values):.0f}" if len(values) == 1 else f"{min(values):.0f} to {max(values):.0f}"
