"""What README and the method cards share: parts between markers that are written from stored results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tal_engine._util.files import write_text

ROOT = Path(__file__).parents[1]


def filled(path: Path, sections: Mapping[str, Callable[[], str]]) -> str:
    """The page with new text between ``<!-- NAME -->`` and ``<!-- /NAME -->`` of each section.

    Raises:
        SystemExit: the page lacks the markers of a section.
    """
    text = path.read_text()
    for name, make in sections.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin not in text or end not in text.split(begin, 1)[1]:
            sys.exit(f"{path}: lacks the lines {begin.strip()} and {end}")
        head, rest = text.split(begin, 1)
        text = f"{head}{begin}{make()}\n{end}{rest.split(end, 1)[1]}"
    return text


def check_asked() -> bool:
    """Only look whether the pages are up to date."""
    return "--check" in sys.argv


def write_or_check(pages: Mapping[Path, str], check: bool) -> bool:
    """Write the pages; with `check` only say whether they are as they should be."""
    if check:
        return all(path.exists() and path.read_text() == text for path, text in pages.items())
    for path, text in pages.items():
        write_text(path, text)
    return True


def plus_minus(spread: Mapping[str, Any], places: int = 1) -> str:
    """Mean ± standard deviation; one value has no deviation."""
    if len(spread["values"]) == 1:
        return f"{spread['mean']:.{places}f}"
    return f"{spread['mean']:.{places}f} ± {spread['sd']:.{places}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]


def machine_lines(machines: Mapping[str, Mapping[str, Any]], package: str) -> list[str]:
    """The machine of what was measured, by the name of each thing, if there are several machines."""
    by_machine: dict[str, list[str]] = {}
    for what, m in machines.items():
        words = f"{m['cpu']}, {m['cores']} cores, no GPU; Python {m['python']}, {package} {m['versions'][package]}"
        by_machine.setdefault(words, []).append(what)
    if len(by_machine) == 1:
        return [f"- Machine: {m}." for m in by_machine]
    return [f"- Machine of {', '.join(parts)}: {m}." for m, parts in by_machine.items()]
