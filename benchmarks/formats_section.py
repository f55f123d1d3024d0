"""The measured tables of docs/formats.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines, table

from tal_engine.annotations.formats.registry import all_formats


def section(document: Mapping[str, Any]) -> str:
    """Both tables."""
    return f"{formats(document)}\n\nReading large tables:\n\n{tables(document)}"


def formats(document: Mapping[str, Any]) -> str:
    """A row for each format: what it holds, how times are written, what a round trip did, who judged it."""
    measured = document["figures"]["formats"]
    rows = []
    for form in all_formats():
        found = measured.get(form.name, {})
        ways = " and ".join(w for w, f in (("reads", form.read), ("writes", form.write)) if f is not None)
        holds = ", ".join(sorted(h.replace("_", " ") for h in form.holds - {"segments"})) or "segments alone"
        rows.append(
            [form.title, f"`{form.name}`", " ".join(f"`{e}`" for e in form.suffixes), ways, holds, form.unit,
             _moved(found), _judged(found)]
        )  # fmt: skip
    moved = "moved by at most, ms (at 25, 29.97)"
    head = ["format", "name", "endings", "tal", "holds beside segments", "times", moved, "judged by"]
    return "\n".join([*table(head, rows), "", *machine_lines({"formats": document["machine"]}, "numpy")])


def _moved(found: Mapping[str, Any]) -> str:
    """Largest change of a time at both rates, and frames that became others, if any."""
    out, lost = [], False
    for rate in ("25", "29.97"):
        row = found.get(rate)
        if row is None:
            continue
        if row["largest_ms"] is None:
            return "ends are not held"
        lost = lost or bool(row["ends_lost"])
        out.append(
            f"{row['largest_ms']:.3g}" + (f" ({row['other_frames']} other frames)" if row["other_frames"] else "")
        )
    return ", ".join(out) + (" of starts; ends are not held" if lost else "")


def _judged(found: Mapping[str, Any]) -> str:
    judge = found.get("judge")
    if judge is None:
        return ""
    if judge["package"] is None:
        return str(judge["does"])
    return f"{judge['package']} {judge['version'] or ''}".strip() + f": {judge['does']}"


def tables(document: Mapping[str, Any]) -> str:
    """Speed of reading beside pandas' own reader."""
    rows = [
        [name.upper() if name == "csv" else name.capitalize(), f"{f['rows']:,}",
         f"{f['ours_s']:.2f}", f"{f['pandas_s']:.2f}",
         f"{f['speed_of_pandas']:.2f} ({f['least']:.2f} to {f['most']:.2f})"]
        for name, f in document["figures"]["tables"].items()
    ]  # fmt: skip
    return "\n".join(table(["table", "rows", "ours, CPU s", "pandas, CPU s", "speed of pandas' (least to most)"], rows))
