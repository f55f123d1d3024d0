"""What a batch has done so far: the results of its videos on disk, so that a later run can leave these out.

The record is a file of JSON Lines beside the output, ``OUTPUT.resume``, a line for each video. A video is left out as
long as its path, its size, and its time of change or its content are those of the record, and plan and options too.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._util.files import write_text
from .._util.untrusted import parse_json, read_text
from ..errors import DataError
from ..outputs.sinks.append_log import AppendedFile, Form
from ..records import Info, Segment
from ..results import Localization
from ..vocabulary import Vocabulary

#: Ending that the record's name has after that of the output.
SUFFIX = ".resume"
_FORM = Form("records of localized videos", re.compile(r"\{.*\}"), re.compile(rb"\{"))
_SCHEMA = "tal.batch/1"


@dataclass(frozen=True)
class Done:
    """A video of the record: its file as it was, what it was localized with, and the result."""

    path: str
    size: int
    mtime_ns: int
    digest: str
    made_by: Mapping[str, Any]
    segments: tuple[tuple[float, float, str, float, int | None], ...]
    info: Mapping[str, Any]

    def unchanged(self, made_by: Mapping[str, Any]) -> bool:
        """Return whether the result still holds: the file is unchanged, and plan and options are `made_by`."""
        found = _stat(self.path)
        if found is None or dict(made_by) != dict(self.made_by) or found[0] != self.size:
            return False
        return found[1] == self.mtime_ns or _digest(self.path) == self.digest

    def result(self, vocabulary: Vocabulary) -> Localization:
        """Return the result as the engine returned it."""
        return Localization([Segment(*s) for s in self.segments], Info(**self.info), vocabulary)

    def line(self) -> str:
        """Format as a line of the record."""
        return json.dumps({"schema": _SCHEMA, **asdict(self)}, allow_nan=False)


def path_of(source: str | Path) -> str:
    """Return a source's name in the record: its whole path, symbolic links as they are."""
    return os.path.abspath(source)  # noqa: PTH100 - Path.resolve follows links


def begun(source: str | Path) -> tuple[int, int] | None:
    """Return size and modification time of a source before it is read; None for an address, whose frames may change."""
    return _stat(path_of(source))


def done(
    source: str | Path, before: tuple[int, int] | None, made_by: Mapping[str, Any], result: Localization
) -> Done | None:
    """Create the record of a video; None if its file cannot be recognised again, or changed while it was read."""
    path = path_of(source)
    digest = "" if before is None else _digest(path)
    if before is None or not digest or _stat(path) != before:
        return None
    rows = tuple((s.start, s.end, s.label, s.score, s.subject) for s in result)
    if not all(math.isfinite(x) for start, end, _, score, _ in rows for x in (start, end, score)):
        return None
    return Done(path, *before, digest, dict(made_by), rows, asdict(result.info))


def _stat(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _digest(path: str) -> str:
    with suppress(OSError), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


class BatchRecord:
    """The record of an output; see the module. Nothing is written before `begin`.

    Args:
        output: the file that the results are for.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(output.name + SUFFIX)
        self._file: AppendedFile | None = None

    def read(self) -> dict[str, Done]:
        """Read the record, by path; the last of two entries counts. Torn and foreign lines are ignored."""
        if not self.path.is_file():
            return {}
        found: dict[str, Done] = {}
        for line in read_text(self.path, "record of a batch").splitlines():
            with suppress(DataError, KeyError, TypeError, ValueError):
                one = _parsed(parse_json(line, str(self.path)))
                found[one.path] = one
        return found

    def begin(self, kept: Mapping[str, Done]) -> None:
        """Write what is kept of the earlier record, and go on behind it."""
        write_text(self.path, "".join(f"{one.line()}\n" for one in kept.values()))
        self._file = AppendedFile(self.path, _FORM)

    def add(self, one: Done) -> None:
        """Write a video."""
        if self._file is not None:
            self._file.append(one.line())

    def close(self, *, keep: bool) -> None:
        """Close it; with `keep` it stays, else it is removed."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if not keep:
            self.path.unlink(missing_ok=True)


def _row(
    start: float, end: float, label: str, score: float, subject: int | None = None
) -> tuple[float, float, str, float, int | None]:
    return float(start), float(end), str(label), float(score), None if subject is None else int(subject)


def _parsed(value: Any) -> Done:
    """Parse a line of the record.

    Raises:
        KeyError, TypeError, ValueError: malformed.
    """
    if value.pop("schema") != _SCHEMA:
        raise ValueError("another schema")
    rows = tuple(_row(*row) for row in value.pop("segments"))
    Info(**value["info"])
    return Done(**value, segments=rows)
