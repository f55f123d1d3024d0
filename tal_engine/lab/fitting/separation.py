"""Is what was found on held-out videos better than chance? A permutation test (Fisher; Ojala and Garriga, JMLR 2010).

Labels of videos are dealt out anew among the videos; times are turned round the clock of their own video by a random
share of its length. A head that knows nothing does as well on those as on the true ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...annotations.labels import Kind, VideoLabels
from ...annotations.points import Point
from ...annotations.tables import Table
from ...records import Segment
from .outcomes import mean_ap, outcomes_of

#: Permutations; with 39 the least p is .025.
_PERMUTATIONS = 39
#: A plan ships only if chance does as well at most so often.
LARGEST_P = 0.05


class Chance(NamedTuple):
    """The mean AP that was found, what chance gives on average, and how often chance did as well."""

    found: float
    chance: float
    p: float

    @property
    def better(self) -> bool:
        """What was found is not explained by chance."""
        return self.p <= LARGEST_P


def against_chance(
    found: Table,
    videos: Sequence[VideoLabels],
    vocabulary: Sequence[str],
    kind: Kind,
    seconds: Mapping[str, float],
    seed: int = 0,
) -> Chance:
    """Compare the mean AP of detections with what it is for permuted labels."""
    rng = np.random.default_rng(seed)

    def score(of: Sequence[VideoLabels]) -> float:
        return mean_ap(outcomes_of(found, of, vocabulary, kind, seconds), len(vocabulary))

    true = score(videos)
    by_chance = [score(_permuted(videos, kind, seconds, rng)) for _ in range(_PERMUTATIONS)]
    as_good = sum(x >= true - 1e-12 for x in by_chance)
    return Chance(true, float(np.mean(by_chance)), (1 + as_good) / (1 + _PERMUTATIONS))


def _permuted(
    videos: Sequence[VideoLabels], kind: Kind, seconds: Mapping[str, float], rng: np.random.Generator
) -> list[VideoLabels]:
    if kind == "video":
        order = rng.permutation(len(videos))
        return [
            replace(v, told=videos[i].told, background=videos[i].background) for v, i in zip(videos, order, strict=True)
        ]
    return [_turned(v, float(rng.uniform(0.1, 0.9)) * seconds[v.name], seconds[v.name]) for v in videos]


def _turned(video: VideoLabels, by: float, length: float) -> VideoLabels:
    """Move labels by some seconds; what passes the end comes in at the beginning."""
    points = tuple(sorted(Point((p.seconds + by) % length, p.label) for p in video.points))
    segments = []
    for s in video.segments:
        start = (s.start + by) % length
        segments.append(Segment(start, min(start + s.end - s.start, max(length, start)), s.label, s.score))
    return replace(video, points=points, segments=tuple(sorted(segments)))
