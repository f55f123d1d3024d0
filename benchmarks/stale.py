"""Lists figures that are older than the code they measure: python benchmarks/readme.py --stale.

A line for each benchmark and part. "current": the code has the text it had. "stale": rooms whose text has changed, with
the files where git knows the commit. "unknown": the result does not say what code it measured. Where rows of a part
were measured one by one, each has its own state and the line says how many have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import rooms

#: Files that a line names at most.
SHOWN = 6


class State(NamedTuple):
    """Of a benchmark's part: what it is, of how many rows, and what has changed."""

    state: str
    benchmark: str
    part: str
    rows: str
    changed: tuple[str, ...]


def measurements(document: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """Part, row and the run of each; row is None where a part was measured at once."""
    figures = document.get("figures", {})
    for part, run in (document.get("parts") or {"": document}).items():
        rows = figures.get(part, {}).get("rows", {}) if isinstance(figures.get(part), dict) else {}
        single = isinstance(rows, dict) and any("command" in r for r in rows.values() if isinstance(r, dict))
        if single:
            yield from ((part, row, found) for row, found in rows.items())
        else:
            yield part, None, run


def judged(run: Mapping[str, Any], root: Path) -> tuple[str, tuple[str, ...]]:
    """State of one measurement, and the files or rooms that have changed."""
    record = run.get("code")
    if not record:
        return "unknown", ()
    changed = rooms.changed_rooms(record, root)
    if not changed:
        return "current", ()
    files = rooms.changed_files(record, changed, root)
    return "stale", tuple(files or changed)


def states(documents: Mapping[str, Mapping[str, Any]], root: Path = rooms.ROOT) -> list[State]:
    """Of all stored results, by benchmark, part and state."""
    out: list[State] = []
    for name, document in sorted(documents.items()):
        found: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        count: dict[str, int] = {}
        for part, row, run in measurements(document):
            state, changed = judged(run, root)
            found.setdefault((part, state), []).append(changed)
            count[part] = count.get(part, 0) + (row is not None)
        for (part, state), rows in found.items():
            told = f"{len(rows)} of {count[part]} rows" if count[part] else ""
            out.append(State(state, name, part, told, tuple(sorted({c for r in rows for c in r}))))
    return out


def line(state: State) -> str:
    """A state in words."""
    what = " ".join(x for x in (state.benchmark, state.part, f"({state.rows})" if state.rows else "") if x)
    shown = ", ".join(state.changed[:SHOWN])
    more = f" and {len(state.changed) - SHOWN} more" if len(state.changed) > SHOWN else ""
    return f"{state.state:<8} {what}{': ' + shown + more if shown else ''}"


def main(documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Print all, those that need work first."""
    order = ("stale", "unknown", "current")
    found = sorted(states(documents), key=lambda s: order.index(s.state))
    print("\n".join(line(s) for s in found))
    print(", ".join(f"{sum(s.state == x for s in found)} {x}" for x in order))
