"""The section of measured.md on runtimes and precisions, from the parts of bench_export that were run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pages import machine_lines

Figures = Mapping[str, Any]


def section(document: Mapping[str, Any]) -> str:
    """Lines of each part; a part that was not run has none."""
    figures, last = document["figures"], document["machine"]
    lines = [line for part, say in PARTS.items() if part in figures for line in say(figures[part])]
    made = {part: document.get("parts", {}).get(part, {}).get("machine", last) for part in figures}
    return "\n".join([*lines, *machine_lines(made, "onnxruntime")])


def head(f: Figures) -> list[str]:
    names = list(next(iter(f["rows"].values()))["least_ms"])
    lines = [
        f"PVLR at its published width, {f['threads']} threads, least milliseconds of runs in turn (graphs "
        + ", ".join(f"{k} {mb:.0f} MB" for k, mb in f["graph_mb"].items())
        + "); ratios of these, and of the medians:",
        "",
        f"| videos x snippets | {' | '.join(names)} | fp32 / eager | int8 / fp32 |",
        f"|---|{'---|' * (len(names) + 2)}",
    ]
    for size, row in f["rows"].items():
        ms = " | ".join(f"{row['least_ms'][n]:.0f}" for n in names)
        gains = " | ".join(
            f"{row['of_least'][k]:.2f}x ({row[k]:.2f}x)" for k in ("fp32_against_eager", "int8_against_fp32")
        )
        lines.append(f"| {size} | {ms} | {gains} |")
    loads = [row["load"][0] for row in f["rows"].values()]
    return [*lines, "", f"Load of the machine meanwhile: {min(loads):g} to {max(loads):g}.", ""]


def accuracy(f: Figures) -> list[str]:
    rows = "; ".join(f"{p} {r['map_50']:.2f} ({r['map_10_70']:.2f})" for p, r in f["rows"].items())
    return [
        f"- mAP@0.5 (mean over 0.1:0.7) of the head of the plan `demo` on {f['videos']} held-out procedural videos, "
        f"int8 calibrated on {f['calibrated_on']} training videos, bf16 emulated: {rows}."
    ]


def cold(f: Figures) -> list[str]:
    return [
        f"- Cold start in a fresh process: plan loaded {f['loaded_s']:.2f} s after the first import, first result "
        f"{f['first_result_s']:.2f} s (least {f['least_s'][0]:.2f} and {f['least_s'][1]:.2f}; load {f['load'][0]:g})."
    ]


def whole_pass(f: Figures) -> list[str]:
    took = ", ".join(f"{k} {s:.1f} s" for k, s in f["seconds"].items())
    low, high = f["published_rtx3090_s"]
    return [
        f"- THUMOS14's {f['videos']} test videos by their real lengths ({f['snippets']:,} snippets), random features "
        f"and weights, PVLR at full width: head, proposals, NMS and mAP on {f['threads']} threads {took} (load "
        f"{f['load'][0]:g}); the paper prints {low:.2f} to {high:.2f} s on an RTX 3090 without feature extraction."
    ]


def gpu(f: Figures) -> list[str]:
    return [f"- On a GPU nothing was run: {f['skipped']}."]


PARTS: dict[str, Callable[[Figures], list[str]]] = {
    "head": head, "accuracy": accuracy, "cold": cold, "pass": whole_pass, "gpu": gpu,
}  # fmt: skip
