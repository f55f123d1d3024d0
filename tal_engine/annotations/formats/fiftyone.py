"""FiftyOne's data set of temporal detections: labels.json with the class list and, by video, labels with frames.

`support` is [first, last], counted from 1 with both ends inside. Where a file has `timestamps` in seconds they are read
as they are; they are not written, since FiftyOne turns them into frames over one step too few, and those into others.

Source: fiftyone 1.22.1, `FiftyOneTemporalDetectionDataset`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..._util.files import write_text
from ..._util.names import without_ending
from ..._util.untrusted import guarded, listed, read_json
from ...errors import DataError, UsageError
from .format import Context, Format, holds
from .lines import interval
from .table import Annotation, AnnotationTable, Media


def read_fiftyone(path: Path, context: Context) -> AnnotationTable:
    """Read labels.json; names of videos are those that the file has, without an ending.

    Raises:
        DataError: no such file, classes that are not in the list, or frames that are none.
        UsageError: frames, and no rate of them.
    """
    document = read_json(path, "FiftyOne labels")
    rows, wrong = list[Annotation](), list[str]()
    with guarded(path, "FiftyOne labels"):
        classes = document.get("classes")
        for video, labels in document["labels"].items():
            for entry in labels or []:
                try:
                    rows.append(_row(video, entry, classes, context))
                except (ValueError, IndexError, KeyError) as e:
                    wrong.append(f"{video}: {entry} ({e})")
        media = {video: Media() for video in document["labels"]}
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows, media)


def _row(video: str, entry: dict[str, Any], classes: list[str] | None, context: Context) -> Annotation:
    label = entry["label"]
    name = str(label) if classes is None or isinstance(label, str) else str(classes[label])
    if "timestamps" in entry:
        start, end = interval(*(str(t) for t in entry["timestamps"]))
    else:
        first, last = entry["support"]
        if not (isinstance(first, int) and isinstance(last, int) and 1 <= first <= last):
            raise ValueError(f"frames {first} to {last}, must be integers from 1 on in order")
        clock = context.clock(video)
        start, end = clock.seconds(first - 1), clock.seconds(last)
    extras = entry.get("attributes", {})
    score = entry.get("confidence")
    return Annotation(
        video, name, start, end, str(extras.get("subject", "")), None if score is None else float(score),
        str(extras.get("comment", "")),
    )  # fmt: skip


def write_fiftyone(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write labels.json; put the videos into a folder "data" beside it.

    Raises:
        UsageError: two videos differ in their endings alone; FiftyOne knows them by their names without.
    """
    classes = {label: k for k, label in enumerate(table.labels)}
    labels: dict[str, list[dict[str, Any]]] = {}
    for name in table.videos:
        if (known := without_ending(name)) in labels:
            raise UsageError(f"{name!r} and another video are both {known!r} without an ending, as FiftyOne calls them")
        labels[known] = list(_entries(table.of_video(name), classes, context))
    write_text(path, json.dumps({"classes": list(classes), "labels": labels}, indent=1) + "\n")


def _entries(table: AnnotationTable, classes: dict[str, int], context: Context) -> Iterator[dict[str, Any]]:
    media = next((table.media[v] for v in table.videos if v in table.media), Media())
    for r in table:
        first, end = context.clock(r.video, media.fps).frames(r.start or 0.0, r.end or 0.0)
        entry: dict[str, Any] = {"label": classes[r.label], "support": [first + 1, end]}
        if r.score is not None:
            entry["confidence"] = r.score
        extras = {k: v for k, v in (("subject", r.subject), ("comment", r.comment)) if v}
        yield entry | ({"attributes": extras} if extras else {})


FORMATS = (
    Format("fiftyone", "FiftyOne temporal detections", (".json",), holds("subject", "score", "comment", "overlaps"),
           "frames from 1, last inside", read_fiftyone, write_fiftyone, by_name=True,
           recognise=lambda head: '"labels"' in head and ('"support"' in head or '"timestamps"' in head)),
)  # fmt: skip
