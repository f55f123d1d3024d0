"""What `TALEngine.localize` gives: the segments of one video, which can write and draw themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ._util.extras import need
from .errors import require
from .records import Info, Segment, VideoSegments
from .vocabulary import Vocabulary


def _fields(segment: Segment) -> dict[str, Any]:
    fields = asdict(segment)
    return fields if segment.subject is not None else {k: v for k, v in fields.items() if k != "subject"}


class Localization(VideoSegments):
    """The segments of one video, best first, with methods that write and draw them.

    Two are equal if all of their values are, except for the time that it took to find them.

    >>> from tal_engine import Localization, Segment, Vocabulary
    >>> from tal_engine.records import Info
    >>> segments = [Segment(5.0, 7.0, "squat", 0.9), Segment(1.0, 2.0, "squat", 0.4)]
    >>> result = Localization(segments, Info("my.mp4", duration=10.0), Vocabulary(["squat"]))
    >>> result
    Localization('my.mp4', 2 segments, 10.00 s)
    >>> [segment.start for segment in result.by_time()]
    [1.0, 5.0]
    >>> result.to_dict()["segments"][0]
    {'start': 5.0, 'end': 7.0, 'label': 'squat', 'score': 0.9, 'label_id': 0}
    >>> result.save("segments.csv")
    """

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON: ``segments`` in order of score, and ``info``.

        Each segment is ``{"start", "end", "label", "label_id", "score"}``, seconds, and ``"subject"`` where people were
        told apart.
        """
        rows = [{**_fields(s), "label_id": self.vocabulary.id(s.label)} for s in self.segments]
        return {"segments": rows, "info": asdict(self.info)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], vocabulary: Vocabulary) -> Localization:
        """Return the result that `to_dict` gave; fields of ``info`` that a later version adds are left out.

        Args:
            document: with ``segments`` and ``info``.
            vocabulary: class names in the order of the label ids.
        """
        names = {f.name for f in fields(Info)}
        read = ((s["start"], s["end"], s["label"], s["score"], s.get("subject")) for s in document["segments"])
        segments = [Segment(*values) for values in read]
        return cls(segments, Info(**{k: v for k, v in document["info"].items() if k in names}), vocabulary)

    def save(self, path: str | Path, format: str | None = None) -> None:  # noqa: A002 - as in pandas and PIL
        """Write the segments to a file, whole or not at all.

        Args:
            path: the file.
            format: "json" (ActivityNet), "jsonl", "csv", "srt" or "vtt"; None takes the file's ending.

        Raises:
            UsageError: no such format.
        """
        writers = {
            "json": self._to_json,
            "jsonl": self.to_jsonl,
            "csv": self.to_csv,
            "srt": self.to_srt,
            "vtt": self.to_vtt,
        }
        name = Path(path).suffix.removeprefix(".") if format is None else format
        name = name.lower()
        require(name in writers, "format", name, f"one of {', '.join(writers)}")
        writers[name](path)

    def _to_json(self, path: str | Path) -> None:
        from .outputs.writers.activitynet import write

        write(path, [self])

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with the columns video, start, end, label, label_id and score.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        rows = [{"video": self.info.source, **row} for row in self.to_dict()["segments"]]
        columns = ["video", "start", "end", "label", "label_id", "score"]
        columns += ["subject"] if any(s.subject is not None for s in self.segments) else []
        return need("pandas").DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        """Draw a small timeline with a row for each class, for notebooks."""
        from .outputs.render.timeline_html import timeline_html

        return timeline_html(self)

    def to_activitynet(self) -> dict[str, Any]:
        """Return the ActivityNet detection format as a dict, ready for JSON."""
        from .outputs.writers.activitynet import document

        return document([self])

    def to_csv(self, path: str | Path) -> None:
        """Write a CSV table with the columns video, label, start, end and score."""
        from .outputs.writers.csv_table import write

        write(path, [self])

    def to_jsonl(self, path: str | Path) -> None:
        """Write one JSON object per segment and line."""
        from .outputs.writers.jsonl import write

        write(path, [self])

    def to_srt(self, path: str | Path) -> None:
        """Write SubRip subtitles, one cue per segment."""
        from .outputs.writers.subtitles import write

        write(path, self, "srt")

    def to_vtt(self, path: str | Path) -> None:
        """Write WebVTT subtitles, one cue per segment."""
        from .outputs.writers.subtitles import write

        write(path, self, "vtt")

    def plot(self, path: str | Path, truth: Iterable[Segment] | None = None) -> None:
        """Draw the timeline to an image file (needs the ``plot`` extra)."""
        from .outputs.render.timeline_plot import draw

        draw(path, self, truth)
