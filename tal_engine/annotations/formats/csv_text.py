"""Rows as the text of a table between commas or tabs."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any


class _Lines(list[str]):
    r"""Lines as the writer gives them, with \n for \r\n: it puts \r within quotes only if lines end in it too."""

    def write(self, line: str) -> None:
        self.append(line[:-2])
        self.append("\n")


def csv_text(rows: Iterable[Iterable[Any]], delimiter: str = ",") -> str:
    r"""Join rows to a table whose lines end in a line feed.

    Args:
        rows: cells of each line.
        delimiter: between cells.

    Example:
        >>> csv_text([["a, b", 1]])
        '"a, b",1\n'
    """
    lines = _Lines()
    csv.writer(lines, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return "".join(lines)
