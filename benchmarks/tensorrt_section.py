"""The table of TensorRT-RTX engines that were built ahead of time, from bench_tensorrt's stored figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines


def section(document: Mapping[str, Any]) -> str:
    """A row for each graph, a column for each precision: seconds and megabytes of an engine, over the targets."""
    f = document["figures"]
    precisions = list(next(iter(f["graphs"].values()))["precisions"])
    lines = [
        f"{f['library']} engines built on a machine without a card, one for each of {', '.join(f['targets'])}: seconds "
        "to build and megabytes, least to most over the targets.",
        "",
        f"| graph | {' | '.join(precisions)} |",
        f"|---|{'---|' * len(precisions)}",
    ]
    for name, graph in f["graphs"].items():
        cells = " | ".join(_cell(graph["precisions"][p]["each"]) for p in precisions)
        lines.append(f"| {name} | {cells} |")
    return "\n".join([*lines, "", *_refused(f), *machine_lines({"builds": document["machine"]}, "onnxruntime")])


def _cell(each: Mapping[str, Any]) -> str:
    built = [e for e in each.values() if "mb" in e]
    if not built:
        return "-"
    return f"{_span([e['seconds'] for e in built])} s, {_span([e['mb'] for e in built])} MB"


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _refused(f: Mapping[str, Any]) -> list[str]:
    """Targets that cannot have a precision, in one line."""
    found: dict[str, set[str]] = {}
    for graph in f["graphs"].values():
        for precision, made in graph["precisions"].items():
            for target, e in made["each"].items():
                if "refused" in e:
                    found.setdefault(target, set()).add(precision)
    return [f"- {target} has no {', '.join(sorted(p))} in this library." for target, p in sorted(found.items())]
