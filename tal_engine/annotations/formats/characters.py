"""Characters that a format cannot hold are written as their number, and counted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .table import AnnotationTable, objects

#: Halves of surrogate pairs: JSON can say them, and no encoding of text holds them.
_HALVES = "\ud800-\udfff"
_COLUMNS = ("video", "label", "subject", "comment")


def spelled_out(table: AnnotationTable, unfit: str) -> tuple[AnnotationTable, list[tuple[str, int]]]:
    """Replace white space that a format cannot hold by a blank, and other such characters by an escape.

    Args:
        table: what is to be written.
        unfit: the characters, as they stand in a character class of a regular expression.

    Returns:
        The table, and for each column a sentence that names the first row, with the count of rows.
    """
    pattern = re.compile(f"[{_HALVES}{unfit}]")
    columns: dict[str, Any] = {}
    said = []
    for name in _COLUMNS:
        values = getattr(table, name).tolist()
        new = {v: pattern.sub(_escape, v) for v in dict.fromkeys(values) if pattern.search(v)}
        if new:
            rows = [i for i, v in enumerate(values) if v in new]
            columns[name] = objects(new.get(v, v) for v in values)
            said.append((
                f"a {name} with a character that cannot be held is written otherwise, such as {values[rows[0]]!r} "
                f"as {new[values[rows[0]]]!r} (annotation {rows[0] + 1}, {table.label[rows[0]]!r})", len(rows),
            ))  # fmt: skip
    media = {pattern.sub(_escape, name): about for name, about in table.media.items()}
    return replace(table, **columns, media=media) if columns else table, said


def _escape(found: re.Match[str]) -> str:
    return " " if found[0].isspace() and found[0] > "\x08" else ascii(found[0])[1:-1]
