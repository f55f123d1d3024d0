"""The part of docs/figures.md on what moves a training run of one seed, from the stored results of bench_moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_moved import BASE
from pages import machine_lines, table


def section(document: Mapping[str, Any], published: Mapping[str, Any]) -> str:
    """Runs that were cut short, then whole runs beside the stored row of the table of measured.md."""
    f = document["figures"]
    lines = [*short(f["short"]), ""] if f.get("short") else []
    if f["rows"]:
        lines += [*whole(f["rows"], published), ""]
    machine = document["machine"]
    lines.append(f"Instruction sets and settings: {machine['instructions']}; one thread where not said.")
    return "\n".join([*lines, *machine_lines({"all": machine}, "torch")])


def short(f: Mapping[str, Any]) -> list[str]:
    """A row for each thing that was changed."""
    base = f["rows"][BASE]["weights"]
    rows = [
        [f"{name} ({row['earlier']})" if "earlier" in row else name, _moved(row, base)]
        for name, row in f["rows"].items()
        if name != BASE
    ]
    return table([f"after {f['steps']} steps, seed {f['seed']}", f"trained weights against those of {BASE!r}"], rows)


def _moved(row: Mapping[str, Any], base: str) -> str:
    if row["weights"] == base:
        return "bit-equal"
    away = row["largest_difference"]
    return f"differ by at most {away:.1e}" if away else "equal, another file"


def whole(rows: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """mAP@0.1:0.7 of each seed."""
    seeds = sorted({s for row in rows.values() for s in row["runs"]}, key=int)
    lines = [[f"row of measured.md, on {published['machine']['cpu']}", *(_figure(published["runs"], s) for s in seeds)]]
    lines += [[name, *(_figure(row["runs"], s) for s in seeds)] for name, row in rows.items()]
    return table(["whole runs, mAP@0.1:0.7", *(f"seed {s}" for s in seeds)], lines)


def _figure(runs: Mapping[str, Any], seed: str) -> str:
    return f"{runs[seed]['map_10_70']:.2f}" if seed in runs else "not run"
