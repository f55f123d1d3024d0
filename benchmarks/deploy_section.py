"""The measured tables of docs/deploy.md: flow by versions of OpenCV, memory that a process keeps, 8-bit sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines, table


def flow(document: Mapping[str, Any]) -> str:
    """A row for each flow and revision of its rules, over the versions of OpenCV that compute it."""
    f = document["figures"]
    newest = list(f["versions"])[-1]
    rows = []
    for method in ("dis", "tvl1"):
        by_rules: dict[str, list[str]] = {}
        for version, row in f["versions"].items():
            by_rules.setdefault(row[method]["rules"], []).append(version)
        rows += [_flow(f["versions"], method, rules, versions, newest) for rules, versions in by_rules.items()]
    return "\n".join(
        [
            *table(
                ["flow", "OpenCV", f"mean difference from {_short(newest)}, pixels", "largest",
                 f"segments of the plan `demo` on {f['videos']} drawn videos", f"not those of {_short(newest)}"],
                rows,
            ),
            "",
            "Differences: least to most over the videos, as encoders see them and whole, and over the versions.",
            "",
            *machine_lines({"flow": document["machine"]}, "numpy"),
        ]
    )  # fmt: skip


def _flow(versions: Mapping[str, Any], method: str, rules: str, own: list[str], newest: str) -> list[str]:
    found = [versions[v][method] for v in own if v != newest]
    away = [x for r in found for x in r["mean_from_newest"]]
    mean = f"{min(away):.3f} to {max(away):.3f}" if away else ""
    largest = f"{max(r['largest'] for r in found):.2f}" if found else ""
    name = _short(own[0]) if len(own) == 1 else f"{_short(own[0])} to {_short(own[-1])}"
    if method != "dis":  # the plan was made with dis
        return [rules, name, mean, largest, "", ""]
    segments = sorted({versions[v]["segments"] for v in own})
    other = sorted({versions[v]["segments_unmatched"] for v in own})
    return [rules, name, mean, largest, _range(segments), _range(other)]


def _range(values: list[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _short(version: str) -> str:
    return ".".join(version.split(".")[:2])


def memory(document: Mapping[str, Any]) -> str:
    """A table for each length of the long videos."""
    f = document["figures"]
    lines: list[str] = []
    for snippets, ways in f["snippets"].items():
        steps = list(next(iter(ways.values()))["grown"])
        times = list(next(iter(ways.values()))["cpu_ms"])
        head = [f"{int(snippets):,} snippets", *(f"MiB kept, {step}" for step in steps), "peak MiB",
                *(f"CPU ms, {t}" for t in times)]  # fmt: skip
        lines += [*table(head, [_memory(way, row) for way, row in ways.items()]), ""]
    rounds = f"Medians (least to most) of {f['rounds']} processes each."
    return "\n".join([*lines, rounds, "", *machine_lines({"memory": document["machine"]}, "onnxruntime")])


def _memory(way: str, row: Mapping[str, Any]) -> list[str]:
    name = "trim (shipped)" if way == "trim" else way
    kept = [_spread(v, 1) for v in row["grown"].values()]
    return [name, *kept, _spread(row["peak"], 0), *(_spread(v, 2) for v in row["cpu_ms"].values())]


def _spread(v: Mapping[str, float], places: int) -> str:
    return f"{v['median']:.{places}f} ({v['least']:.{places}f} to {v['most']:.{places}f})"


#: Ways of multiplying as the results name them, and as the page does.
_WAYS = {"default": "default", "precise": "exact", "seven bits": "weights of 7 bits"}


def int8(document: Mapping[str, Any]) -> str:
    """A table for each instruction set that it was run on."""
    lines: list[str] = []
    for instructions, f in document["figures"].items():
        graphs = {name: row for name, row in f.items() if name.endswith(".onnx")}
        rows = [_int8(graph, row, figure) for graph, row in graphs.items() for figure in _INT8]
        changed = f["segments of the head, from reference"]
        rows.append(
            ["segments of the head that differ from the reference"]
            + [f"{c['segments_changed']} of {c['segments']}" if (c := changed.get(w)) else "" for w in _WAYS]
        )
        machine = {instructions: document["parts"][instructions]["machine"]}
        lines += [*table([instructions, *_WAYS.values()], rows), "", *machine_lines(machine, "onnxruntime"), ""]
    return "\n".join(lines[:-1])


#: A figure of a graph, and what it is.
_INT8 = {
    "mean_from_reference": "mean error from the reference",
    "mean_from_fp32": "mean error from float32",
    "ms": "ms",
}


def _int8(graph: str, row: Mapping[str, Any], figure: str) -> list[str]:
    name = f"{graph.removesuffix('.onnx')}: {_INT8[figure]}"
    if figure == "ms":
        return [f"{name} (float32: {row['ms']['fp32']:.3g})", *(f"{row['ms'][w]:.3g}" for w in _WAYS)]
    return [name, *(f"{100 * row[figure][w]:.2g} %" if w in row[figure] else "" for w in _WAYS)]
