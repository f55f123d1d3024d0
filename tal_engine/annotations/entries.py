"""Entries of annotation files taken apart: everything that is wrong in a file is named in one error."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._util.untrusted import listed
from ..errors import DataError
from ..records import Segment
from .truth import AMBIGUOUS, AnnotatedVideo, video

log = logging.getLogger("tal_engine")


class Findings:
    """What is wrong in a file, and what was left out of it but does no harm.

    wrong: a sentence for each entry that cannot be used. notes: a sentence for each kind of loss, made of `lost`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wrong: list[str] = []
        self.lost: dict[str, list[str]] = {}

    def lose(self, what: str, where: str) -> None:
        """Note that an entry lacks something that not every use of it needs."""
        self.lost.setdefault(what, []).append(where)

    def settle(self) -> tuple[str, ...]:
        """Give the notes, which are logged as warnings too.

        Raises:
            DataError: something is wrong; the message lists it.
        """
        if self.wrong:
            count = f"{len(self.wrong)} things are wrong: " if len(self.wrong) > 1 else ""
            raise DataError(f"{self.path}: {count}{listed(self.wrong)}")
        notes = tuple(f"{what} ({len(where)}: {listed(where)})" for what, where in self.lost.items())
        for note in notes:
            log.warning("%s: %s", self.path, note)
        return notes


def number(value: object) -> float:
    """Convert a finite number, which may be text (LACP's gt.json).

    Raises:
        ValueError: not a finite number.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found):
            return found
    raise ValueError(f"{shown(value)} is not a finite number")


def text(value: object, what: str) -> str:
    """Check that the value is a text that is not empty.

    Raises:
        ValueError: it is something else; null would become a class "None".
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} is {shown(value)}, must be a text")
    return value


def shown(value: object) -> str:
    """Format a value of a JSON file for a message, as it stands there, with at most 60 characters."""
    try:
        found = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # of a file of another form
        found = repr(value)
    return found if len(found) <= 60 else f"{found[:57]}..."


def entry_of(name: str, entry: Any, findings: Findings, subset: object = None) -> AnnotatedVideo | None:
    """Parse the video of an entry {subset, duration, fps, labels, annotations}; None if it is malformed.

    An annotation without times still says that its action is in the video: its label joins the video's labels, and it
    is no instance. An entry without annotations is a video too if it has labels.

    Args:
        name: of the video.
        entry: from the file.
        findings: collects what is wrong or left out.
        subset: used if the entry names none.
    """
    where = f"entry {name!r}"
    if not isinstance(entry, dict):
        findings.wrong.append(f"{where} is {shown(entry)}, must be an object")
        return None
    before = len(findings.wrong)
    whole, items = entry.get("labels"), entry.get("annotations")
    if items is None and whole is not None:
        findings.lose("entries without 'annotations' have the labels of the video alone", repr(name))
        items = []
    if not isinstance(items, list):
        has = "has no 'annotations' and no 'labels'" if items is None else f"annotations are {shown(items)}, not a list"
        findings.wrong.append(f"{where}: {has}")
        items = []
    found, untimed = _instances(where, items, findings)
    try:
        duration, fps = (_rate(k, entry.get(k)) for k in ("duration", "fps"))
        if untimed and whole is None:
            whole = sorted({s.label for s in found if s.label != AMBIGUOUS} | untimed - {AMBIGUOUS})
        made = video(name, text(entry.get("subset", subset), "subset"), duration, found, whole, fps)
    except ValueError as e:
        findings.wrong.append(f"{where}: {e}")
        return None
    return made if len(findings.wrong) == before else None


def _rate(name: str, value: object) -> float:
    """Convert a number that a file may omit or give as null."""
    try:
        return 0.0 if value is None else number(value)
    except ValueError as e:
        raise ValueError(f"{name} {e}") from e


def _instances(where: str, items: Iterable[Any], findings: Findings) -> tuple[list[Segment], set[str]]:
    """Parse the instances, and the labels of annotations without times."""
    found, untimed = [], set()
    for i, item in enumerate(items):
        at = f"{where}, annotation {i}"
        try:
            if not isinstance(item, dict):
                raise ValueError(f"it is {shown(item)}, must be an object")
            label = text(item.get("label"), "label")
            if item.get("segment") is None:
                untimed.add(label)
                findings.lose("annotations without 'segment' count as labels of their video, not as instances", at)
            else:
                found.append(Segment(*interval(item["segment"]), label, 1.0))
        except ValueError as e:
            findings.wrong.append(f"{at}: {e}")
    return found, untimed


def interval(segment: object) -> tuple[float, float]:
    """Start and end in seconds.

    Raises:
        ValueError: they are not two numbers with 0 <= start <= end.
    """
    if not isinstance(segment, list | tuple) or len(segment) != 2:
        raise ValueError(f"segment {shown(segment)} is not [start, end]")
    try:
        start, end = map(number, segment)
    except ValueError as e:
        raise ValueError(f"segment {shown(segment)}: {e}") from e
    if not 0 <= start <= end:
        raise ValueError(f"segment {shown(segment)} is not 0 <= start <= end")
    return start, end
