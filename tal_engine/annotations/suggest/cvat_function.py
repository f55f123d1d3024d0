"""CVAT: predictions as tags of frames, by its auto-annotation function.

    cvat-cli task auto-annotate TASK --function-module tal_engine.annotations.suggest.cvat_function \
        -p results=str:out.json -p fps=float:25 --allow-unmatched-labels

cvat-cli annotates tasks of images alone, and tells a function nothing but an image and its name: the task holds a
video's frames as images whose names end in the frame's number, as ``ffmpeg -i v.mp4 -start_number 0 v/%06d.jpg`` makes
them. A frame has a tag for each prediction that it lies in; its score is the text attribute "score", where the task's
label has one. The task's export ("CVAT for images 1.1") is read again as segments.

Source: cvat-sdk 2.80.0, `cvat_sdk.auto_annotation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..._util.names import Finder
from ...errors import DataError, UsageError
from ..formats import AnnotationTable, FrameClock, read
from ..formats.cvat import video_of_image
from ..formats.frame_clock import clock_of
from .served import read_served

_SCORE = 0


def create(
    results: str, fps: float = 0.0, video: str = "", first: int = 0, conf: float = 0.0, name: str = ""
) -> CvatFunction:
    """Create the function; cvat-cli calls this with what ``-p`` gives.

    Args:
        results: file of predictions in any format that `tal_engine.annotations.read` reads; or the address of a
            `tal studio` that runs, whose suggestions of the moment are taken.
        fps: frames a second of the images.
        video: the video, if `fps` is not given: the times of its frames are the images'.
        first: number in the name of the video's first frame; 0, or 1 where ffmpeg was told nothing.
        conf: least score of a suggestion; cvat-cli's ``--conf-threshold`` counts before it.
        name: of the video in `results`; default: as the images' folder or names say, or the only one.

    Raises:
        UsageError: neither rate nor video, or a video that has no predictions.
        DataError: the results cannot be read, or have no segments.
    """
    if (fps > 0) == bool(video):
        raise UsageError("give -p fps=float:RATE or -p video=str:FILE, which say when each image was")
    table = read_served(results, lambda path: read(path, fps=fps or None, video=video or None))
    return CvatFunction(table, FrameClock(fps) if fps > 0 else clock_of(Path(video)), first=first, conf=conf, name=name)


class CvatFunction:
    """A detection function of cvat-sdk.

    Args:
        table: predictions.
        clock: when each frame is.
        first: number in the name of the first frame.
        conf: least score of a suggestion.
        name: of the video, if the images do not say it.

    Attributes:
        spec: the labels, as cvat-sdk wants them.

    Raises:
        UsageError: a video that has no predictions.
        DataError: there are no segments.
    """

    def __init__(
        self, table: AnnotationTable, clock: FrameClock, *, first: int = 0, conf: float = 0.0, name: str = ""
    ) -> None:
        self._sdk: Any = import_module("cvat_sdk.auto_annotation")
        rows = table.where(table.kinds == "segment")
        if not len(rows):
            raise DataError("the results have no segments, so there is nothing to suggest")
        self._first, self._conf, self._known = first, conf, Finder(rows.videos)
        self._only = rows.videos[0] if len(rows.videos) == 1 else ""
        if name and self._known(name) is None:
            raise UsageError(f"video {name!r} has no predictions; those that have: {', '.join(rows.videos[:5])}")
        self._name = self._known(name) or "" if name else ""
        self._labels = {label: k for k, label in enumerate(rows.labels, 1)}
        ends = [clock.frames(r.start or 0.0, r.end or 0.0) for r in rows]
        self._frames = np.array(ends, int).reshape(-1, 2)
        self._rows = list(rows)
        attribute = self._sdk.text_attribute_spec("score", _SCORE)
        self.spec = self._sdk.DetectionFunctionSpec(
            labels=[self._sdk.label_spec(label, k, attributes=[attribute]) for label, k in self._labels.items()]
        )

    def detect(self, context: Any, image: Any) -> Sequence[Any]:
        """Return the tags of a frame; each label once, with its best score.

        Args:
            context: cvat-sdk's, whose `frame_name` is the image's name.
            image: not looked at.

        Raises:
            UsageError: the image's name does not say frame and video.
        """
        video, frame = self._place(context.frame_name)
        least = self._conf if context.conf_threshold is None else context.conf_threshold
        best: dict[str, float | None] = {}
        for k in np.flatnonzero((self._frames[:, 0] <= frame) & (frame < self._frames[:, 1])).tolist():
            row = self._rows[k]
            if row.video != video or (row.score is not None and row.score < least):
                continue
            held = best.setdefault(row.label, row.score)
            if held is not None and row.score is not None and row.score > held:
                best[row.label] = row.score
        return [self._tag(label, score) for label, score in best.items()]

    def _place(self, frame_name: str) -> tuple[str, int]:
        """Return the video and the number of the frame that an image is."""
        said, number = video_of_image(frame_name)
        if number is None or number < self._first:
            raise UsageError(
                f"image {frame_name!r}: its name must end in the number of its frame, {self._first} for the first"
            )
        video = self._name or (self._known(said) if said else None) or self._only
        if not video:
            raise UsageError(
                f"image {frame_name!r}: the results have several videos; name its own with -p name=str:NAME"
            )
        return video, number - self._first

    def _tag(self, label: str, score: float | None) -> Any:
        models: Any = import_module("cvat_sdk.models")
        held = [] if score is None else [models.AttributeValRequest(spec_id=_SCORE, value=f"{score:.6g}")]
        return self._sdk.tag(self._labels[label], attributes=held)
