"""The results of many videos on their way to one file, or to stdout, as they come."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from .._util.files import write_text
from ..outputs.sinks.append_log import AppendedFile, Form
from ..outputs.writers import activitynet, csv_table, jsonl, subtitles
from ..results import Localization

#: Forms of results.
FormName = Literal["activitynet", "jsonl", "csv", "srt", "vtt"]

_LINES = Form("segments as JSON Lines", re.compile(r"\{.*\}"), re.compile(rb"\{"))


class Batch(Protocol):
    """Takes results one by one, in the order of the videos."""

    def add(self, name: str, result: Localization) -> None:
        """Take the result of a video, which the results call `name`."""
        ...

    def close(self) -> None:
        """Write what is not written yet. After an error or Ctrl-C too: what was added is then all there is."""
        ...


class Nowhere:
    """Keeps nothing: results that are printed as tables."""

    def add(self, name: str, result: Localization) -> None:
        """Forget it."""

    def close(self) -> None:
        """Do nothing: nothing is left to write."""


class LinesFile:
    """JSON Lines in a file: the segments of a video are there, whole, as soon as it was added.

    What the file held before is replaced when the first result comes, or at the end.

    Args:
        path: the file, a device or a pipe.
        earlier: results that stand in the file from the beginning.
    """

    def __init__(self, path: Path, earlier: Iterable[Localization] = ()) -> None:
        self._path, self._earlier = path, list(earlier)
        self._begun = False
        self._file: AppendedFile | None = None

    def add(self, name: str, result: Localization) -> None:
        """Write the segments of a video in one write; those of the first one take the place of an earlier file."""
        rows = list(jsonl.lines(result))
        if not self._begun:
            self._begin(rows)
        elif rows:
            self._file = self._file or AppendedFile(self._path, _LINES)
            self._file.append("\n".join(rows))

    def _begin(self, rows: list[str]) -> None:
        if is_kept(self._path):
            before = [line for r in self._earlier for line in jsonl.lines(r)]
            write_text(self._path, "".join(f"{line}\n" for line in (*before, *rows)))
        else:
            self._file = AppendedFile(self._path, _LINES)
            if rows:
                self._file.append("\n".join(rows))
        self._begun = True

    def close(self) -> None:
        """Close the file, which is there even if no video had segments."""
        if not self._begun:
            self._begin([])
        if self._file is not None:
            self._file.close()


class WholeFile:
    """A file that is written when it is closed, whole or not at all.

    Args:
        path: the file, a device or a pipe.
        form: of the file.
        names: of all videos, in the order that the file is to have.
        earlier: results that are there already, by name.
    """

    def __init__(
        self, path: Path, form: FormName, names: Sequence[str], earlier: Mapping[str, Localization] | None = None
    ) -> None:
        self._path, self._form, self._names = path, form, names
        self._results = dict(earlier or {})

    def add(self, name: str, result: Localization) -> None:
        """Keep it for the end."""
        self._results[name] = result

    def close(self) -> None:
        """Write the file."""
        names = [n for n in self._names if n in self._results]
        results = [self._results[n] for n in names]
        if self._form == "activitynet":
            activitynet.write(self._path, results, names)
        elif self._form == "csv":
            csv_table.write(self._path, results)
        elif self._form in ("srt", "vtt") and results:
            subtitles.write(self._path, results[0], self._form)


class Stdout:
    """One valid document on stdout, however many videos; JSON Lines and CSV as each video ends, JSON at the end."""

    def __init__(self, form: FormName) -> None:
        self._form = form
        self._names: list[str] = []
        self._results: list[Localization] = []
        self._begun = False

    def add(self, name: str, result: Localization) -> None:
        """Print what can be printed already."""
        if self._form == "activitynet":
            self._names.append(name)
            self._results.append(result)
        elif self._form == "jsonl":
            self._print("".join(f"{line}\n" for line in jsonl.lines(result)))
        elif self._form == "csv":
            self._print(csv_table.text([result], header=not self._begun))
        else:
            self._print(subtitles.text(result, self._form))
        self._begun = True

    def close(self) -> None:
        """Print the rest: a document without results, where there are none, is one too."""
        if self._form == "activitynet":
            self._print(f"{json.dumps(activitynet.document(self._results, self._names))}\n")
        elif self._form == "csv" and not self._begun:
            self._print(csv_table.text([]))

    @staticmethod
    def _print(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def batch_of(
    form: FormName | None,
    output: Path | None,
    names: Sequence[str],
    earlier: Mapping[str, Localization] | None = None,
) -> Batch:
    """Open the output: stdout without a path, nothing without a format; see `WholeFile` for the others."""
    if output is None:
        return Nowhere() if form is None else Stdout(form)
    if form == "jsonl":
        return LinesFile(output, (earlier or {}).values())
    return WholeFile(output, form or "activitynet", names, earlier)


def is_kept(path: Path) -> bool:
    """Return whether a path is, or will be, a regular file, beside which a record can lie: no device and no pipe."""
    return path.is_file() or not (path.exists() or path.is_symlink())


def made_by(plan: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what determines a result besides the video: hash of the plan and options, ready for JSON."""
    return dict(json.loads(json.dumps({"plan": f"sha256:{plan}", **options})))
