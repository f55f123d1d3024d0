"""Tables: CSV and TSV with our columns, and Parquet; the formats that hold everything."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..._util.extras import need
from ..._util.files import whole_file, write_text
from ..._util.untrusted import decode, guarded, listed, read_bytes
from ...errors import DataError, MissingExtraError
from ..labels.label_table import read_table
from .csv_text import csv_text
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable, Media, objects

TEXTS = ("video", "subject", "label", "comment")
NUMBERS = ("start", "end", "score")
COLUMNS = ("video", "subject", "label", "kind", "start", "end", "score", "comment")
#: Marks of encodings that pandas is not given.
_OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_NAN = re.compile(rb"\bnan\b", re.IGNORECASE)
_PIECE = 1 << 16
#: Bytes from which pandas reads a table, where it is installed: it takes a tenth of the time.
_LARGE = 1 << 20


def read_delimited(path: Path, context: Context) -> AnnotationTable:
    """Read a table whose first line names our columns, in any order; "video" and "label" are needed.

    Raises:
        DataError: naming every row whose times or score are no numbers, or that ends before it starts.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    data = read_bytes(path, "table of annotations")
    large = len(data) > _LARGE and not data.startswith(_OTHER_MARKS)
    text = decode(data[: max(data.find(b"\n"), 0)] if large else data, path, "table of annotations")
    head = text[: end if (end := text.find("\n")) >= 0 else None].strip().split(delimiter)
    if not set(head) <= set(COLUMNS):
        return _of_labels(path)
    if missing := {"video", "label"} - set(head):
        raise DataError(f"{path}: its first line must name video and label; missing: {', '.join(sorted(missing))}")
    columns = _by_pandas(data, delimiter, head, path) if large else _by_csv(text, delimiter, path)
    return checked(columns, path)


def _of_labels(path: Path) -> AnnotationTable:
    """Read a table of labels with other names of columns, or other separators, as `read_labels` does.

    Raises:
        DataError: no such table, or rows that cannot be used; all are named.
    """
    table = read_table(path)
    if table.problems:
        raise DataError(f"{path}: {listed([str(p) for p in table.problems])}")
    rows = (Annotation(r.video, r.label, r.start, r.end, r.subject, r.score, r.comment) for r in table.rows if r.label)
    return AnnotationTable.of(rows, notes=table.notes)


def _by_csv(text: str, delimiter: str, path: Path) -> dict[str, Any]:
    with guarded(path, "table of annotations"):
        rows = [r for r in csv.reader(io.StringIO(text), delimiter=delimiter) if r]
        head, body = rows[0], rows[1:]
    wrong = [
        f"line {i}: {len(r)} cells, the first line has {len(head)}"
        for i, r in enumerate(body, 2)
        if len(r) != len(head)
    ]
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    found = {name: [r[i] for r in body] for i, name in enumerate(head) if name in COLUMNS}
    numbers = {name: _numbers(found[name], name, wrong) for name in NUMBERS if name in found}
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return {name: objects(found[name]) for name in TEXTS if name in found} | numbers


def _numbers(cells: Sequence[str], name: str, wrong: list[str]) -> Any:
    """Convert a column of numbers; empty cells are NaN. What is no number is added to `wrong`."""
    out = np.full(len(cells), math.nan)
    for i, cell in enumerate(cells):
        try:
            out[i] = float(cell) if cell.strip() else math.nan
            if cell.strip() and math.isnan(out[i]):
                raise ValueError
        except ValueError:
            wrong.append(f"line {i + 2}: {name} is {cell[:40]!r}, must be a number")
    return out


def _by_pandas(data: bytes, delimiter: str, head: list[str], path: Path) -> dict[str, Any]:
    def slowly() -> dict[str, Any]:
        return _by_csv(decode(data, path, "table of annotations"), delimiter, path)

    last = head[-1]
    if last in NUMBERS:
        return slowly()  # pandas reads a row that is cut short as one with empty cells
    try:
        pd: Any = need("pandas")
    except MissingExtraError:
        return slowly()
    types = dict.fromkeys((*TEXTS, last), "category") | dict.fromkeys(NUMBERS, "float64")
    try:
        frame = pd.read_csv(
            io.BytesIO(data), sep=delimiter, usecols=lambda name: name in types, dtype=types, encoding="utf-8-sig",
            keep_default_na=False, na_values={name: [""] for name in NUMBERS},
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError):
        return slowly()  # which names every line that is wrong
    if (frame[last].cat.codes == -1).any():  # an empty cell is "", a missing one is not
        return slowly()
    if any(frame[n].isna().any() for n in NUMBERS if n in frame) and _has_nan(data):
        return slowly()  # an empty cell is no number, the word nan is an error
    return from_frame(frame)


def _has_nan(data: bytes) -> bool:
    """Return whether the word nan is in a table: a plain search by pieces first, which takes a tenth of the time."""
    pieces = (data[at : at + _PIECE + 2] for at in range(0, len(data), _PIECE))
    return any(b"nan" in piece.lower() for piece in pieces) and _NAN.search(data) is not None


def from_frame(frame: Any) -> dict[str, Any]:
    """Convert the columns of a data frame: texts to objects, numbers to float64."""
    out: dict[str, Any] = {}
    for name in TEXTS:
        if name in frame:
            kept = frame[name].astype("category").cat
            values = np.append(np.asarray(kept.categories.astype(str), object), "")
            out[name] = values[kept.codes.to_numpy()]  # a missing text has code -1
    return out | {name: frame[name].to_numpy(np.float64) for name in NUMBERS if name in frame}


def checked(columns: Mapping[str, Any], path: Path) -> AnnotationTable:
    """Build a table of columns, filling missing ones.

    Raises:
        DataError: naming every malformed row: without video or label, an end without a start or not after it, infinite
            or negative times.
    """
    n = len(columns["video"])
    texts: dict[str, Any] = {name: columns[name] if name in columns else objects([""] * n) for name in TEXTS}
    numbers: dict[str, Any] = {name: columns[name] if name in columns else np.full(n, math.nan) for name in NUMBERS}
    nothing = (texts["label"] == "") & (texts["video"] != "") & np.isnan(numbers["start"]) & np.isnan(numbers["end"])
    wrong = list(_wrong_rows(texts, numbers, ~nothing))
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    table = AnnotationTable(**texts, **numbers)
    if not nothing.any():
        return table
    media = {name: Media() for name in dict.fromkeys(table.video.tolist())}
    words = f"{int(nothing.sum())} x a video in which nothing happens: kept by name, without a row"
    return replace(table.where(~nothing), media=media, notes=(words,))


def _wrong_rows(texts: Mapping[str, Any], numbers: Mapping[str, Any], asked: Any) -> Iterator[str]:
    start, end, score = (numbers[name] for name in NUMBERS)
    rules = (
        (texts["video"] == "", "no video"),
        ((texts["label"] == "") & asked, "no label"),
        (np.isnan(start) & ~np.isnan(end), "an end without a start"),
        (np.isinf(start) | np.isinf(end) | np.isinf(score), "a number that is not finite"),
        (start < 0, "it starts before 0"),
        (end <= start, "its end is not after its start"),
    )
    for mask, words in rules:
        for i in np.flatnonzero(mask):
            yield f"line {i + 2}: {words} ({texts['video'][i]!r}, {texts['label'][i]!r}, {start[i]:g}, {end[i]:g})"


def write_delimited(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write all columns; times and scores with as many digits as give the same number again."""
    numbers = [["" if x != x else repr(x) for x in getattr(table, name).tolist()] for name in NUMBERS]
    texts = (table.video.tolist(), table.subject.tolist(), table.label.tolist(), table.kinds.tolist())
    rows = zip(*texts, *numbers, table.comment.tolist(), strict=True)
    write_text(path, csv_text(chain([COLUMNS], rows), "\t" if path.suffix.lower() == ".tsv" else ","))


def read_parquet(path: Path, context: Context) -> AnnotationTable:
    """Read a Parquet file with our columns."""
    pd = _pandas()
    with guarded(path, "Parquet file"):
        known = set(need("pyarrow.parquet").read_schema(path).names)
    if missing := {"video", "label"} - known:
        raise DataError(f"{path}: needs columns video and label; missing: {', '.join(sorted(missing))}")
    with guarded(path, "Parquet file"):
        asked = [name for name in (*TEXTS, *NUMBERS) if name in known]
        texts = [name for name in TEXTS if name in known]
        frame = pd.read_parquet(path, columns=asked, engine="pyarrow", read_dictionary=texts)
    with guarded(path, "table of annotations"):
        columns = from_frame(frame)
    return checked(columns, path)


def write_parquet(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write all columns."""
    pd = _pandas()
    columns = {name: table.kinds if name == "kind" else getattr(table, name) for name in COLUMNS}
    with whole_file(path) as temporary:
        pd.DataFrame({name: pd.Series(c.tolist()) for name, c in columns.items()}).to_parquet(temporary, index=False)


def _pandas() -> Any:
    need("pyarrow")
    return need("pandas")


_ALL = holds("points", "video_labels", "subject", "score", "comment", "overlaps")


FORMATS = (
    Format("csv", "CSV", (".csv",), _ALL, "seconds, all digits", read_delimited, write_delimited),
    Format("tsv", "TSV", (".tsv",), _ALL, "seconds, all digits", read_delimited, write_delimited),
    Format("parquet", "Parquet", (".parquet",), _ALL, "seconds, all digits", read_parquet, write_parquet),
)  # fmt: skip
