"""Which points or segments a run trains on, and whether they can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...annotations import AnnotatedVideo
from ...annotations.points import Point, Points, draw_points, points_outside
from ...errors import DataError, FeatureError
from ...records import Segment
from ..data.dataset import DataSet
from ..methods import Method, mixes, uses_points
from .training_options import TrainOptions

log = logging.getLogger("tal_engine")


def supervised(data: DataSet, videos: Sequence[AnnotatedVideo], method: Method) -> list[AnnotatedVideo]:
    """Select the videos that can supervise a method; a warning counts those of a mixed set that are dropped.

    A method that reads points cannot learn from a video with a class that has no point in it: it would be told that
    the class does not occur. Without a point it is no negative either. Methods that say so (`methods.mixes`) learn from
    the classes of such videos; the log counts them.

    Raises:
        DataError: none is left.
    """
    for note in data.notes:
        log.warning("%s: %s", data.name, note)
    if not (data.mixed and uses_points(method)):
        return list(videos)
    points = data.points or {}
    kept = [v for v in videos if v.background or set(v.labels) <= {p.label for p in points.get(v.name, ())}]
    if not any(v.labels for v in kept):
        raise DataError(
            f"{data.name}: none of the {len(videos)} training videos has points or segments of all its classes, and "
            f"{method.name} reads points: give them (video,time,label), or train a method that reads labels of videos"
        )
    gone = [v.name for v in videos if v not in kept]
    if gone:
        some = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        taken = mixes(method)
        log.log(
            logging.INFO if taken else logging.WARNING,
            "%s: %d of %d training videos lack points of some class %s: %s", data.name, len(gone), len(videos),
            f"and teach {method.name} by their classes" if taken
            else f"and cannot supervise {method.name}, which reads points", some,
        )  # fmt: skip
    return list(videos) if mixes(method) else kept


def points_of(data: DataSet, videos: Sequence[AnnotatedVideo], options: TrainOptions) -> Points:
    """Return points of videos: those of the data set, or drawn from its segments.

    In a mixed set, points are drawn where there are segments, and given elsewhere.

    Raises:
        FeatureError: the data set has none, a video has none, or points lie in no instance of their class and the data
            set does not say what to do with them.
    """
    if options.points != "given":
        points: Points = draw_points(videos, options.points, options.seed)
        if data.mixed:
            points = {v.name: _drawn_or_given(v, points[v.name], (data.points or {}).get(v.name, ())) for v in videos}
    elif data.points is None:
        raise FeatureError(f"{data.name}: has no point labels; describe them, or train with points=uniform")
    else:
        points = _trusted(data, {v.name: data.points.get(v.name, ()) for v in videos}, videos)
    empty = {v.name for v in videos if v.background}
    bare = [] if data.mixed else [name for name, of in points.items() if not of and name not in empty]
    if bare:
        raise FeatureError(f"{data.name}: {len(bare)} training videos have no point label: {', '.join(bare[:20])}")
    return points


def _drawn_or_given(v: AnnotatedVideo, drawn: tuple[Point, ...], given: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple(sorted({*drawn, *(p for p in given if p.label not in v.instance_labels)}))


def segments_of(data: DataSet, videos: Sequence[AnnotatedVideo]) -> dict[str, tuple[Segment, ...]]:
    """Segments of videos by name, of all that have length.

    Raises:
        FeatureError: no video has one.
    """
    found = {v.name: tuple(s for s in v.instances if s.end > s.start) for v in videos}
    if not any(found.values()):
        raise FeatureError(f"{data.name}: no training video has a segment with start and end; this method needs them")
    return found


def _trusted(data: DataSet, points: Points, videos: Sequence[AnnotatedVideo]) -> Points:
    wrong = [] if data.points_outside == "keep" else points_outside(points, videos)
    if wrong and data.points_outside == "refuse":
        first = ", ".join(f"{video} {p.seconds:.2f} s {p.label}" for video, p in wrong[:5])
        raise FeatureError(
            f"{data.name}: {len(wrong)} points lie in no instance of their class: {first}; "
            "points.outside of the description is 'refuse', may be 'drop' or 'keep'"
        )
    gone = set(wrong)
    return {video: tuple(p for p in of if (video, p) not in gone) for video, of in points.items()}
