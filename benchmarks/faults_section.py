"""The tables of docs/faults.md, from the stored sweeps and fuzzing runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines, table

Figures = Mapping[str, Any]


def faults(document: Mapping[str, Any]) -> str:
    """A row for each command and kind of fault."""
    parts = document["figures"]
    rows = [
        [name, str(row["calls"]), kind, *(str(f[n]) for n in ("tries", "refused", "finished", "killed", "leftovers")),
         str(len(f["bad"]))]
        for part in parts.values() for name, row in part["rows"].items() for kind, f in row["kinds"].items()
    ]  # fmt: skip
    head = ["command", "calls", "fault", "tries", "refused", "finished", "killed", "leftovers", "broken promises"]
    tries = sum(int(r[3]) for r in rows)
    bad = sum(int(r[-1]) for r in rows)
    machines = {part: document["parts"][part]["machine"] for part in parts}
    return "\n".join(
        [f"{tries} trials, {bad} broken promises.", "", *table(head, rows), "", *machine_lines(machines, "onnxruntime")]
    )


def fuzz(document: Mapping[str, Any]) -> str:
    """A row for each target."""
    f = document["figures"]
    total, rows = f["total"], []
    for name, t in f["targets"].items():
        growth = [f"{before} to {after}" for before, after in (t["corpus"], t["edges"], t["features"])]
        rows.append([name, f"{t['seconds'] / 60:.1f}", str(t["runs"]), *growth, t["finding"] or "none"])
    head = ["target", "minutes", "executions", "inputs kept", "edges", "features", "escapes"]
    sums = f"{total['minutes']:g} minutes, {total['runs']} executions, {total['escapes']} escapes"
    return "\n".join(
        [
            f"{sums} (atheris {f['atheris']}).",
            "",
            *table(head, rows),
            "",
            *machine_lines({"all": document["machine"]}, "onnxruntime"),
        ]
    )
