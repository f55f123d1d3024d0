"""What a fit gives: figures as a table, what would help most, and a page to show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..._util.files import write_text


@dataclass(frozen=True)
class Table:
    """Rows of texts under a head; prints as plain text, and as a table in notebooks."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        return "\n".join(
            "  ".join(t.ljust(w) if i == 0 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        )

    def _repr_html_(self) -> str:
        def cells(tag: str, line: tuple[str, ...]) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(t)}</{tag}>" for t in line) + "</tr>"

        return f"<table>{cells('th', self.head)}{''.join(cells('td', r) for r in self.rows)}</table>"


@dataclass(frozen=True)
class FitReport:
    """The outcome of a fit. document: everything, ready for JSON; docs/fit.md says what is in it."""

    document: Mapping[str, Any]

    @property
    def output(self) -> Path:
        """The plan."""
        return Path(self.document["output"])

    @property
    def table(self) -> Table:
        """Figures of each class and of all: labels, AP on held-out videos, threshold, precision, recall, alarms."""
        head = ("class", "videos", "labels", "AP %", "threshold", "precision %", "recall %", "false alarms/h")
        rows = [
            (
                c["name"], str(c["videos"]), str(c["labels"]), _percent(c["ap"]), f"{c['score']:.2f}",
                _percent(c["precision"]), _percent(c["recall"]), f"{c['per_hour']:.1f}",
            )
            for c in self.document["classes"]
        ]  # fmt: skip
        main = self.document["figures"][self.document["measure"]]
        spread = f"{_percent(main['mean'])} ± {100 * main['sd']:.1f}"
        total = sum(c["per_hour"] for c in self.document["classes"])
        videos, labels = self.document["videos"], sum(c["labels"] for c in self.document["classes"])
        rows.append((self.document["measure"], str(videos), str(labels), spread, "", "", "", f"{total:.1f}"))
        return Table(head, tuple(rows))

    @property
    def next_steps(self) -> list[str]:
        """What would help most, in sentences."""
        return list(self.document["next_steps"])

    def to_html(self, path: str | Path) -> None:
        """Write the report as one page, pictures inside (needs the ``plot`` extra).

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from ...outputs.render.fit_report import write

        write(path, self.document)

    def save(self, path: str | Path) -> None:
        """Write the document as JSON."""
        write_text(path, json.dumps(self.document, indent=1, allow_nan=False) + "\n")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
