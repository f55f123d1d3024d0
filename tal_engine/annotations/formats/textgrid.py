"""Praat's TextGrid: tiers of intervals that fill the whole time, and tiers of points.

Written in the long text form. A tier holds no overlaps, so there is one for each subject, or label where nobody is
named, and one more where segments overlap; gaps are empty intervals, as Praat itself makes them. Read: the long and the
short text form; the text of an interval is its label, the tier's name its subject unless it is the label.

Format: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..._util.files import write_text
from ..._util.untrusted import guarded, listed, read_text
from ...errors import DataError
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable, Media, lanes

#: Texts in quotes (doubled inside), numbers and flags; the rest of a line is words for people.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)|(<exists>)')
#: What `write_textgrid` adds to the name of a tier for overlaps.
_LANE = re.compile(r" \[overlap \d+\]$")


def read_textgrid(path: Path, context: Context) -> AnnotationTable:
    """Read a TextGrid; empty intervals and points are gaps.

    Raises:
        DataError: no TextGrid in a text form, cut off, or an interval that ends before it starts.
    """
    text = read_text(path, "TextGrid")
    if "ooTextFile" not in text[:100]:
        raise DataError(f"{path}: not a TextGrid in a text form (it must begin with 'File type = \"ooTextFile\"')")
    # "xmin = 0" is a number; the name in "intervals [1]" and comments are not.
    tokens = iter(
        [m.group(1).replace('""', '"') if m.group(1) is not None else m.group(0) for m in _TOKEN.finditer(text)]
    )
    wrong: list[str] = []
    with guarded(path, "TextGrid, cut off or damaged"):
        kinds = next(tokens), next(tokens)
        if kinds[1] != "TextGrid":
            raise DataError(f"{path}: holds a {kinds[1]}, must be a TextGrid")
        _, end = float(next(tokens)), float(next(tokens))
        rows = list(_tiers(tokens, context.named(path), wrong)) if next(tokens, "") == "<exists>" else []
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows, {context.named(path): Media(duration=end)})


def _tiers(tokens: Iterator[str], name: str, wrong: list[str]) -> Iterator[Annotation]:
    seen: set[str] = set()
    for _ in range(int(next(tokens))):
        kind, tier = next(tokens), next(tokens)
        next(tokens), next(tokens)
        base = _LANE.sub("", tier)
        subject = base if base in seen else tier
        seen.add(tier)
        for _ in range(int(next(tokens))):
            start = float(next(tokens))
            end = float(next(tokens)) if kind == "IntervalTier" else None
            label = next(tokens).strip()
            if not label:
                continue
            if start < 0 or (end is not None and end <= start):
                wrong.append(f"tier {tier!r}: {label!r} from {start:g} to {end} s")
                continue
            yield Annotation(name, label, start, end, "" if subject == label else subject)


def write_textgrid(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write the long text form."""
    ends = [x for r in table for x in (r.start, r.end) if x is not None]
    media = next((table.media[v] for v in table.videos if v in table.media), Media())
    end = max([media.duration or 0.0, *ends, 1e-3])
    tiers = [_tier(k, name, rows, end) for k, (name, rows) in enumerate(_grouped(table), 1)]
    head = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {end!r}\ntiers? <exists>\n'
    write_text(path, head + f"size = {len(tiers)}\nitem []:\n" + "".join(tiers))


def _grouped(table: AnnotationTable) -> Iterator[tuple[str, AnnotationTable]]:
    """Yield names of tiers and their rows: segments without overlaps, or points."""
    names = [s or label for s, label in zip(table.subject.tolist(), table.label.tolist(), strict=True)]
    for name in sorted(set(names)):
        rows = table.where(np.array([n == name for n in names], bool))
        parts = lanes(rows.where(rows.kinds == "segment")) + [p for p in [rows.where(rows.kinds == "point")] if len(p)]
        yield from ((name if k == 0 else f"{name} [overlap {k + 1}]", part) for k, part in enumerate(parts))


def _tier(number: int, name: str, table: AnnotationTable, end: float) -> str:
    points = bool((table.kinds == "point").all())
    kind, entries = ("TextTier", _points(table)) if points else ("IntervalTier", _intervals(table, end))
    what = "points" if points else "intervals"
    lines = [f"    item [{number}]:", f'class = "{kind}"', f"name = {_quoted(name)}", "xmin = 0", f"xmax = {end!r}",
             f"{what}: size = {len(entries)}"]  # fmt: skip
    for k, entry in enumerate(entries, 1):
        lines += [f"{what} [{k}]:", *entry]
    return lines[0] + "\n" + "".join(f"        {line}\n" for line in lines[1:])


def _points(table: AnnotationTable) -> list[list[str]]:
    rows = sorted(table, key=lambda r: r.start or 0.0)
    return [[f"number = {r.start!r}", f"mark = {_quoted(r.label)}"] for r in rows]


def _intervals(table: AnnotationTable, end: float) -> list[list[str]]:
    """Interleave segments and empty intervals; the boundary of two has the same digits in both."""
    out, last = [], 0.0
    for r in table:
        start, stop = r.start or 0.0, r.end or 0.0
        if start > last:
            out.append((last, start, ""))
        out.append((start, stop, r.label))
        last = stop
    if end > last:
        out.append((last, end, ""))
    return [[f"xmin = {a!r}", f"xmax = {b!r}", f"text = {_quoted(label)}"] for a, b, label in out]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


FORMATS = (
    Format("textgrid", "Praat TextGrid", (".textgrid",), holds("subject", "points", "overlaps"), "seconds, all digits",
           read_textgrid, write_textgrid, one_video=True),
)  # fmt: skip
