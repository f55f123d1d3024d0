"""A page of a data set: timelines of truth and predictions, and what kind each prediction is; one file, no network.

The file holds the rows as JSON; `data_view.js` draws those videos that are in sight, so hundreds stay fluid. Kinds are
those of the error report. A detection's kind depends on better-scored ones alone, so they hold at every least score;
an instance is missed below the score of the detection that found it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..._util.files import write_text
from ..._util.names import found_names
from ...annotations.formats.table import Annotation, AnnotationTable
from ...annotations.tables import Table
from ...errors import UsageError
from ...metrics.error_analysis import KINDS, match
from .evaluation_report import COLOURS
from .html import html

_HERE = Path(__file__).parent
#: Nothing is fetched but the videos that the reader opens.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "media-src * file: blob: data:"
)


@dataclass(frozen=True)
class DataView:
    """What a page shows.

    Attributes:
        truth: rows of people, by video.
        predictions: rows of a model with scores, or None.
        tiou: overlap from which a detection is right.
        links: by name of the video in `truth`, where it can be opened.
        title: heading of the page.

    Raises:
        UsageError: nothing to show, predictions without a score, or an overlap that is not in (0, 1].

    Example:
        >>> rows = [Annotation("a.mp4", "jump", 1.0, 2.0)]
        >>> "a.mp4" in DataView(AnnotationTable.of(rows)).page()
        True
    """

    truth: AnnotationTable
    predictions: AnnotationTable | None = None
    tiou: float = 0.5
    links: Mapping[str, str] = field(default_factory=dict)
    title: str = "Data set"

    def __post_init__(self) -> None:
        if not 0 < self.tiou <= 1:
            raise UsageError(f"an overlap of {self.tiou:g}, must be above 0 and at most 1")
        if not self.truth.videos and (self.predictions is None or not self.predictions.videos):
            raise UsageError("there is no video to show")
        if self.predictions is not None and len(self.predictions):
            bare = int(np.isnan(self.predictions.score[self.predictions.kinds == "segment"]).sum())
            if bare:
                raise UsageError(f"{bare} predictions have no score: which are better is not known")

    def page(self) -> str:
        """Render the page."""
        data = json.dumps(self._document(), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        body = (_HERE / "data_view.html").read_text(encoding="utf-8").replace("{{title}}", escape(self.title))
        script = (_HERE / "data_view.js").read_text(encoding="utf-8")
        parts = f'{body}\n<script type="application/json" id="data">{data}</script>\n<script>\n{script}</script>\n'
        style = (_HERE / "data_view.css").read_text(encoding="utf-8")
        return html(self.title, parts, style=style, policy=_POLICY)

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all."""
        write_text(path, self.page())

    def _document(self) -> dict[str, Any]:
        found = self._named()
        labels = sorted({*self.truth.labels, *(found.labels if found is not None else ())})
        number = {label: k for k, label in enumerate(labels)}
        videos = {name: _video(name, self.links.get(name, "")) for name in self.truth.videos}
        if found is not None:
            videos |= {name: _video(name, self.links.get(name, "")) for name in found.videos if name not in videos}
            _matched(self.truth, found, self.tiou, videos, number)
        else:
            for r in self.truth:
                _add_truth(videos[r.video], r, number, None)
        for name, video in videos.items():
            media = self.truth.media.get(name)
            ends = [t[2] if t[2] is not None else t[1] for t in video["t"]] + [p[2] for p in video["p"]]
            video["d"] = round(max([(media.duration if media else None) or 0.0, *ends, 0.1]), 3)
        return {
            "classes": labels, "kinds": ["right", *KINDS], "colours": COLOURS, "tiou": self.tiou,
            "predicted": found is not None, "videos": list(videos.values()),
        }  # fmt: skip

    def _named(self) -> AnnotationTable | None:
        """Return the predictions with their videos called as in the truth."""
        if self.predictions is None:
            return None
        known = found_names(self.predictions.videos, self.truth.videos, "predictions")
        called = {own: own if name is None else name for own, name in zip(self.predictions.videos, known, strict=True)}
        table = self.predictions.where(self.predictions.kinds == "segment")
        return AnnotationTable.of(_renamed(table, called), {called[n]: m for n, m in self.predictions.media.items()})


def _renamed(table: AnnotationTable, called: Mapping[str, str]) -> Iterable[Annotation]:
    for r in table:
        yield Annotation(called[r.video], r.label, r.start, r.end, r.subject, r.score, r.comment)


def _video(name: str, link: str) -> dict[str, Any]:
    """Create an entry: name, link, labels of the whole video, truth, predictions."""
    return {"n": name, "u": link, "w": [], "t": [], "p": []}


def _add_truth(video: dict[str, Any], r: Annotation, number: Mapping[str, int], score: float | None) -> None:
    """Add a row of truth: [label, start, end or null, subject, score of the detection that found it or null]."""
    if r.start is None:
        video["w"].append(number[r.label])
        return
    end = None if r.end is None else round(r.end, 3)
    video["t"].append([number[r.label], round(r.start, 3), end, r.subject, score])


def _matched(
    truth: AnnotationTable, found: AnnotationTable, tiou: float, videos: dict[str, Any], number: Mapping[str, int]
) -> None:
    """Add truth with the score from which on it is found, and predictions with their kind."""
    segments = truth.where(truth.kinds == "segment")
    names, labels = tuple(videos), tuple(number)
    true, mine = (
        Table.of(
            ((r.video, r.label, r.start or 0.0, r.end or 0.0, 0.0 if r.score is None else r.score) for r in t),
            source="rows", videos=names, labels=labels,
        )
        for t in (segments, found)
    )  # fmt: skip
    matches = match(true, mine, tiou)
    scores: list[float | None] = [None] * len(segments)
    for k, at in enumerate(matches.instance.tolist()):
        if at >= 0:
            scores[at] = _score(float(found.score[k]))
    for r, score in zip(segments, scores, strict=True):
        _add_truth(videos[r.video], r, number, score)
    for r in truth.where(truth.kinds != "segment"):
        _add_truth(videos[r.video], r, number, None)
    for r, kind in zip(found, matches.kind.tolist(), strict=True):
        row = [number[r.label], round(r.start or 0.0, 3), round(r.end or 0.0, 3), _score(r.score or 0.0), kind + 1]
        videos[r.video]["p"].append(row)


def _score(value: float) -> float:
    """Keep six digits: enough to tell scores apart, and a smaller page."""
    return float(f"{value:.6g}")
