"""Label Studio's JSON: timeline labels of videos; predictions arrive there as predictions.

A region has ranges of frames, counted from 1 with both ends inside, as the editor's timeline shows them. Frames are
those of the editor, whose rate is `frameRate` of the tag <Video> (24 where it is not set, whatever the file's rate is):
set it to the video's rate, and give that with --fps or --video.

Source: label-studio-sdk 2.1.2 (tags TimelineLabels and Video). That ranges begin with 1 and include their last frame
fits the editor's own key frames; it was not run here, and the vendor's YOLO backend reads the same fields from 0.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from ..._util.files import write_text
from ..._util.untrusted import guarded, listed, read_json
from ...errors import DataError
from .format import Context, Format, holds
from .frame_clock import FrameClock
from .table import Annotation, AnnotationTable, Media

_FROM, _TO = "videoLabels", "video"


def read_label_studio(path: Path, context: Context) -> AnnotationTable:
    """Read an export (JSON) or tasks to import. Predictions come with their score, annotations of people without one.

    Raises:
        DataError: no list of tasks, or ranges that are none; all are named.
        UsageError: no rate of frames.
    """
    tasks = read_json(path, "Label Studio export")
    rows, wrong, left_out = list[Annotation](), list[str](), Counter[str]()
    with guarded(path, "list of Label Studio's tasks"):
        for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks], 1):
            video = _video(task, number)
            clock = context.clock(video)
            for kind in ("annotations", "predictions"):
                for entry in task.get(kind) or []:
                    for region in entry.get("result") or []:
                        score = region.get("score", entry.get("score")) if kind == "predictions" else None
                        rows += _rows(region, video, score, clock, wrong, left_out)
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows, notes=[f"{n} x {what}" for what, n in left_out.items()])


def _video(task: dict[str, Any], number: int) -> str:
    """Name of a task's video: the data field "video", else the first that names a file."""
    data = {k: v for k, v in task.get("data", {}).items() if isinstance(v, str)}
    found = data.get("video") or next(
        (v for v in data.values() if "." in PurePath(v).name), f"task {task.get('id', number)}"
    )
    return PurePath(found.partition("?d=")[2] or found.partition("?")[0]).name


def _rows(
    region: dict[str, Any], video: str, score: float | None, clock: FrameClock, wrong: list[str], left_out: Counter[str]
) -> Iterator[Annotation]:
    if region.get("type") != "timelinelabels":
        left_out[f"region of type {region.get('type')!r} left out"] += 1
        return
    value = region["value"]
    text = region.get("meta", {}).get("text", "")
    comment = " ".join(text) if isinstance(text, list) else str(text)
    for part in value["ranges"]:
        first, last = part["start"], part["end"]
        if not (isinstance(first, int) and isinstance(last, int) and 1 <= first <= last):
            wrong.append(f"{video}: frames {first} to {last}, must be integers from 1 on in order")
            continue
        for label in value["timelinelabels"]:
            yield Annotation(video, label, clock.seconds(first - 1), clock.seconds(last), "", score, comment)


def write_label_studio(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write tasks to import: rows with a score as predictions, the others as annotations; a range a region."""
    tasks = []
    for video in table.videos:
        rows = table.of_video(video)
        clock = context.clock(video, table.media.get(video, Media()).fps)
        regions = [(r, region(k, r, clock)) for k, r in enumerate(rows, 1)]
        people = [region for r, region in regions if r.score is None]
        model = [region for r, region in regions if r.score is not None]
        mean = sum(r.score or 0.0 for r, _ in regions) / max(len(model), 1)
        address = context.video_file(video) or table.media.get(video, Media()).path or video
        task: dict[str, Any] = {"data": {"video": str(address)}}
        if people or not model:
            task["annotations"] = [{"result": people}]
        if model:
            task["predictions"] = [{"model_version": "tal_engine", "score": mean, "result": model}]
        tasks.append(task)
    write_text(path, json.dumps(tasks, indent=1) + "\n")


def region(number: int, r: Annotation, clock: FrameClock, from_name: str = _FROM, to_name: str = _TO) -> dict[str, Any]:
    """Return a segment as a region of the timeline; one with a score is a prediction.

    Args:
        number: of the region in its task.
        r: the segment.
        clock: frames of the editor.
        from_name: name of the tag <TimelineLabels>.
        to_name: name of the tag <Video>.
    """
    first, end = clock.frames(r.start or 0.0, r.end or 0.0)
    found: dict[str, Any] = {
        "id": f"tal{number}", "type": "timelinelabels", "from_name": from_name, "to_name": to_name, "origin": "manual",
        "value": {"ranges": [{"start": first + 1, "end": end}], "timelinelabels": [r.label]},
    }  # fmt: skip
    if r.score is not None:
        found |= {"score": r.score, "origin": "prediction"}
    return found | ({"meta": {"text": [r.comment]}} if r.comment else {})


def labeling_config(labels: tuple[str, ...], fps: float) -> str:
    """Create the labelling set-up of such tasks: a video with a timeline of labels.

    Example:
        >>> "TimelineLabels" in labeling_config(("jump",), 25.0)
        True
    """
    from xml.sax.saxutils import quoteattr

    inner = "\n".join(f"    <Label value={quoteattr(label)}/>" for label in labels)
    return (
        f'<View>\n  <TimelineLabels name="{_FROM}" toName="{_TO}">\n{inner}\n  </TimelineLabels>\n'
        f'  <Video name="{_TO}" value="$video" frameRate="{fps:g}" timelineHeight="120"/>\n</View>\n'
    )


FORMATS = (
    Format("label-studio", "Label Studio", (".json",), holds("score", "comment", "overlaps"),
           "frames from 1, last inside", read_label_studio, write_label_studio, by_name=True,
           recognise=lambda head: '"timelinelabels"' in head or ('"result"' in head and '"data"' in head)),
)  # fmt: skip
