"""Which point labels a run trains on, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from ..annotations import AnnotatedVideo
from ..annotations.points import Points, draw_points, points_outside
from ..data.dataset import DataSet
from ..errors import FeatureError
from .options import TrainOptions


def points_of(data: DataSet, videos: Sequence[AnnotatedVideo], options: TrainOptions) -> Points:
    """Points of videos: those of the data set, or drawn from its segments.

    Raises:
        FeatureError: the data set has none, videos are without, or points lie in no instance of their class and the
            data set does not say what to do with such.
    """
    if options.points != "given":
        points: Points = draw_points(videos, options.points, options.seed)
    elif data.points is None:
        raise FeatureError(f"{data.name}: has no point labels; describe them, or train with points=uniform")
    else:
        points = _trusted(data, {v.name: data.points.get(v.name, ()) for v in videos}, videos)
    bare = [name for name, of in points.items() if not of]
    if bare:
        raise FeatureError(f"{data.name}: {len(bare)} training videos have no point label: {', '.join(bare[:20])}")
    return points


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
