"""Labelled intervals of a data set as columns: what evaluators work on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._util.names import found_names, short_names
from .._util.untrusted import listed
from ..errors import DataError
from ..records import Segment


@dataclass(frozen=True)
class Table:
    """n intervals: video and label are positions in `videos` and `labels`; times in seconds.

    Every row is finite with start <= end; `Table.of` sees to that. sources: the whole names of `videos`, such as paths,
    where the videos' names are shorter; empty where they are not.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: NDArray[np.int32]
    label: NDArray[np.int32]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    score: NDArray[np.float64]
    sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.video)

    @staticmethod
    def of(
        rows: Iterable[tuple[str, str, float, float, float]],
        *,
        source: str,
        videos: Sequence[str] = (),
        labels: Sequence[str] = (),
    ) -> Table:
        """Build columns from (video, label, start, end, score) rows.

        Args:
            rows: in the order that ties may fall back on.
            source: the rows' origin, for messages.
            videos: names to begin with; new ones are appended as they come.
            labels: names to begin with; new ones are appended as they come.

        Raises:
            DataError: a row has a value that is not finite, or ends before it starts.
        """
        video_id = {name: i for i, name in enumerate(videos)}
        label_id = {name: i for i, name in enumerate(labels)}
        columns: tuple[list[int], list[int], list[float], list[float], list[float]] = ([], [], [], [], [])
        for video, label, start, end, score in rows:
            columns[0].append(video_id.setdefault(video, len(video_id)))
            columns[1].append(label_id.setdefault(label, len(label_id)))
            columns[2].append(start)
            columns[3].append(end)
            columns[4].append(score)
        table = Table(
            tuple(video_id),
            tuple(label_id),
            np.array(columns[0], np.int32),
            np.array(columns[1], np.int32),
            np.array(columns[2], np.float64),
            np.array(columns[3], np.float64),
            np.array(columns[4], np.float64),
        )
        table._check(source)
        return table

    @staticmethod
    def of_segments(segments: Mapping[str, Sequence[Segment]], source: str, labels: Sequence[str] = ()) -> Table:
        """Build columns from segments by video; videos without any are kept."""
        rows = ((v, s.label, s.start, s.end, s.score) for v, found in segments.items() for s in found)
        return Table.of(rows, source=source, videos=tuple(segments), labels=labels)

    def _check(self, source: str) -> None:
        finite = np.isfinite(self.start) & np.isfinite(self.end) & np.isfinite(self.score)
        bad = ~(finite & (self.start <= self.end))
        if bad.any():
            wrong = [
                f"{self.videos[self.video[i]]}, {self.labels[self.label[i]]}: [{self.start[i]}, {self.end[i]}] with "
                f"score {self.score[i]} {'ends before it starts' if finite[i] else 'is not finite'}"
                for i in np.flatnonzero(bad).tolist()
            ]
            raise DataError(f"{source}: {listed(wrong)}")

    def shortened(self) -> Table:
        """Shorten the video names as far as they stay distinct; the whole names are kept as `sources`."""
        return replace(self, videos=tuple(short_names(self.videos)), sources=self.videos)

    def called_as(self, known: Iterable[str], what: str = "detections") -> Table:
        """Rename videos as in `known`: matched by whole names, else without media endings or with less path.

        Raises:
            DataError: two videos are one of `known`; the message names both.
        """
        found = found_names(self.sources or self.videos, known, what)
        names = (own if name is None else name for name, own in zip(found, self.videos, strict=True))
        return replace(self, videos=tuple(names), sources=())

    def where(self, keep: NDArray[np.bool_]) -> Table:
        """Select rows; the names stay."""
        columns = {f: getattr(self, f)[keep] for f in ("video", "label", "start", "end", "score")}
        return replace(self, **columns)

    def renamed(self, videos: tuple[str, ...], labels: tuple[str, ...]) -> tuple[Table, NDArray[np.bool_]]:
        """Renumber the rows by other names, and return which rows have both names there."""
        video_at = {name: i for i, name in enumerate(videos)}
        label_at = {name: i for i, name in enumerate(labels)}
        to_video = np.array([video_at.get(n, -1) for n in self.videos], np.int32)
        to_label = np.array([label_at.get(n, -1) for n in self.labels], np.int32)
        video = to_video[self.video] if len(self) else self.video
        label = to_label[self.label] if len(self) else self.label
        known = (video >= 0) & (label >= 0)
        return replace(self, videos=videos, labels=labels, video=video, label=label).where(known), known
